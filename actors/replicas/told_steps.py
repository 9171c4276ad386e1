"""What a generator tells of a sample: its steps, each with its own part of what was drawn."""

from collections.abc import Sequence

from actors.engines.steps import Step
from actors.engines.thoughts.scan import ThoughtScan
from actors.replicas.drawing import Drawing
from records.calls import SampleCall, SampledStep
from records.path import ENDS, FinishReason, Phases
from records.request import Until


def told_steps(
    call: SampleCall, drawing: Drawing, pieces: Sequence[Step], scan: ThoughtScan | None
) -> list[SampledStep]:
    """The steps of a sample; all but the last end at the separator, the last where the engine stopped.

    Args:
        call: that is answered.
        drawing: what it has come to.
        pieces: that, cut into steps.
        scan: that has taken it in; None: thoughts are not told.
    """
    steps: list[SampledStep] = []
    start = 0
    for piece in pieces:
        stop = start + len(piece.token_ids)
        phases = None if scan is None else _phases(drawing, scan, start, piece)
        last = len(steps) + 1 == len(pieces)
        reason = _finish_reason(call, drawing, phases) if last else piece.ended
        logprob_sum = None if drawing.logprobs is None else sum(drawing.logprobs[start:stop])
        sampled_sum = None if drawing.drawn is None else sum(drawing.drawn[start:stop])
        sure = None
        if drawing.confidences is not None:
            sure = tuple(value for value in drawing.confidences[start:stop] if value is not None)
        steps.append(SampledStep(piece.text, piece.token_ids, reason, logprob_sum, sure, sampled_sum, phases))
        start = stop
    return steps


def _phases(drawing: Drawing, scan: ThoughtScan, start: int, piece: Step) -> Phases:
    stop = start + len(piece.token_ids)
    phases = scan.phases(start, stop, piece.text)
    closed = any(start <= place < stop for place in drawing.closed)
    return phases._replace(is_closed=closed, num_prolonged=sum(start <= place < stop for place in drawing.prolonged))


def _finish_reason(call: SampleCall, drawing: Drawing, phases: Phases | None) -> FinishReason:
    """The engine's reason, but reaching the number of tokens that was asked for is no cut, and a thought no answer."""
    reason = drawing.finish_reason
    if call.until is Until.TOKENS and drawing.spent == call.max_tokens and reason is FinishReason.LENGTH:
        return FinishReason.TOKENS
    return FinishReason.UNFINISHED_THOUGHT if phases is not None and phases.is_open and reason in ENDS else reason
