"""DeepConf, fed by hand: which traces vote, which are aborted and where, and when sampling stops."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.path import FinishReason, Path
from records.request import Deliver, Expand, Next, Reply, ReplyKind, Scoring, Until
from scaling.answers.extract import extract_answer
from scaling.strategies.as_they_finish import Look
from scaling.strategies.published.deepconf import deepconf_offline, deepconf_online, leading_share
from scaling.strategy import Choice, Request, SearchLimits, Strategy
from scaling.uncertainty.selection import Selection
from scaling.uncertainty.token_confidence import TraceConfidence, lowest_allowed

LIMITS = SearchLimits(max_tokens=100, max_step_tokens=20)
ROOT = Path(0, None, "question")

Script = tuple[str, list[list[float]]]
"""A trace: its answer, and the confidences of its steps."""


class Traces:
    """Gives the scripted traces in the order in which they are begun, whole or step by step."""

    def __init__(self, scripts: list[Script], pick: Callable[[int], int] = lambda _: 0) -> None:
        self.scripts, self.pick = scripts, pick
        self.open: list[tuple[Path, tuple[int, int]]] = []
        self.num_requests = 0
        self.num_begun = 0
        self.nodes: dict[int, tuple[int, int]] = {}
        self.asked: list[Expand] = []
        self.num_tokens = 0

    def __call__(self, request: Request) -> Reply:
        self.num_requests += 1
        if isinstance(request, Next):
            return self.next()
        assert isinstance(request, Expand)
        assert request.scoring is Scoring.NONE
        assert request.top_logprobs == 7
        self.asked.append(request)
        leaves = []
        for path, num_samples in request.parents:
            for _ in range(num_samples):
                leaf = self.grow(path)
                while request.until is Until.END and not leaf.finished:
                    leaf = self.grow(leaf)
                leaves.append(leaf)
        if request.deliver is Deliver.EACH:
            self.open += [(leaf, (self.num_requests, child)) for child, leaf in enumerate(leaves)]
            return self.next()
        return Reply(ReplyKind.FULL, tuple(leaves))

    def next(self) -> Reply:
        path, name = self.open.pop(self.pick(len(self.open)))
        return Reply(ReplyKind.FULL, (path,), (name,), len(self.open))

    def grow(self, path: Path) -> Path:
        if path is ROOT:
            trace, step = self.num_begun, 0
            self.num_begun += 1
        else:
            trace, step = self.nodes[path.node_id]
            step += 1
        answer, steps = self.scripts[trace]
        last = step == len(steps) - 1
        text, reason = (f"\\boxed{{{answer}}}", FinishReason.EOS) if last else ("so\n\n", FinishReason.SEPARATOR)
        confidences = tuple(steps[step])
        node_id = len(self.nodes) + 1
        self.nodes[node_id] = trace, step
        self.num_tokens += len(confidences)
        return Path(node_id, path, text, (1,) * len(confidences), reason, None, None, confidences)


def play(strategy: Strategy, answer: Callable[[Any], Reply]) -> Choice:
    try:
        request = next(strategy)
        while True:
            request = strategy.send(answer(request))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


scripts = st.lists(
    st.tuples(
        st.sampled_from(["1", "2", "3"]),
        st.lists(st.lists(st.floats(3, 20), min_size=1, max_size=5), min_size=1, max_size=6),
    ),
    min_size=8,
    max_size=8,
)


def flat(steps: list[list[float]]) -> list[float]:
    return [confidence for step in steps for confidence in step]


def lowest(steps: list[list[float]], window: int) -> float:
    values = flat(steps)
    width = min(window, len(values))
    return min(sum(values[at : at + width]) / width for at in range(len(values) - width + 1))


def winner(votes: list[tuple[str, float]]) -> str:
    totals: dict[str, float] = {}
    for answer, weight in votes:
        totals[answer] = totals.get(answer, 0.0) + weight
    return max(totals, key=totals.__getitem__)


@given(scripts=scripts, window=st.integers(1, 8), share=st.sampled_from([0.1, 0.25, 0.5, 0.9, 1.0]))
def test_offline_the_surest_share_votes(scripts, window, share):
    traces = Traces(scripts)
    choice = play(
        deepconf_offline(ROOT, limits=LIMITS, num_samples=8, top_logprobs=7, window=window, keep_share=share), traces
    )
    sure = [TraceConfidence.LOWEST_GROUP.of(_leaf(script), window) for script in scripts]
    kept = [at for at in range(8) if sure[at] >= np.percentile(sure, 100 * (1 - share)) - 1e-9]
    assert choice.answer == winner(
        [(scripts[at][0], TraceConfidence.LOWEST_GROUP.of(_leaf(scripts[at]), window)) for at in kept]
    )
    assert len(choice.candidates) == len(kept)


def _leaf(script: Script) -> Path:
    return Traces([script])(Expand(((ROOT, 1),), Until.END, 100, top_logprobs=7)).paths[0]


def test_offline_a_plain_vote_counts_heads():
    scripts: list[Script] = [("1", [[4.0]]), ("1", [[4.0]]), ("2", [[9.0]]), ("3", [[3.5]])]
    settings = {"limits": LIMITS, "num_samples": 4, "top_logprobs": 7, "window": 2, "keep_share": 0.75}
    assert play(deepconf_offline(ROOT, **settings), Traces(scripts)).answer == "2"
    plain = deepconf_offline(ROOT, **settings, selection=Selection.MAJORITY)
    choice = play(plain, Traces(scripts))
    assert choice.answer == "1"
    assert len(choice.candidates) == 3


@given(scripts=scripts, window=st.integers(1, 8), share=st.sampled_from([0.1, 0.5, 0.9]), wave=st.integers(1, 5))
def test_online_traces_are_aborted_with_the_step_in_which_they_fall(scripts, window, share, wave):
    traces = Traces(scripts)
    strategy = deepconf_online(
        ROOT, limits=LIMITS, num_samples=8, num_warmup=3, wave_size=wave, top_logprobs=7, window=window,
        keep_share=share, consensus=1.1,  # never
    )  # fmt: skip
    choice = play(strategy, traces)
    threshold = float(np.percentile([lowest(steps, window) for _, steps in scripts[:3]], 100 * (1 - share))) - 1e-9
    num_tokens = sum(len(flat(steps)) for _, steps in scripts[:3])
    votes = [(answer, lowest(steps, window)) for answer, steps in scripts[:3] if lowest(steps, window) >= threshold]
    for answer, steps in scripts[3:]:
        seen: list[float] = []
        for step in steps:
            seen += step
            if len(seen) >= window and lowest([seen], window) < threshold:
                break
        num_tokens += len(seen)
        if len(seen) == len(flat(steps)) and lowest(steps, window) >= threshold:
            votes.append((answer, lowest(steps, window)))
    assert traces.num_begun == 8
    assert traces.num_tokens == num_tokens
    assert len(choice.candidates) == len(votes)
    assert choice.answer == winner(votes)
    sizes = [sum(count for _, count in request.parents) for request in traces.asked if request.parents[0][0] is ROOT]
    assert sizes == [3] + [wave] * (5 // wave) + [5 % wave] * (5 % wave > 0)


@given(
    scripts=scripts, share=st.sampled_from([0.1, 0.5, 0.9]), at_once=st.integers(1, 6), rng=st.randoms(),
    consensus=st.sampled_from([0.6, 0.9, 1.1]),
)  # fmt: skip
def test_online_in_their_order_traces_decide_as_one_after_the_other(scripts, share, at_once, rng, consensus):
    options: dict[str, Any] = {
        "limits": LIMITS, "num_samples": 8, "num_warmup": 2, "top_logprobs": 7, "window": 3, "keep_share": share,
        "consensus": consensus,
    }  # fmt: skip
    one_by_one = Traces(scripts)
    expected = play(deepconf_online(ROOT, **options, wave_size=1), one_by_one)
    world = Traces(scripts, rng.randrange)
    found = play(deepconf_online(ROOT, **options, wave_size=at_once, look=Look.ORDER), world)
    assert found.answer == expected.answer
    assert [path.solution for path in found.candidates] == [path.solution for path in expected.candidates]
    assert one_by_one.num_begun <= world.num_begun < one_by_one.num_begun + at_once


@given(scripts=scripts, at_once=st.integers(1, 6), rng=st.randoms())
def test_online_by_arrival_every_trace_counts_once_and_another_begins_for_each(scripts, at_once, rng):
    world = Traces(scripts, rng.randrange)
    options: dict[str, Any] = {"limits": LIMITS, "num_samples": 8, "num_warmup": 2, "top_logprobs": 7, "window": 3}
    never = play(deepconf_online(ROOT, **options, consensus=1.1, wave_size=at_once, look=Look.ARRIVAL), world)
    twin = play(deepconf_online(ROOT, **options, consensus=1.1, wave_size=at_once), Traces(scripts))
    assert (world.num_begun, len(world.open)) == (8, 0)
    assert sorted(path.solution for path in never.candidates) == sorted(path.solution for path in twin.candidates)


def test_online_at_the_consensus_those_under_way_are_left():
    sure: list[list[float]] = [[10.0], [10.0]]
    traces = Traces([("1", sure), ("2", sure), *[("1", sure)] * 6])
    strategy = deepconf_online(
        ROOT, limits=LIMITS, num_samples=8, num_warmup=2, wave_size=3, top_logprobs=7, window=2, consensus=0.74,
        look=Look.ARRIVAL,
    )  # fmt: skip
    choice = play(strategy, traces)
    assert choice.answer == "1"
    assert len(choice.candidates) == 4  # 3 of 4 votes
    assert len(traces.open) == 2


def test_online_sampling_stops_at_the_consensus_and_is_judged_before_each_wave():
    sure: list[list[float]] = [[10.0, 10.0]]
    answers = ["1", "1", "1", "2", "1", "1", "1", "1"]
    traces = Traces([(answer, sure) for answer in answers])
    strategy = deepconf_online(
        ROOT, limits=LIMITS, num_samples=8, num_warmup=4, wave_size=2, top_logprobs=7, window=2, consensus=0.8
    )
    assert play(strategy, traces).answer == "1"
    assert traces.num_begun == 6  # 3 of 4 are too few, 5 of 6 enough
    agreed = Traces([("1", sure)] * 8)
    strategy = deepconf_online(
        ROOT, limits=LIMITS, num_samples=8, num_warmup=4, wave_size=2, top_logprobs=7, window=2, consensus=1.0
    )
    play(strategy, agreed)
    assert agreed.num_begun == 4


def test_online_what_falls_does_not_vote_but_answers_where_nothing_else_does():
    scripts: list[Script] = [("none", [[9.0, 9.0]]), ("2", [[1.0, 1.0]])]
    traces = Traces(scripts)

    def without_answers(request: Request) -> Reply:
        reply = traces(request)
        paths = [path for path in reply.paths if extract_answer(path.solution) != "none"]
        mute = [Path(99, ROOT, "?", (1, 1), FinishReason.EOS, None, None, (9.0, 9.0))]
        return Reply(reply.kind, tuple(paths or mute))

    strategy = deepconf_online(ROOT, limits=LIMITS, num_samples=2, num_warmup=1, wave_size=1, top_logprobs=7, window=2)
    choice = play(strategy, without_answers)
    assert choice.answer == "2"


def test_equal_confidences_abort_nothing():
    """A third of three tenths is not a tenth in floating point."""
    traces = Traces([(str(at % 3), [[0.1] * (at % 5 + 1)] * 4) for at in range(20)])
    strategy = deepconf_online(
        ROOT, limits=LIMITS, num_samples=20, num_warmup=5, wave_size=4, top_logprobs=7, window=3, consensus=1.1
    )
    assert len(play(strategy, traces).candidates) == 20


def test_thresholds_and_shares():
    assert lowest_allowed([1.0, 2.0, 3.0], 0.5) == pytest.approx(2.0)
    assert lowest_allowed([1.0, 2.0, 3.0], 1.0) == pytest.approx(1.0)
    assert lowest_allowed([], 0.5) == 0
    assert leading_share({"1": 3.0, "2": 1.0}) == 0.75
    assert leading_share({}) == leading_share({"1": 0.0}) == 0
