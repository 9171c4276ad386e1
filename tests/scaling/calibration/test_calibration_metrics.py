"""Each metric by hand, against an obvious slow twin on every resample, and on simulated data whose truth is known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import beta, binom
from sklearn.metrics import roc_auc_score

from scaling.calibration import metrics
from scaling.calibration.metrics import Rows
from scaling.statistics import accuracy as statistics
from scaling.statistics.bootstrap import Clusters, draw_resamples, interval
from tests.support.tiers import some_of

SCORES = st.sampled_from([0.0, 0.05, 0.25, 0.3, 0.5, 0.99, 1.0])
COUNTS = st.integers(1, 5).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))
LINES = st.lists(st.tuples(st.sampled_from("abc"), COUNTS, SCORES), min_size=1, max_size=12)
"""Problem, (Z, N), estimate."""


def rows_of(lines):
    problems = [problem for problem, _, _ in lines]
    counts = np.array([counts for _, counts, _ in lines], dtype=np.int64).reshape(-1, 2)
    return Rows(Clusters.of(problems), counts[:, 0], counts[:, 1])


def estimates_of(lines):
    return np.array([estimate for *_, estimate in lines], dtype=np.float64)


def value(statistic, rows):
    return float(statistic.at(np.ones((1, rows.clusters.count)))[0])


def by_hand(metric, *lines):
    rows = rows_of(lines)
    return value(metric(rows, estimates_of(lines)), rows)


# ---------------------------------------------------------------------------------------------------- by hand

FIRST = ("a", (2, 4), 0.75)  # p = .5
SECOND = ("a", (0, 4), 0.25)  # p = 0
THIRD = ("b", (1, 1), 0.5)  # p = 1


def test_brier_and_its_parts():
    lines = FIRST, SECOND, THIRD
    assert by_hand(metrics.brier, *lines) == pytest.approx((1 / 16 + 1 / 16 + 1 / 4) / 3)
    assert by_hand(metrics.brier_by_problem, *lines) == pytest.approx((1 / 16 + 1 / 4) / 2)
    assert by_hand(metrics.brier_over, *lines) == pytest.approx((1 / 16 + 1 / 16) / 3)
    assert by_hand(metrics.signed_error, *lines) == pytest.approx((0.25 + 0.25 - 0.5) / 3)
    # Outcomes of the first row: two of (1 - .75)^2, two of .75^2.
    outcomes = ((1 / 16 + 9 / 16) / 2 + 1 / 16 + 1 / 4) / 3
    assert by_hand(metrics.brier_of_outcomes, *lines) == pytest.approx(outcomes)


def test_noise_floor_leaves_single_trials_out():
    rows = rows_of([FIRST, SECOND, THIRD])
    floor = (0.5 * 0.5 / 3 + 0) / 2
    assert value(metrics.noise_floor(rows), rows) == pytest.approx(floor)
    assert by_hand(metrics.brier_above_floor, FIRST, SECOND, THIRD) == pytest.approx(1 / 16 - floor)
    assert math.isnan(by_hand(metrics.brier_above_floor, THIRD))
    assert math.isnan(value(metrics.noise_floor(rows_of([THIRD])), rows_of([THIRD])))


def test_calibration_error_of_two_bins():
    # .75 and .5 share the upper of two bins of equal width: errors .25 and -.5; .25 is alone below.
    rows, estimate = rows_of([FIRST, SECOND, THIRD]), estimates_of([FIRST, SECOND, THIRD])
    bins = metrics.equal_width_bins(estimate, 2)
    assert bins.tolist() == [1, 0, 1]
    assert value(metrics.calibration_error(rows, estimate, bins), rows) == pytest.approx((0.25 + 0.25) / 3)


def test_bins_and_their_edges():
    assert metrics.equal_width_bins(np.array([0.0, 0.0999, 0.1, 0.95, 1.0])).tolist() == [0, 0, 1, 9, 9]
    assert metrics.equal_mass_bins(np.array([0.9, 0.1, 0.2, 0.3]), 2).tolist() == [1, 0, 0, 1]
    assert metrics.equal_mass_bins(np.array([0.2, 0.2, 0.2, 0.3]), 2).tolist() == [0, 0, 0, 1]  # ties stay together
    assert metrics.equal_mass_bins(np.array([0.7] * 5)).tolist() == [0] * 5


def test_pinball():
    rows = rows_of([("a", (2, 4), 0.3), ("a", (0, 4), 0.3)])
    loss = (0.1 * 0.2 + 0.9 * 0.3) / 2
    assert value(metrics.pinball(rows, np.array([0.3, 0.3]), 0.1), rows) == pytest.approx(loss)


@pytest.mark.parametrize(
    ("quantile", "below", "snapped", "at_or_below"),
    [
        (0.003, 1.0, 0.0, 1.0),  # a sigmoid that means 0: only the snapped quantile tells
        (0.0, 0.0, 0.0, 1.0),
        (0.25, 1.0, 1.0, 1.0),  # at the next grid point, p = 0 is below
        (0.3, 1.0, 1.0, 1.0),
    ],
)
def test_coverage_of_a_prefix_without_success(quantile, below, snapped, at_or_below):
    line = "a", (0, 4), quantile
    assert by_hand(metrics.share_below, line) == below
    assert by_hand(metrics.share_below_snapped, line) == snapped
    assert by_hand(metrics.share_at_or_below, line) == at_or_below


def test_coverage_at_a_grid_point_in_spite_of_rounding():
    quantile = 0.1 + 0.2  # a little above 3/10
    assert quantile > 0.3
    for line in (("a", (3, 10), quantile), ("a", (3, 10), 0.3 - 1e-16)):
        assert by_hand(metrics.share_below, line) == 0
        assert by_hand(metrics.share_below_snapped, line) == 0
        assert by_hand(metrics.share_at_or_below, line) == 1


def test_auc_counts_trials():
    # .75 has 2 right and 2 wrong, .25 has 4 wrong, .5 has 1 right.
    pairs, ordered = 3 * 6, 2 * (4 + 2 / 2) + 1 * 4
    assert by_hand(metrics.auc_of_trials, FIRST, SECOND, THIRD) == pytest.approx(ordered / pairs)
    assert by_hand(metrics.auc_within, FIRST, SECOND, THIRD) == pytest.approx((2 * (4 + 2 / 2)) / (2 * 6))
    assert math.isnan(by_hand(metrics.auc_of_trials, SECOND))
    assert math.isnan(by_hand(metrics.auc_within, SECOND, THIRD))


def test_a_group_without_rows_has_no_metric():
    rows = rows_of([FIRST, SECOND]).where(np.array([False, False]))
    none = np.zeros(0)
    bins = metrics.equal_mass_bins(none)
    for statistic in (
        metrics.brier(rows, none),
        metrics.brier_by_problem(rows, none),
        metrics.noise_floor(rows),
        metrics.calibration_error(rows, none, bins),
        metrics.pinball(rows, none, 0.1),
        metrics.share_below(rows, none),
        metrics.auc_of_trials(rows, none),
        metrics.auc_within(rows, none),
    ):
        assert statistic.num_problems == 0
        assert np.isnan(statistic.at(np.ones((2, 1)))).all()


# ---------------------------------------------------------------------------------------------------- slow twins


def mean(numbers):
    numbers = list(numbers)
    return sum(numbers) / len(numbers) if numbers else math.nan


def slow_auc(lines):
    right = [r for _, (z, _), r, _ in lines for _ in range(z)]
    wrong = [r for _, (z, n), r, _ in lines for _ in range(n - z)]
    return mean((one > other) + (one == other) / 2 for one in right for other in wrong)


def of_each_problem(lines):
    return [[line for line in lines if line[0] == problem] for problem in sorted({line[0] for line in lines})]


def slow_calibration_error(lines):
    """Bins are the last entry of a line."""
    bins = {line[3] for line in lines}
    errors = (sum(r - z / n for _, (z, n), r, b in lines if b == number) for number in bins)
    return sum(abs(error) for error in errors) / len(lines) if lines else math.nan


SLOW = {
    "brier": (metrics.brier, lambda lines: mean((r - z / n) ** 2 for _, (z, n), r, _ in lines)),
    "brier_by_problem": (
        metrics.brier_by_problem,
        lambda lines: mean(mean((r - z / n) ** 2 for _, (z, n), r, _ in own) for own in of_each_problem(lines)),
    ),
    "brier_above_floor": (
        metrics.brier_above_floor,
        lambda lines: mean((r - z / n) ** 2 - z / n * (1 - z / n) / (n - 1) for _, (z, n), r, _ in lines if n > 1),
    ),
    "brier_of_outcomes": (
        metrics.brier_of_outcomes,
        lambda lines: mean(mean((r - (trial < z)) ** 2 for trial in range(n)) for _, (z, n), r, _ in lines),
    ),
    "brier_over": (metrics.brier_over, lambda lines: mean((r - z / n) ** 2 * (r > z / n) for _, (z, n), r, _ in lines)),
    "signed_error": (metrics.signed_error, lambda lines: mean(r - z / n for _, (z, n), r, _ in lines)),
    "pinball": (
        lambda rows, quantile: metrics.pinball(rows, quantile, 0.1),
        lambda lines: mean(0.1 * (z / n - r) if z / n > r else 0.9 * (r - z / n) for _, (z, n), r, _ in lines),
    ),
    "ece": (
        lambda rows, estimate: metrics.calibration_error(rows, estimate, metrics.equal_width_bins(estimate)),
        slow_calibration_error,
    ),
    "auc": (metrics.auc_of_trials, slow_auc),
    "auc_within": (
        metrics.auc_within,
        lambda lines: mean(found for own in of_each_problem(lines) if not math.isnan(found := slow_auc(own))),
    ),
}


@pytest.mark.parametrize("name", SLOW)
@given(lines=LINES, data=st.data())
@settings(max_examples=some_of(60))
def test_a_statistic_is_the_metric_of_the_resampled_rows(name, lines, data):
    fast, slow = SLOW[name]
    rows = rows_of(lines)
    problems = sorted({problem for problem, *_ in lines})
    multiplicity = data.draw(st.lists(st.integers(0, 3), min_size=len(problems), max_size=len(problems)))
    bins = metrics.equal_width_bins(estimates_of(lines)).tolist()
    copies = [
        (f"{problem}{copy}", counts, estimate, bin_)
        for (problem, counts, estimate), bin_ in zip(lines, bins, strict=True)
        for copy in range(multiplicity[problems.index(problem)])
    ]
    found = fast(rows, estimates_of(lines)).at(np.array([multiplicity, multiplicity], dtype=np.float64))
    assert found == pytest.approx([slow(copies)] * 2, nan_ok=True)


@given(LINES)
def test_auc_agrees_with_others(lines):
    rows = rows_of(lines)
    scores = [r for _, (_, n), r in lines for _ in range(n)]
    outcomes = [trial < z for _, (z, n), _ in lines for trial in range(n)]
    expected = statistics.auc_of_paths(scores, outcomes)
    found = by_hand(metrics.auc_of_trials, *lines)
    if expected is None:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(expected)
        weights = np.concatenate([rows.successes, rows.trials - rows.successes])
        labels, both = np.repeat([1, 0], len(lines)), np.tile(estimates_of(lines), 2)
        assert found == pytest.approx(roc_auc_score(labels, both, sample_weight=weights))


# ---------------------------------------------------------------------------------------------------- always


@given(LINES, st.randoms())
def test_the_order_of_rows_decides_nothing(lines, random):
    shuffled = random.sample(lines, len(lines))
    for fast, _ in SLOW.values():
        assert by_hand(fast, *lines) == pytest.approx(by_hand(fast, *shuffled), nan_ok=True)


@given(LINES, st.data())
def test_splitting_counts_of_a_row_changes_no_auc(lines, data):
    number = data.draw(st.integers(0, len(lines) - 1))
    problem, (z, n), estimate = lines[number]
    left = data.draw(st.integers(0, n))
    left_right = data.draw(st.integers(max(0, z - (n - left)), min(left, z)))
    parts = [(left_right, left), (z - left_right, n - left)]
    split = [*lines[:number], *lines[number + 1 :], *((problem, part, estimate) for part in parts if part[1])]
    for metric in (metrics.auc_of_trials, metrics.auc_within):
        assert by_hand(metric, *lines) == pytest.approx(by_hand(metric, *split), nan_ok=True)


@given(LINES)
def test_parts_add_up(lines):
    brier = by_hand(metrics.brier, *lines)
    mirrored = [(problem, (n - z, n), 1 - r) for problem, (z, n), r in lines]
    assert brier == pytest.approx(by_hand(metrics.brier_over, *lines) + by_hand(metrics.brier_over, *mirrored))
    noise = mean(z / n * (1 - z / n) for _, (z, n), _ in lines)
    assert by_hand(metrics.brier_of_outcomes, *lines) == pytest.approx(brier + noise)


@given(LINES)
def test_lowering_to_the_grid_moves_only_the_share_below(lines):
    lowered = [(problem, (z, n), math.floor(r * n + 1e-9) / n) for problem, (z, n), r in lines]
    assert by_hand(metrics.share_at_or_below, *lines) == by_hand(metrics.share_at_or_below, *lowered)
    assert by_hand(metrics.share_below_snapped, *lines) == by_hand(metrics.share_below, *lowered)
    below = by_hand(metrics.share_below_snapped, *lines), by_hand(metrics.share_below, *lines)
    assert below[0] <= below[1] <= by_hand(metrics.share_at_or_below, *lines)


@given(st.lists(SCORES, min_size=1, max_size=40), st.integers(1, 12))
def test_bins_of_equal_mass_are_ordered_and_keep_ties(scores, num_bins):
    bins = metrics.equal_mass_bins(np.array(scores), num_bins)
    assert 0 <= bins.min() <= bins.max() < num_bins
    assert all(
        (one < other) <= (a <= b)
        for one, a in zip(scores, bins, strict=True)
        for other, b in zip(scores, bins, strict=True)
    )
    assert len(set(zip(scores, bins.tolist(), strict=True))) == len(set(scores))


# ---------------------------------------------------------------------------------------------------- simulated truth


def simulated(num_problems=400, rows_each=20, trials=8, seed=1):
    """Rows whose success probability is known: difficulty varies over problems, and a little within them."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(-0.5, 1.5, num_problems).repeat(rows_each)
    truth = expit(difficulty + rng.normal(0, 1, len(difficulty)))
    successes = rng.binomial(trials, truth)
    clusters = Clusters(np.arange(num_problems).repeat(rows_each), num_problems)
    return Rows(clusters, successes, np.full(len(truth), trials)), truth


