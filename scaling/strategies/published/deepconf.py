"""DeepConf: the generator's own confidence filters, weighs and stops traces (Fu et al., arXiv 2508.15260).

    offline   `num_samples` traces; those at or above percentile 100 (1 - eta) of their confidences vote, eta being
              `keep_share`
    online    warm-up    `num_warmup` whole traces; threshold s = percentile 100 (1 - eta) of their lowest groups
              growing    `wave_size` traces side by side, step by step; one whose lowest group falls below s is aborted
              consensus  stop when the leading answer has at least `consensus` (tau) of all votes
              end        consensus, or `num_samples` traces, warm-up and aborted ones included; the others vote

A vote weighs as much as the confidence of its trace. From the paper's code: a group counts once
its window is full, a trace that ends before has its mean, and warm-up traces below s do not vote. Different: the code
has no consensus stop, and aborts at the token; here a trace ends with the step in which it fell, so that steps stay
steps.

When votes are counted is `look`: after each wave of `wave_size` traces, or after each trace
(`scaling.strategies.as_they_finish`), as the paper has it, where another begins for each that has ended and those under
way are cancelled at the consensus.

Only traces that state an answer are filtered offline (ours). When nothing that was kept states an answer, what was
filtered or aborted votes. No PRM is needed.
"""

from collections.abc import Callable, Generator, Mapping, Sequence

from records.path import Path
from records.request import Expand, Reply, ReplyKind, Scoring, Until
from scaling.answers.stated import answer_of, form_of
from scaling.strategies.as_they_finish import Look, as_they_finish
from scaling.strategies.stepwise import closed, one_step
from scaling.strategy import Choice, Request, SearchLimits, Strategy
from scaling.uncertainty.selection import TOP_LOGPROBS, Selection, weighted_vote
from scaling.uncertainty.token_confidence import TraceConfidence, latest_group, lowest_allowed, most_confident

Weigh = Callable[[Path], float]


def deepconf_offline(
    root: Path,
    *,
    limits: SearchLimits,
    num_samples: int,
    top_logprobs: int = TOP_LOGPROBS,
    window: int = 128,
    keep_share: float = 0.9,
    trace_confidence: TraceConfidence = TraceConfidence.LOWEST_GROUP,
    selection: Selection = Selection.CONFIDENCE_VOTE,
) -> Strategy:
    """Sample `num_samples` traces, keep the surest `keep_share` of those with an answer, and vote."""
    asked = ((root, num_samples),)
    reply = yield Expand(asked, Until.END, limits.max_tokens, top_logprobs=top_logprobs)
    stating = [path for path in reply.paths if answer_of(path) is not None]
    kept = most_confident([trace_confidence.of(path, window) for path in stating], keep_share)
    return _vote([stating[index] for index in kept], reply.paths, _weigher(selection, trace_confidence, window))


def deepconf_online(
    root: Path,
    *,
    limits: SearchLimits,
    num_samples: int,
    num_warmup: int = 16,
    wave_size: int = 8,
    look: Look = Look.WAVES,
    max_steps: int = 1000,
    top_logprobs: int = TOP_LOGPROBS,
    window: int = 128,
    keep_share: float = 0.9,
    consensus: float = 0.95,
    trace_confidence: TraceConfidence = TraceConfidence.LOWEST_GROUP,
    selection: Selection = Selection.CONFIDENCE_VOTE,
) -> Strategy:
    """At most `num_samples` traces; after the first `num_warmup`, `wave_size` at a time, each as long as it is sure."""
    asked = ((root, num_warmup),)
    reply = yield Expand(asked, Until.END, limits.max_tokens, top_logprobs=top_logprobs)
    weigh = _weigher(selection, trace_confidence, window)
    begun = list(reply.paths)
    threshold = lowest_allowed([TraceConfidence.LOWEST_GROUP.of(path, window) for path in begun], keep_share)
    votes: dict[str, float] = {}

    def sure(path: Path) -> bool:
        return TraceConfidence.LOWEST_GROUP.of(path, window) >= threshold

    def agreed(path: Path, _: int) -> bool:
        answer = answer_of(path)
        if answer is not None and sure(path):
            form = form_of(path, answer)
            votes[form] = votes.get(form, 0.0) + weigh(path)
        return leading_share(votes) >= consensus

    def goes_on(path: Path) -> bool:
        return not closed(path, limits) and path.depth < max_steps and latest_group(path, window) >= threshold

    def ask(growing: Sequence[tuple[Path, int]]) -> Expand:
        return one_step(growing, limits, scoring=Scoring.NONE, top_logprobs=top_logprobs)

    done = [agreed(path, 0) for path in begun]
    num_left = num_samples - num_warmup
    if reply.kind is ReplyKind.FULL and num_left > 0 and not done[-1]:
        begun += yield from (
            _waves(ask, agreed, goes_on, root=root, num_samples=num_left, wave_size=wave_size)
            if look is Look.WAVES
            else as_they_finish(
                ask([(root, 1)]), num_samples=num_left, at_once=wave_size, look=look, enough=agreed, goes_on=goes_on
            )
        )
    return _vote([path for path in begun if sure(path)], begun, weigh)


def leading_share(votes: Mapping[str, float]) -> float:
    """beta: the part of all votes that the leading answer has, in [0, 1]; 0 where nobody has voted."""
    total = sum(votes.values())
    return max(votes.values()) / total if total > 0 else 0.0


def _waves(
    ask: Callable[[Sequence[tuple[Path, int]]], Expand],
    agreed: Callable[[Path, int], bool],
    goes_on: Callable[[Path], bool],
    *,
    root: Path,
    num_samples: int,
    wave_size: int,
) -> Generator[Request, Reply, list[Path]]:
    """Traces in waves, of which each is judged when it is complete: where each ended or was aborted, in order."""
    begun: list[Path] = []
    while len(begun) < num_samples:
        wave, reply = yield from _grown(root, min(wave_size, num_samples - len(begun)), ask, goes_on)
        begun += wave
        votes = [agreed(path, num_samples - len(begun)) for path in wave]
        if reply.kind is not ReplyKind.FULL or votes[-1]:
            break
    return begun


def _grown(
    root: Path,
    num_traces: int,
    ask: Callable[[Sequence[tuple[Path, int]]], Expand],
    goes_on: Callable[[Path], bool],
) -> Generator[Request, Reply, tuple[list[Path], Reply]]:
    """A wave: where each trace ended or was aborted, in order, and the last reply.

    If that is not `FULL`, what it delivered stands behind the others.
    """
    reply = yield ask([(root, num_traces)])
    traces = list(reply.paths)
    growing = list(range(num_traces))
    while reply.kind is ReplyKind.FULL and (growing := [index for index in growing if goes_on(traces[index])]):
        reply = yield ask([(traces[index], 1) for index in growing])
        if reply.kind is not ReplyKind.FULL:
            gone = {path.parent.node_id for path in reply.paths if path.parent is not None}
            return [*(path for path in traces if path.node_id not in gone), *reply.paths], reply
        for index, path in zip(growing, reply.paths, strict=True):
            traces[index] = path
    return traces, reply


def _vote(kept: Sequence[Path], begun: Sequence[Path], weigh: Weigh) -> Choice:
    choice = weighted_vote(kept, weigh)
    return choice if choice.answer is not None else weighted_vote(begun, weigh)


def _weigher(selection: Selection, confidence: TraceConfidence, window: int) -> Weigh:
    if selection is Selection.MAJORITY:
        return lambda _: 1.0
    return lambda path: confidence.of(path, window)
