"""Trace confidences against slow twins, and votes that weigh as much."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.path import FinishReason, Path
from scaling.uncertainty.aggregation import Aggregation
from scaling.uncertainty.selection import Selection, choose
from scaling.uncertainty.token_confidence import TraceConfidence, group_confidences, latest_group, most_confident

ROOT = Path(0, None, "question")
numbers = st.floats(0, 50, allow_subnormal=False)
traces = st.lists(st.lists(numbers, max_size=6), min_size=1, max_size=8)
windows = st.integers(1, 60)


def trace(*steps: list[float], text: str = "") -> Path:
    path = ROOT
    for number, confidences in enumerate(steps, start=1):
        last = number == len(steps)
        reason = FinishReason.EOS if last else FinishReason.SEPARATOR
        own = text if last else "step\n\n"
        path = Path(number, path, own, (1,) * len(confidences), reason, None, None, tuple(confidences))
    return path


def slow_groups(confidences: list[float], window: int) -> list[float]:
    if not confidences:
        return []
    if len(confidences) < window:
        return [sum(confidences) / len(confidences)]
    ends = range(window, len(confidences) + 1)
    return [sum(confidences[end - window : end]) / window for end in ends]


def slow_confidence(kind: TraceConfidence, confidences: list[float], window: int) -> float:
    if not confidences:
        return 0.0
    groups = sorted(slow_groups(confidences, window))
    match kind:
        case TraceConfidence.LOWEST_GROUP:
            return groups[0]
        case TraceConfidence.BOTTOM_10:
            count = max(1, int(0.1 * len(groups)))
            return sum(groups[:count]) / count
        case TraceConfidence.TAIL:
            tail = confidences[-window:]
            return sum(tail) / len(tail)
        case TraceConfidence.MEAN:
            return sum(confidences) / len(confidences)


@given(confidences=st.lists(numbers, max_size=60), window=windows)
def test_groups_are_the_means_of_all_windows(confidences, window):
    found = group_confidences(np.array(confidences, dtype=np.float64), window)
    assert found.tolist() == pytest.approx(slow_groups(confidences, window), abs=1e-9)


@pytest.mark.parametrize("kind", TraceConfidence)
@given(steps=traces, window=windows)
def test_trace_confidences_are_those_of_a_slow_twin(kind, steps, window):
    flat = [confidence for step in steps for confidence in step]
    assert kind.of(trace(*steps), window) == pytest.approx(slow_confidence(kind, flat, window), abs=1e-9)


def test_a_tenth_of_the_groups_and_what_is_no_number():
    path = trace([float(number) for number in range(30)])
    assert TraceConfidence.BOTTOM_10.of(path, 1) == pytest.approx(1.0)  # of 0, 1, 2
    assert TraceConfidence.LOWEST_GROUP.of(path, 4) == pytest.approx(1.5)
    assert TraceConfidence.TAIL.of(path, 4) == pytest.approx(27.5)
    broken = trace([3.0, math.nan, math.inf, -math.inf, -2.0])
    assert TraceConfidence.MEAN.of(broken, 4) == pytest.approx(0.6)
    with pytest.raises(ValueError, match="did not ask for top_logprobs"):
        TraceConfidence.MEAN.of(Path(1, ROOT, "x", (1,), FinishReason.EOS), 4)


@given(steps=traces, window=windows)
def test_judged_step_by_step_a_trace_falls_where_its_lowest_full_group_does(steps, window):
    """The lowest over all steps of `latest_group` is the lowest full group: none is forgotten."""
    flat = [confidence for step in steps for confidence in step]
    lowest = min((latest_group(node, window) for node in trace(*steps).lineage), default=math.inf)
    wanted = min(slow_groups(flat, window)) if len(flat) >= window else math.inf
    assert lowest == pytest.approx(wanted, abs=1e-9)


@given(confidences=st.lists(st.sampled_from([0.0, 1.0, 2.0]) | numbers, max_size=40), share=st.floats(0.01, 1))
def test_the_surest_share_is_kept(confidences, share):
    kept = most_confident(confidences, share)
    assert kept == sorted(set(kept))
    assert len(kept) >= min(len(confidences), math.floor(share * (len(confidences) - 1)) + 1)
    dropped = [confidences[index] for index in range(len(confidences)) if index not in kept]
    assert not dropped or max(dropped) < min(confidences[index] for index in kept)


@pytest.mark.parametrize(("count", "share", "num_kept"), [(30, 0.1, 3), (10, 0.9, 9), (16, 0.9, 14), (5, 1.0, 5)])
def test_as_many_as_the_percentile_leaves(count, share, num_kept):
    assert most_confident(list(map(float, range(count))), share) == list(range(count))[-num_kept:]


def test_of_equals_all_are_kept():
    assert most_confident([1.0] * 30, 0.1) == list(range(30))


def test_a_vote_weighs_as_much_as_its_confidence():
    candidates = [
        trace([2.0, 2.0], text="\\boxed{1}"),
        trace([2.5], text="\\boxed{1}"),
        trace([9.0, 1.0], text="\\boxed{2}"),
        trace([50.0], text="no answer"),
    ]
    choice = choose(candidates, Selection.CONFIDENCE_VOTE, Aggregation.LAST)
    assert (choice.answer, choice.path) == ("2", candidates[2])
    assert choose(candidates, Selection.MAJORITY, Aggregation.LAST).answer == "1"
    assert choice.candidates == tuple(candidates)