def test_the_noise_floor_is_the_brier_of_the_truth():
    rows, truth = simulated()
    differences = (truth - rows.share) ** 2 - rows.share * (1 - rows.share) / 7
    standard_error = differences.std() / math.sqrt(len(differences))
    assert abs(value(metrics.brier_above_floor(rows, truth), rows)) < 4 * standard_error
    assert standard_error < 0.02 * value(metrics.noise_floor(rows), rows)


def test_brier_above_the_floor_is_the_error_against_the_truth():
    rows, truth = simulated()
    estimate = expit(1.5 * np.log(truth / (1 - truth)) + 0.5)
    expected = float(((estimate - truth) ** 2).mean())
    assert value(metrics.brier_above_floor(rows, estimate), rows) == pytest.approx(expected, rel=0.05)
    assert value(metrics.brier(rows, estimate), rows) > 1.3 * expected


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_a_true_quantile_of_the_share_covers_its_level(level):
    rows, truth = simulated()
    quantile = binom.ppf(level, 8, truth) / 8
    slack = 4 * math.sqrt(level * (1 - level) / len(truth))
    assert value(metrics.share_below_snapped(rows, quantile), rows) <= level + slack
    assert value(metrics.share_at_or_below(rows, quantile), rows) >= level - slack
    # Whoever predicts it too high by two trials is found out.
    assert value(metrics.share_below_snapped(rows, np.minimum(quantile + 0.25, 1)), rows) > level + 2 * slack


