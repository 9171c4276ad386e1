"""Two runs on the same problems: against a loop over resamples and a sum over coins, and what holds for any pair."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from scaling.statistics import bootstrap
from scaling.statistics.bootstrap import IntervalEstimate, draw_resamples, interval, resampled_sums
from scaling.statistics.paired import Pairs, Side, compare_paired, mcnemar_p
from scaling.statistics.paired_rows import Change
from scaling.statistics.shares import difference_bounds
from tests.support.tiers import some_of

VERDICTS = st.sampled_from([0.0, 1.0, math.nan])
COSTS = st.sampled_from([0.0, 1.0, 2.5, 7.0, math.nan])


def side(label, correct, tokens, answers=None):
    correct, tokens = np.array(correct, dtype=np.float64), np.array(tokens, dtype=np.float64)
    return Side(label, correct, answers or [f"{label}{at}" for at in range(len(correct))], {"tokens": tokens})


def compared(ids, first, second, *, num_resamples=30, seed=1):
    references = [f"key of {name}" for name in ids]
    pairs = Pairs(problem_ids=ids, references=references, first=first, second=second, left_out={"why": 2})
    return compare_paired(pairs, num_resamples=num_resamples, seed=seed)


@st.composite
def pairs(draws):
    ids = draws(st.lists(st.text("abc", min_size=1, max_size=3), max_size=7, unique=True))

    def column(values):
        return draws(st.lists(values, min_size=len(ids), max_size=len(ids)))

    return ids, *(side(label, column(VERDICTS), column(COSTS)) for label in "AB")


def test_every_number_is_what_a_loop_over_resamples_gives():
    rng = np.random.default_rng(5)
    ids = [f"p{number:02d}" for number in range(40)]
    first, second = (
        side(label, rng.choice([0, 1, math.nan], 40, p=[0.4, 0.5, 0.1]), rng.choice([1.0, 5.0, 9.0, math.nan], 40))
        for label in "AB"
    )
    result = compared(ids, first, second, num_resamples=60)

    def by_loop(number, left, right):
        """`number` of both, on copies of the drawn problems that both know."""

        def of(drawn):
            at = drawn[~np.isnan(left[drawn] + right[drawn])]
            return number(left[at], right[at])

        everything = np.arange(40)
        resampled = [of(np.repeat(everything, times.astype(int))) for times in draw_resamples(40, 60, 1)]
        left_out = [of(np.delete(everything, at)) for at in everything]
        num_known = int((~np.isnan(left + right)).sum())
        value = of(everything)
        return value, *interval(np.array(resampled), num_known, value=value, left_out=np.array(left_out))

    def close(estimate, expected):
        assert (estimate.value, estimate.lower, estimate.upper) == pytest.approx(expected, abs=1e-12)

    differences = second.correct - first.correct
    graded = differences[~np.isnan(differences)]
    close(result.accuracy_difference, (graded.mean(), *difference_bounds(graded)))
    tokens = first.costs["tokens"], second.costs["tokens"]
    close(result.costs[0].difference, by_loop(lambda a, b: b.mean() - a.mean(), *tokens))
    close(result.costs[0].ratio, by_loop(lambda a, b: b.sum() / a.sum(), *tokens))
    known = ~np.isnan(tokens[0] + tokens[1])
    assert result.costs[0].num_problems == known.sum()
    assert (result.costs[0].first, result.costs[0].second) == pytest.approx([each[known].mean() for each in tokens])


@given(st.integers(0, 12), st.integers(0, 12))
def test_mcnemar_is_a_sum_over_coins(lost, gained):
    flips = lost + gained
    ways = [math.comb(flips, heads) for heads in range(flips + 1)]
    as_rare = sum(way for way in ways if way <= ways[gained])
    assert mcnemar_p(lost, gained) == pytest.approx(as_rare / 2**flips)
    assert mcnemar_p(lost, gained) == mcnemar_p(gained, lost)


def test_mcnemar_of_a_known_case():
    assert mcnemar_p(0, 0) == 1
    assert mcnemar_p(0, 6) == pytest.approx(2 / 64)
    with pytest.raises(ValueError, match="below 0"):
        mcnemar_p(-1, 2)


@examples(max_examples=some_of(100))
@given(pairs())
def test_counts_are_those_of_a_loop_and_ungraded_is_never_wrong(drawn):
    ids, first, second = drawn
    result = compared(ids, first, second)
    verdicts = [
        (name, None if math.isnan(a) else bool(a), None if math.isnan(b) else bool(b))
        for name, a, b in zip(ids, first.correct, second.correct, strict=True)
    ]
    graded = [(name, a, b) for name, a, b in verdicts if a is not None and b is not None]
    assert result.num_problems == len(ids)
    assert result.num_graded == len(graded)
    assert result.first.num_correct == sum(a for _, a, _ in graded)
    assert result.second.num_correct == sum(b for _, _, b in graded)
    counts = (result.both_right, result.right_to_wrong, result.wrong_to_right, result.both_wrong)
    kinds = ((True, True), (True, False), (False, True), (False, False))
    assert counts == tuple(sum((a, b) == kind for _, a, b in graded) for kind in kinds)
    assert sum(result.ungraded.values()) == len(ids) - len(graded)
    lost = sorted(name for name, a, b in graded if (a, b) == (True, False))
    gained = sorted(name for name, a, b in graded if (a, b) == (False, True))
    assert [item.problem_id for item in result.changed] == lost + gained
    for item in result.changed:
        at = ids.index(item.problem_id)
        assert item.change is (Change.RIGHT_TO_WRONG if item.problem_id in lost else Change.WRONG_TO_RIGHT)
        assert (item.first_answer, item.second_answer) == (f"A{at}", f"B{at}")
        assert item.reference == f"key of {item.problem_id}"
    assert (result.mcnemar_p is None) == (not graded)
    assert result.left_out == {"why": 2}
    json.dumps(asdict(result), allow_nan=False)


@examples(max_examples=some_of(60))
@given(pairs())
def test_swapping_the_runs_negates(drawn):
    ids, first, second = drawn
    forth, back = compared(ids, first, second), compared(ids, second, first)
    assert (forth.first, forth.second, forth.mcnemar_p) == (back.second, back.first, back.mcnemar_p)
    assert (forth.right_to_wrong, forth.wrong_to_right) == (back.wrong_to_right, back.right_to_wrong)
    differences = [(forth.accuracy_difference, back.accuracy_difference)]
    differences += [(cost.difference, other.difference) for cost, other in zip(forth.costs, back.costs, strict=True)]
    for there, again in differences:
        if there.value is None:
            assert there == again == IntervalEstimate(None, None, None)
            continue
        assert there.value == pytest.approx(-again.value)
        if there.lower is not None:
            assert (there.lower, there.upper) == pytest.approx((-again.upper, -again.lower))
    swapped = {item.problem_id: (item.second_answer, item.first_answer) for item in back.changed}
    assert {item.problem_id: (item.first_answer, item.second_answer) for item in forth.changed} == swapped
    ratio, inverse = forth.costs[0].ratio.value, back.costs[0].ratio.value
    if ratio and inverse:
        assert ratio == pytest.approx(1 / inverse)


@examples(max_examples=some_of(60))
@given(pairs())
def test_identical_runs_do_not_differ(drawn):
    ids, first, _ = drawn
    result = compared(ids, first, replace(first, label="twin"))
    assert result.changed == ()
    assert result.accuracy_difference.value in (0.0, None)
    for estimate, nothing in (
        (result.costs[0].difference, 0.0),
        (result.costs[0].ratio, 1.0),
    ):
        assert {estimate.value, estimate.lower, estimate.upper} <= {nothing, None}
    assert result.mcnemar_p == (1.0 if result.num_graded else None)


@examples(max_examples=some_of(60))
@given(pairs(), st.randoms(use_true_random=False))
def test_the_order_of_problems_decides_nothing(drawn, random):
    ids, first, second = drawn
    order = list(range(len(ids)))
    random.shuffle(order)

    def reordered(item):
        return Side(
            item.label,
            item.correct[order],
            [item.answers[at] for at in order],
            {name: values[order] for name, values in item.costs.items()},
        )

    assert compared([ids[at] for at in order], reordered(first), reordered(second)) == compared(ids, first, second)


def test_what_does_not_fit_is_refused():
    first = side("A", [1, 0], [1, 2])
    with pytest.raises(ValueError, match="repeat"):
        compared(["a", "a"], first, first)
    with pytest.raises(ValueError, match="B: tokens has 1"):
        compared(["a", "b"], first, replace(side("B", [1, 1], [1, 2]), costs={"tokens": np.ones(1)}))
    with pytest.raises(ValueError, match="costs differ"):
        compared(["a", "b"], first, replace(first, costs={"flops": np.ones(2)}))


def test_resamples_drawn_part_by_part_are_those_drawn_at_once(monkeypatch):
    sums = np.random.default_rng(0).random((50, 3))
    whole = draw_resamples(50, 33, 4) @ sums
    monkeypatch.setattr(bootstrap, "PART_SIZE", 200)
    assert resampled_sums(sums, 33, 4) == pytest.approx(whole)
    assert resampled_sums(sums, 0, 4).shape == (0, 3)
    assert draw_resamples(0, 2, 4).shape == (2, 0)
