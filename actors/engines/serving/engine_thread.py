"""vLLM's engine in this process: one thread steps it, requests go in and finished ones come out, without a copy.

    event loop: run(request) --> inbox --> thread: add, step, step, ... --> finished, a batch a step --> futures

vLLM's own server keeps the engine in a process of its own and sends it each request and, back, each token of each
step, which a front end there puts together, detokenises, counts and hands on. Here nothing leaves the engine's thread
before a request has ended: what is asked for is whole samples and scores, as token ids and numbers. That costs neither
serialisation nor a second process, and an engine cannot outlive its owner.

Guarantees: every `run` ends in a result, in `EngineRefused` (this request) or in `ReplicaDied` (the engine); after the
latter all do. Cancelling a `run` aborts its request; recalling it ends the request before the engine's next step, with
what it has come to. At most `max_num_seqs * ADMISSION` requests are in vLLM at a time,
because a long queue inside slows it down; the others wait here, in order of arrival.

Several engines may live in one process, as in tests: vLLM keeps what it works on in module globals, so one steps at a
time.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.engines.protocol import EngineRefused
from actors.engines.recall import Recall
from actors.engines.serving.engine_request import EngineRequest, Finished, cut_short, request_step
from records.failure import ReplicaDied

if TYPE_CHECKING:
    from vllm import PoolingParams, SamplingParams
    from vllm.lora.request import LoRARequest
    from vllm.v1.engine.llm_engine import LLMEngine

ADMISSION = 1.1
"""Requests given to vLLM per sequence that it batches: the surplus fills the batch between two steps."""

CLOSE_S = 30.0
"""How long the step under way may take when an engine is closed."""


class _Unwanted(NamedTuple):
    """A request that nobody waits for any more, or, where it `tells`, of which nobody needs more than there is."""

    request_id: str
    tells: bool


_one_at_a_time = threading.Lock()
_living: set["EngineThread"] = set()
"""Of this process. What they share (process groups) goes with the last one."""


class EngineThread:
    """One engine and its thread. Lives in one event loop.

    Args:
        arguments: of vLLM's `EngineArgs`.
        cpu_threads: threads of its kernels on CPU; None on GPU.
        lora_request: names the adapter that all requests go through; None: the model as it is.
    """

    def __init__(
        self, arguments: dict[str, Any], *, cpu_threads: int | None, lora_request: "LoRARequest | None" = None
    ) -> None:
        """Load the model: blocks until the engine is up. Raises what vLLM raises."""
        self.num_steps = 0
        self._loop, self._lora_request = asyncio.get_running_loop(), lora_request
        self._capacity = int(arguments["max_num_seqs"] * ADMISSION) + 1
        self._num_requests = 0
        self._inbox: deque[EngineRequest | _Unwanted] = deque()
        self._wake, self._up = threading.Event(), threading.Event()
        self._closing, self._lost_worker, self._failure = False, False, list[BaseException]()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._waiting: deque[EngineRequest] = deque()
        self._flying: dict[str, EngineRequest] = {}
        self.llm: LLMEngine
        loads = (arguments, cpu_threads)
        self._thread = threading.Thread(target=self._live, args=loads, name="vllm-engine", daemon=True)
        self._thread.start()
        self._up.wait()
        if self._failure:
            raise self._failure[0]

    async def run(
        self,
        token_ids: Sequence[int],
        parameters: "SamplingParams | PoolingParams",
        ends: Callable[[Sequence[int]], bool] | None = None,
        recall: Recall | None = None,
    ) -> Finished:
        """Serve one request to its end.

        Args:
            token_ids: the prompt.
            parameters: vLLM's, of a sample or a pooling request.
            ends: asked after each token with all sampled so far whether the sample ends there.
            recall: done when nobody needs more of it.

        Raises:
            EngineRefused: vLLM does not take this request, or has lost it.
            ReplicaDied: the engine has ended.
        """
        request = self._request(token_ids, parameters, ends)
        if self._ended.done():
            raise self._death()
        self._tell(request)
        if recall is not None:
            recall.add_done_callback(lambda _: self._tell(_Unwanted(request.request_id, tells=True)))
        try:
            return await request.future
        except asyncio.CancelledError:
            self._tell(_Unwanted(request.request_id, tells=False))
            raise

    def _tell(self, item: "EngineRequest | _Unwanted") -> None:
        """Something for the thread."""
        self._inbox.append(item)
        self._wake.set()

    @property
    def flying_tokens(self) -> int:
        """Sampled so far for requests that have not ended: their lengths are read, without a word to the thread."""
        return sum(len(request.token_ids) for request in list(self._flying.values()))

    async def watch(self) -> None:
        """Wait until the engine has ended, and raise `ReplicaDied`."""
        await asyncio.shield(self._ended)
        raise self._death()

    async def reset_prefix_cache(self) -> None:
        """Forget all prefixes; nothing may run meanwhile."""
        with _one_at_a_time:
            self.llm.engine_core.reset_prefix_cache()

    async def close(self) -> None:
        """End the engine; what still runs in it is lost. One that hangs is left to the end of its process."""
        self._closing = True
        self._wake.set()
        await asyncio.to_thread(self._thread.join, CLOSE_S)

    def _request(self, token_ids: Sequence[int], parameters: Any, ends: Any) -> EngineRequest:
        self._num_requests += 1
        request_id = str(self._num_requests)
        # "type" marks ids that are ready: raw prompts would go through vLLM's tokenizer.
        prompt: Any = {"type": "token", "prompt_token_ids": list(token_ids)}
        with refusals():
            core_request = self.llm.input_processor.process_inputs(
                request_id, prompt, parameters, self.llm.get_supported_tasks(), lora_request=self._lora_request
            )
        width = 1 + (getattr(parameters, "logprobs", None) or 0)
        return EngineRequest(request_id, core_request, ends, width, self._loop.create_future(), time.monotonic())

    def _death(self) -> ReplicaDied:
        error = self._failure[0] if self._failure else None
        why = "it was closed" if error is None else f"{type(error).__name__}: {error}"
        died = ReplicaDied(f"the engine ended: {why}")
        died.__cause__ = error
        return died

    # From here on: the engine's thread.

    def _live(self, arguments: dict[str, Any], cpu_threads: int | None) -> None:
        """Load, serve until closed, and tell whoever waits. Whatever ends the thread ends the engine."""
        try:
            with _one_at_a_time:
                self._load(arguments, cpu_threads)
                _living.add(self)
            self._up.set()
            self._serve()
        except BaseException as error:  # noqa: BLE001 - told to the loop, which raises it as what it is
            self._failure.append(error)
        # Told before anything is cleaned up: on a device that has failed, that may fail too, or never return.
        self._loop.call_soon_threadsafe(self._end)
        self._up.set()
        self._leave()

    def _leave(self) -> None:
        """Let go what the engines of a process share, with the last one; one that has failed leaves that to its end."""
        with _one_at_a_time:
            _living.discard(self)
            if not _living and not self._failure:
                self.llm.engine_core.shutdown()

    def _load(self, arguments: dict[str, Any], cpu_threads: int | None) -> None:
        import torch
        from vllm.engine.arg_utils import EngineArgs
        from vllm.v1.engine.llm_engine import LLMEngine

        if cpu_threads is not None:
            torch.set_num_threads(cpu_threads)
        self.llm = LLMEngine.from_engine_args(EngineArgs(**arguments, disable_log_stats=True))
        if arguments.get("tensor_parallel_size", 1) > 1:  # the workers are processes, and die without a step
            self.llm.model_executor.register_failure_callback(self._on_lost_worker)

    def _on_lost_worker(self) -> None:
        self._lost_worker = True
        self._wake.set()

    def _serve(self) -> None:
        core = self.llm.engine_core
        while not self._closing:
            if not self._flying and not self._inbox:
                self._wake.wait()
            self._wake.clear()
            if self._lost_worker:
                raise RuntimeError("a worker process of the engine ended")
            self._take_in(core)
            if self._flying:
                began_s = time.monotonic()
                with _one_at_a_time:
                    outputs = core.get_output().outputs
                self.num_steps += 1
                self._take_out(core, outputs, began_s)

    def _take_in(self, core: Any) -> None:
        """Add what has come and has room; abort what nobody waits for any more."""
        while self._inbox:
            item = self._inbox.popleft()
            if isinstance(item, EngineRequest):
                self._waiting.append(item)
            elif (request := self._given_up(core, item.request_id)) is not None and item.tells:
                self._loop.call_soon_threadsafe(_deliver, [(request, cut_short(request))])
        while self._waiting and len(self._flying) < self._capacity:
            request = self._waiting.popleft()
            self._flying[request.request_id] = request
            core.add_request(request.core_request)

    def _given_up(self, core: Any, request_id: str) -> EngineRequest | None:
        """Take a request out of wherever it is; None: it has ended."""
        request = self._flying.pop(request_id, None)
        if request is not None:
            core.abort_requests([request_id])
            return request
        request = next((one for one in self._waiting if one.request_id == request_id), None)
        if request is not None:
            self._waiting.remove(request)
        return request

    def _take_out(self, core: Any, outputs: Sequence[Any], began_s: float) -> None:
        """Deliver what the step that began at `began_s` has finished, all of it at once, whatever comes in between."""
        finished: list[tuple[EngineRequest, Finished | EngineRefused]] = []
        try:
            for output in outputs:
                request = self._flying.get(output.request_id)
                done = None if request is None else _step_of(request, output, began_s)
                if request is None or done is None:  # one that was aborted while the step was on its way, or goes on
                    continue
                del self._flying[output.request_id]
                finished.append((request, done))
                if output.finish_reason is None:
                    core.abort_requests([output.request_id])
        finally:
            if finished:
                self._loop.call_soon_threadsafe(_deliver, finished)

    def _end(self) -> None:
        """On the loop: nobody waits for an engine that has ended."""
        left: list[EngineRequest] = [*self._flying.values(), *self._waiting]
        left += [item for item in self._inbox if isinstance(item, EngineRequest)]
        self._ended.set_result(None)
        for request in left:
            if not request.future.done():
                request.future.set_exception(self._death())


@contextmanager
def refusals() -> Iterator[None]:
    """What vLLM says of a request that it does not take, as `EngineRefused`."""
    from vllm.exceptions import VLLMClientError

    try:
        yield
    except VLLMClientError as error:
        raise EngineRefused(f"the engine refused the request: {error}", retryable=False) from error


def _step_of(request: EngineRequest, output: Any, began_s: float) -> Finished | EngineRefused | None:
    """As `request_step`; what cannot be read is this request's fault alone, and the others go on."""
    try:
        return request_step(request, output, began_s)
    except Exception as error:  # noqa: BLE001
        return EngineRefused(f"what was sampled cannot be read: {error!r}", retryable=False)


def _deliver(finished: Sequence[tuple[EngineRequest, Finished | EngineRefused]]) -> None:
    for request, result in finished:
        if request.future.done():
            continue
        if isinstance(result, EngineRefused):
            request.future.set_exception(result)
        else:
            request.future.set_result(result)