@pytest.mark.parametrize("level", [0.1, 0.9])
def test_with_many_rollouts_a_true_quantile_of_the_probability_covers_its_level(level):
    rng = np.random.default_rng(3)
    shape = rng.uniform(1, 6, (2, 8000))
    truth = rng.beta(*shape)
    rows = Rows(Clusters(np.arange(8000), 8000), rng.binomial(4000, truth), np.full(8000, 4000))
    quantile = beta.ppf(level, *shape)
    for metric in (metrics.share_below, metrics.share_below_snapped, metrics.share_at_or_below):
        assert value(metric(rows, quantile), rows) == pytest.approx(level, abs=4 * math.sqrt(0.09 / 8000))


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("off", [-0.25, -0.125, 0.125, 0.25])
def test_the_true_quantile_has_the_smallest_pinball_loss(level, off):
    rows, truth = simulated()
    quantile = binom.ppf(level, 8, truth) / 8
    moved = np.clip(quantile + off, 0, 1)
    assert value(metrics.pinball(rows, quantile, level), rows) < value(metrics.pinball(rows, moved, level), rows)


def test_an_interval_over_problems_holds_the_truth_as_often_as_it_says():
    """Rows of a problem are all alike here, so an interval over rows would hold it in about 30 of 100 cases."""
    rng = np.random.default_rng(5)
    held = 0
    for case in range(300):
        errors = rng.normal(0.1, 0.1, 60).repeat(25)
        rows = Rows(
            Clusters(np.arange(60).repeat(25), 60), np.ones(1500, dtype=np.int64), np.ones(1500, dtype=np.int64)
        )
        lower, upper = interval(metrics.Rows.mean(rows, errors).at(draw_resamples(60, 400, case)), 60)
        held += lower <= 0.1 <= upper
    assert 0.90 <= held / 300 <= 0.98


def test_resamples_have_as_many_problems_as_the_set():
    multiplicity = draw_resamples(7, 1000, 1)
    assert multiplicity.shape == (1000, 7)
    assert (multiplicity.sum(axis=1) == 7).all()
    assert multiplicity.mean(axis=0) == pytest.approx(np.ones(7), abs=0.15)
    assert (draw_resamples(7, 1000, 1) == multiplicity).all()
