"""Settings beside each other: against a loop over resamples, and what holds for any settings."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from records.failure import NothingToCompare
from scaling.statistics.bootstrap import IntervalEstimate, draw_resamples, interval
from scaling.statistics.comparison import ByOrder, Measured, comparable, compare
from scaling.statistics.comparison_rows import pareto_front
from scaling.statistics.risk_coverage import risk_coverage
from scaling.statistics.shares import difference_bounds, share_bounds
from tests.support.tiers import some_of

UNKNOWN = IntervalEstimate(None, None, None)
KINDS = ("num_samples", "prompt_tokens", "cached_tokens", "pruned_tokens", "prm_tokens", "prm_cached_tokens")


def measured(label, correct, tokens, *, flops=None, answer_p=None, **others):
    """One setting; what the test does not care about follows from the tokens."""
    correct, tokens = np.array(correct, dtype=np.float64), np.array(tokens, dtype=np.float64)
    values = {
        "recipe": "small",
        "strategy": label.partition(":")[0],
        "shared_with": None,
        "num_orders": 1,
        "covered": np.fmax(correct, 0.5 * np.isfinite(correct)),
        "answer_p": np.full(len(correct), 0.5) if answer_p is None else np.array(answer_p, dtype=np.float64),
        "flops": 7.0 * tokens if flops is None else np.array(flops, dtype=np.float64),
        **{name: number * tokens for number, name in enumerate(KINDS)},
    }
    return Measured(label=label, correct=correct, generated_tokens=tokens, **values | others)


def some_settings(num_settings=3, num_problems=40, num_orders=4, seed=0):
    rng = np.random.default_rng(seed)
    found = []
    for number in range(num_settings):
        right = (rng.random((num_orders, num_problems)) < 0.5 + 0.1 * number).astype(np.float64)
        answer_p = rng.choice([0.1, 0.4, 0.4, 0.9, math.nan], (num_orders, num_problems))
        found.append(
            measured(
                f"s:{number}",
                right.mean(axis=0),
                rng.permutation(num_problems) + 10.0 * (number + 1),
                num_orders=num_orders,
                by_order=ByOrder(answer_p, right),
                fixed_at_same_tokens=rng.random(num_problems),
            )
        )
    return found


SHARES = st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 1.0])
COSTS = st.integers(1, 6).map(float)


@st.composite
def any_settings(draws, verdicts=SHARES, max_settings=4):
    count = draws(st.integers(1, 7))

    def column(values):
        return draws(st.lists(values, min_size=count, max_size=count))

    return [
        measured(f"s{number}", column(verdicts), column(COSTS), flops=column(COSTS), answer_p=column(SHARES))
        for number in range(draws(st.integers(1, max_settings)))
    ]


def reordered(item, order):
    by_order = item.by_order and ByOrder(item.by_order.answer_p[:, order], item.by_order.correct[:, order])
    names = ("correct", "covered", "answer_p", "generated_tokens", "flops", "fixed_at_same_tokens", *KINDS)
    arrays = {name: getattr(item, name) for name in names}
    return replace(item, by_order=by_order, **{k: v[order] for k, v in arrays.items() if v is not None})


# ------------------------------------------------------------------------------------------------ the slow twin


def by_loop(settings, num_resamples, seed):
    """Every number of every row, on copies of the drawn problems; problems in the order that `compare` documents."""
    base = settings[0]
    order = sorted(range(len(base.correct)), key=lambda number: (base.correct[number], base.generated_tokens[number]))
    everything = np.array(order)
    drawn = [np.repeat(everything, times.astype(int)) for times in draw_resamples(len(order), num_resamples, seed)]
    for item in settings:
        risks = zip(item.by_order.answer_p, item.by_order.correct, strict=True)
        runs = [(np.nan_to_num(answer_p), right) for answer_p, right in risks]
        numbers = {
            "accuracy": lambda at, item=item: item.correct[at].mean(),
            "coverage": lambda at, item=item: item.covered[at].mean(),
            "flops": lambda at, item=item: item.flops[at].mean(),
            "generated_tokens": lambda at, item=item: item.generated_tokens[at].mean(),
            "generated_tokens_ratio": lambda at, item=item: (
                item.generated_tokens[at].sum() / base.generated_tokens[at].sum()
            ),
            "flops_ratio": lambda at, item=item: item.flops[at].sum() / base.flops[at].sum(),
            "accuracy_difference": lambda at, item=item: item.correct[at].mean() - base.correct[at].mean(),
            "fixed_difference": lambda at, item=item: item.correct[at].mean() - item.fixed_at_same_tokens[at].mean(),
            "aurc": lambda at, runs=runs: np.mean(
                [risk_coverage(p[at], right[at] == 1).mean_risk for p, right in runs]
            ),
            **{name: lambda at, item=item, name=name: getattr(item, name)[at].mean() for name in KINDS},
        }
        rest = [np.delete(everything, at) for at in range(len(everything))]
        found = {
            name: (
                number(everything),
                *interval(
                    np.array([number(at) for at in drawn]),
                    len(everything),
                    value=number(everything),
                    left_out=np.array([number(at) for at in rest]),
                ),
            )
            for name, number in numbers.items()
        }
        closed = {
            "accuracy": share_bounds(item.correct),
            "coverage": share_bounds(item.covered),
            "accuracy_difference": difference_bounds(item.correct - base.correct),
            "fixed_difference": difference_bounds(item.correct - item.fixed_at_same_tokens),
        }
        yield found | {name: (numbers[name](everything), *bounds) for name, bounds in closed.items()}


def test_every_number_is_what_a_loop_over_resamples_gives():
    settings = some_settings()
    comparison = compare(settings, baseline="s:0", margin=0.1, num_resamples=60, seed=3)
    for row, numbers in zip(comparison.rows, by_loop(settings, 60, 3), strict=True):
        for name, expected in numbers.items():
            estimate = getattr(row, name)
            assert (estimate.value, estimate.lower, estimate.upper) == pytest.approx(expected, abs=1e-12), name


# ------------------------------------------------------------------------------------------------ what always holds


@examples(max_examples=some_of(40))
@given(any_settings(), st.integers(0, 3))
def test_equals_have_no_difference(settings, seed):
    twins = [settings[0], replace(settings[0], label="twin"), *settings[1:]]
    row = compare(twins, baseline="s0", margin=0.0, num_resamples=20, seed=seed).row("twin")
    has_interval = len(settings[0].correct) > 1
    assert row.accuracy_difference.value == 0.0
    assert (row.accuracy_difference.lower is not None) == has_interval
    assert not has_interval or row.accuracy_difference.lower == pytest.approx(-row.accuracy_difference.upper)
    assert (
        row.flops_ratio
        == row.generated_tokens_ratio
        == IntervalEstimate(1.0, *((1.0, 1.0) if has_interval else (None, None)))
    )
    assert not row.is_not_worse, "a handful of problems shows nothing about others, equal as they are"
    assert row.is_not_worse_by_point


@examples(max_examples=some_of(40))
@given(any_settings(verdicts=SHARES | st.just(math.nan)), st.randoms(use_true_random=False))
def test_the_order_of_problems_decides_nothing(settings, random):
    order = list(range(len(settings[0].correct)))
    random.shuffle(order)
    options = {"baseline": "s0", "margin": 0.1, "num_resamples": 20, "seed": 1}
    if comparable(settings).any():
        assert compare([reordered(item, order) for item in settings], **options) == compare(settings, **options)


def test_the_order_of_problems_decides_nothing_over_orders_of_samples():
    settings = some_settings()
    order = np.random.default_rng(1).permutation(40)
    options = {"baseline": "s:1", "margin": 0.1, "num_resamples": 20, "seed": 1}
    assert compare([reordered(item, order) for item in settings], **options) == compare(settings, **options)


@examples(max_examples=some_of(40))
@given(any_settings(max_settings=3))
def test_another_setting_changes_only_who_is_on_the_front(settings):
    def rows(items):
        found = compare(items, baseline="s0", margin=0.1, num_resamples=20, seed=1).rows
        return [replace(row, is_on_flops_front=False, is_on_tokens_front=False) for row in found]

    another = measured("another", np.linspace(0, 1, len(settings[0].correct)), np.arange(len(settings[0].correct)) + 1)
    assert rows([*settings, another])[:-1] == rows(settings)


@examples(max_examples=some_of(40))
@given(any_settings(verdicts=SHARES | st.just(math.nan)))
def test_a_problem_that_one_setting_does_not_know_is_left_out_for_all(settings):
    kept = np.flatnonzero(~np.isnan([item.correct for item in settings]).any(axis=0))
    options = {"baseline": "s0", "margin": 0.1, "num_resamples": 20, "seed": 1}
    if len(kept) == 0:
        with pytest.raises(NothingToCompare, match="no problem has a verdict"):
            compare(settings, **options)
        return
    comparison = compare(settings, **options)
    assert comparison.num_problems == len(kept)
    assert comparison.num_left_out == len(settings[0].correct) - len(kept)
    assert comparison.rows == compare([reordered(item, kept) for item in settings], **options).rows


@given(st.lists(st.tuples(SHARES, COSTS), min_size=1, max_size=12))
def test_the_front_is_what_no_other_beats(places):
    front = pareto_front(*zip(*places, strict=True))
    for (gain, price), is_on_front in zip(places, front, strict=True):
        beaten = any(g >= gain and p <= price and (g, p) != (gain, price) for g, p in places)
        assert is_on_front == (not beaten)
    best_of_cheapest = min(range(len(places)), key=lambda number: (places[number][1], -places[number][0]))
    cheapest_of_best = min(range(len(places)), key=lambda number: (-places[number][0], places[number][1]))
    assert front[best_of_cheapest]
    assert front[cheapest_of_best]


@examples(max_examples=some_of(40))
@given(any_settings())
def test_the_cheapest_is_never_dearer_than_the_baseline(settings):
    comparison = compare(settings, baseline="s0", margin=0.1, num_resamples=20, seed=1)
    chosen, base = comparison.row(comparison.cheapest_by_flops), comparison.row("s0")
    assert base.is_not_worse
    assert chosen.is_not_worse
    assert chosen.flops.value <= base.flops.value
    assert chosen is base or chosen.flops.value < base.flops.value
    by_tokens = comparison.row(comparison.cheapest_by_tokens)
    assert all(
        not row.is_not_worse or row.generated_tokens.value >= by_tokens.generated_tokens.value
        for row in comparison.rows
    )
    for row in comparison.rows:
        beaten = [
            other
            for other in comparison.rows
            if other.accuracy.value > row.accuracy.value + 1e-9 and other.flops.value < row.flops.value - 1e-9
        ]
        assert not (row.is_on_flops_front and beaten)


# ------------------------------------------------------------------------------------------------ by hand


def test_a_comparison_by_hand():
    base = measured("base", [1, 1, 0, 0], [10, 10, 10, 10], flops=[1, 1, 1, 1])
    cheap = measured("cheap", [1, 1, 0, 0], [1, 2, 3, 4], flops=[2, 2, 2, 2])
    bad = measured("bad", [0, 0, 0, 0], [1, 1, 1, 1], flops=[0.5, 0.5, 0.5, 0.5])
    good = measured("good", [1, 1, 1, 0], [20, 20, 20, 20], flops=[3, 3, 3, 3])
    comparison = compare([base, cheap, bad, good], baseline="base", margin=0.01, seed=0)
    rows = {row.label: row for row in comparison.rows}
    assert [row.accuracy.value for row in comparison.rows] == [0.5, 0.5, 0.0, 0.75]
    assert rows["cheap"].generated_tokens_ratio.value == 0.25
    assert rows["cheap"].flops_ratio == IntervalEstimate(2.0, 2.0, 2.0)
    assert rows["bad"].accuracy_difference.value == -0.5
    good_bounds = rows["good"].accuracy_difference.lower, rows["good"].accuracy_difference.upper
    assert good_bounds == difference_bounds(np.array([0.0, 0.0, 1.0, 0.0]))
    assert [row.is_not_worse for row in comparison.rows] == [True, False, False, False], "four problems show nothing"
    assert [row.is_not_worse_by_point for row in comparison.rows] == [True, True, False, True]
    assert [row.is_on_tokens_front for row in comparison.rows] == [False, True, True, True]
    assert [row.is_on_flops_front for row in comparison.rows] == [True, False, True, True]
    assert (comparison.cheapest_by_tokens, comparison.cheapest_by_flops) == ("base", "base")
    assert [row.is_baseline for row in comparison.rows] == [True, False, False, False]


def test_a_point_within_the_margin_is_not_yet_an_interval_within_it():
    right = np.arange(200) % 2.0
    worse = right.copy()
    worse[1] = 0.0  # one of 200: half a point
    settings = [measured("base", right, np.full(200, 2)), measured("other", worse, np.ones(200))]
    assert compare(settings, baseline="base", margin=0.005, seed=0).row("other").is_not_worse_by_point
    assert not compare(settings, baseline="base", margin=0.005, seed=0).row("other").is_not_worse
    assert not compare(settings, baseline="base", margin=0.0049, seed=0).row("other").is_not_worse_by_point
    assert compare(settings, baseline="base", margin=0.03, seed=0).cheapest_by_flops == "other"


def test_without_resamples_only_the_baseline_is_known_not_to_be_worse():
    settings = [measured("base", [0, 0], [2, 2]), measured("other", [1, 1], [1, 1])]
    comparison = compare(settings, baseline="base", margin=0.0, num_resamples=0, seed=0)
    assert [row.is_not_worse for row in comparison.rows] == [True, False]
    assert comparison.cheapest_by_flops == "base"
    assert comparison.row("other").accuracy == IntervalEstimate(1.0, None, None)


def test_what_a_setting_does_not_know_is_unknown_and_leaves_no_problem_out():
    nothing = np.full(3, math.nan)
    blind = measured("blind", [1, 0, 1], [1, 1, 1], answer_p=nothing, covered=nothing, prm_tokens=nothing)
    comparison = compare([blind, measured("base", [1, 1, 1], [2, 2, 2])], baseline="base", margin=0.1, seed=0)
    row = comparison.row("blind")
    assert comparison.num_left_out == 0
    assert row.coverage == row.prm_tokens == row.aurc == row.fixed_difference == UNKNOWN
    assert comparison.row("base").coverage.value == 1.0


def test_a_cost_that_is_known_of_some_problems_only_leaves_the_others_out():
    part = measured("part", [1, 0, 1], [1, 1, 1], prm_tokens=np.array([1.0, math.nan, 1.0]))
    comparison = compare([part, measured("base", [1, 1, 1], [2, 2, 2])], baseline="base", margin=0.1, seed=0)
    assert (comparison.num_problems, comparison.num_left_out) == (2, 1)
    assert comparison.row("part").accuracy.value == 1.0


def test_a_coverage_that_is_not_known_leaves_no_problem_out():
    part = replace(measured("part", [1, 0, 0], [1, 1, 1]), covered=np.array([1.0, math.nan, 0.0]))
    comparison = compare([part], baseline="part", margin=0.1, seed=0)
    assert (comparison.num_problems, comparison.num_left_out) == (3, 0)
    assert comparison.row("part").coverage.value == 0.5


def test_a_mean_over_orders_has_a_risk_only_with_its_orders():
    settings = some_settings(num_settings=1)
    without = replace(settings[0], by_order=None)
    assert compare([without], baseline="s:0", margin=0, seed=0).rows[0].aurc == UNKNOWN
    single = replace(without, num_orders=1, answer_p=np.full(40, math.nan))
    assert compare([single], baseline="s:0", margin=0, seed=0).rows[0].aurc == UNKNOWN
    one_p = measured("one", [1, 0, 0, 1], [1] * 4, answer_p=[0.9, math.nan, 0.2, 0.8])
    assert compare([one_p], baseline="one", margin=0, seed=0).rows[0].aurc.value == pytest.approx((1 / 3 + 2 / 4) / 4)


def test_a_ratio_to_nothing_is_unknown():
    settings = [measured("free", [1, 0], [0, 0]), measured("other", [1, 1], [1, 1])]
    assert compare(settings, baseline="free", margin=0, seed=0).row("other").generated_tokens_ratio == UNKNOWN


def test_what_does_not_fit_is_refused():
    two, three = measured("two", [1, 0], [1, 1]), measured("three", [1, 0, 1], [1, 1, 1])
    refused = [
        (([two, two], "two", 0.1), "repeat: two"),
        (([two], "other", 0.1), "'other' is none of the settings: two"),
        (([], "other", 0.1), "none of the settings"),
        (([two, three], "two", 0.1), r"three: correct must be \[2\], got \[3\]"),
        (([replace(two, flops=np.ones(3))], "two", 0.1), "two: flops"),
        (([replace(two, fixed_at_same_tokens=np.ones(3))], "two", 0.1), "two: fixed_at_same_tokens"),
        (([replace(two, by_order=ByOrder(np.ones((3, 2)), np.ones((3, 2))))], "two", 0.1), "two: by_order"),
        (([measured("none", [], [])], "none", 0.1), "must be problems"),
        (([two], "two", -0.1), "margin"),
        (([two], "two", math.nan), "margin"),
    ]
    for (settings, baseline, margin), message in refused:
        with pytest.raises(ValueError, match=message):
            compare(settings, baseline=baseline, margin=margin, seed=0)
    unknown = [measured("all", [math.nan], [1]), measured("base", [1], [1])]
    with pytest.raises(NothingToCompare, match="all 0, base 1"):
        compare(unknown, baseline="base", margin=0.1, seed=0)
    with pytest.raises(KeyError):
        compare([two], baseline="two", margin=0.1, seed=0).row("three")
