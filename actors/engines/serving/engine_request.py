"""One request to vLLM's engine, from its prompt to what became of it, step by step."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ENDED = "ended"
"""Why a request has ended whose `ends` said so."""

RECALLED = "recalled"
"""Why a request has ended that nobody needed any more."""


@dataclass(slots=True)
class Finished:
    """What became of one request.

    Attributes:
        token_ids: sampled, those that ended the sample included.
        logprob_ids: tokens whose log-probabilities the engine gave: [num_tokens, 1 + k], the sampled one first; empty
            where none were asked for.
        logprobs: theirs, likewise.
        finish_reason: vLLM's word, `ENDED`, or `RECALLED`.
        stop_reason: the token that ended it; None: none of those asked for.
        stopped: the engine ended it at a token, whatever else did so there.
        pooled: the tensor of a pooling request.
        cached_tokens: prompt tokens found in the prefix cache.
        queued_s: from `run` to the beginning of the step that gave the first token (of a prompt that was computed in
            chunks, the last of these; of a pooling request, its own step).
        run_s: from there to the end.
    """

    token_ids: list[int]
    logprob_ids: "np.ndarray[Any, Any]"
    logprobs: "np.ndarray[Any, Any]"
    finish_reason: str
    stop_reason: int | str | None
    stopped: bool
    pooled: Any
    cached_tokens: int
    queued_s: float
    run_s: float


@dataclass(slots=True, eq=False)
class EngineRequest:
    """One request, from `run` to its end; the engine's thread alone changes it in between.

    `width` is how many log-probabilities it has asked for at each position; a batch has as many for all as for the
    one that asked for most.
    """

    request_id: str
    core_request: Any
    ends: Callable[[Sequence[int]], bool] | None
    width: int
    future: "asyncio.Future[Finished]"
    arrived_s: float
    scheduled_s: float | None = None
    cached_tokens: int = 0
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)


def request_step(request: EngineRequest, output: Any, began_s: float) -> Finished | None:
    """Take in what one step gave to a request; what became of it if it has ended."""
    if request.scheduled_s is None:
        request.scheduled_s = began_s
        if (prefill := output.prefill_stats) is not None:
            request.cached_tokens = prefill.num_cached_tokens
    if output.new_logprobs is not None:
        request.logprobs.append(output.new_logprobs)
    reason = None if output.finish_reason is None else str(output.finish_reason)
    stopped = reason == "stop"
    for token_id in output.new_token_ids:
        request.token_ids.append(token_id)
        if request.ends is not None and request.ends(request.token_ids):
            reason = ENDED
            break
    if reason is None:
        return None
    return _finished(request, reason, output.stop_reason, output.pooling_output, stopped=stopped)


def cut_short(request: EngineRequest) -> Finished:
    """What has become of a request that ends between two steps."""
    return _finished(request, RECALLED, None, None, stopped=False)


def _finished(
    request: EngineRequest, reason: str, stop_reason: int | str | None, pooled: Any, *, stopped: bool
) -> Finished:
    logprob_ids, logprobs = _joined(request.logprobs, len(request.token_ids), request.width)
    now_s = time.monotonic()
    scheduled_s = now_s if request.scheduled_s is None else request.scheduled_s
    return Finished(
        token_ids=request.token_ids,
        logprob_ids=logprob_ids,
        logprobs=logprobs,
        finish_reason=reason,
        stop_reason=stop_reason,
        stopped=stopped,
        pooled=pooled,
        cached_tokens=request.cached_tokens,
        queued_s=scheduled_s - request.arrived_s,
        run_s=now_s - scheduled_s,
    )


def _joined(pieces: Sequence[Any], num_tokens: int, width: int) -> tuple[Any, Any]:
    if not pieces:
        return np.empty((0, width), np.int64), np.empty((0, width), np.float64)
    ids = np.concatenate([piece.logprob_token_ids[:, :width] for piece in pieces])
    logprobs = np.concatenate([piece.logprobs[:, :width] for piece in pieces])
    return ids[:num_tokens], logprobs[:num_tokens]
