"""What the steps of an engine come to for one request; the thread itself is tested with vLLM in it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from actors.engines.serving.engine_request import ENDED, EngineRequest, Finished, request_step


@dataclass
class Prefill:
    num_cached_tokens: int = 3


@dataclass
class Logprobs:
    """Of one position: vLLM's columns are as many as the request of the batch has that asked for most."""

    logprob_token_ids: Any
    logprobs: Any


@dataclass
class Output:
    """Of one step, as vLLM has it."""

    new_token_ids: list[int]
    finish_reason: str | None = None
    stop_reason: int | None = None
    new_logprobs: Logprobs | None = None
    prefill_stats: Prefill | None = None
    pooling_output: Any = None


@dataclass
class Steps:
    """Feeds outputs to a request."""

    request: EngineRequest = field(init=False)
    width: int = 1
    ends: Any = None

    def __post_init__(self) -> None:
        loop = asyncio.new_event_loop()
        self.request = EngineRequest("1", None, self.ends, self.width, loop.create_future(), 10.0)
        loop.close()

    def feed(self, *outputs: Output) -> list[Finished | None]:
        return [request_step(self.request, output, 11.0 + at) for at, output in enumerate(outputs)]


def logprobs(*rows: list[tuple[int, float]]) -> Logprobs:
    return Logprobs(
        np.array([[token for token, _ in row] for row in rows]), np.array([[p for _, p in row] for row in rows])
    )


def test_a_request_ends_when_the_engine_says_so():
    *before, done = Steps().feed(
        Output([7], prefill_stats=Prefill(3)), Output([8]), Output([9], finish_reason="stop", stop_reason=9)
    )
    assert before == [None, None]
    assert done is not None
    assert (done.token_ids, done.finish_reason, done.stop_reason) == ([7, 8, 9], "stop", 9)
    assert (done.cached_tokens, done.queued_s) == (3, 1.0)


def test_what_comes_after_the_end_of_a_step_is_dropped():
    """Several tokens of one engine step, as speculative decoding gives them."""
    ends = [8]
    steps = Steps(ends=lambda ids: ids[-1] in ends, width=1)
    none, done = steps.feed(
        Output([7], new_logprobs=logprobs([(7, -0.1)])),
        Output([8, 5], new_logprobs=logprobs([(8, -0.2)], [(5, -0.3)])),
    )
    assert none is None
    assert done is not None
    assert (done.token_ids, done.finish_reason) == ([7, 8], ENDED)
    assert done.logprobs.tolist() == [[-0.1], [-0.2]]


def test_log_probabilities_are_as_many_as_were_asked_for_whatever_the_batch_has():
    _, done = Steps(width=2).feed(
        Output([7], new_logprobs=logprobs([(7, -0.1), (7, -0.1)])),
        Output([8], "length", new_logprobs=logprobs([(8, -0.9), (3, -0.2), (4, -2.0)])),
    )
    assert done is not None
    assert done.logprob_ids.tolist() == [[7, 7], [8, 3]]
    assert done.logprobs.tolist() == [[-0.1, -0.1], [-0.9, -0.2]]


def test_a_pooling_request_has_no_tokens():
    [done] = Steps().feed(Output([], "stop", pooling_output="hidden"))
    assert done is not None
    assert (done.pooled, done.token_ids, done.logprobs.shape) == ("hidden", [], (0, 1))
