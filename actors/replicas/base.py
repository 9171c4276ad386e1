"""What the generator and the PRM replica have in common: an engine that is built once, a mailbox, a health check."""

import asyncio
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from actors.engines.protocol import EngineRefused
from actors.engines.recall import Recall
from actors.replicas.mailbox import Keyed, Mailbox
from records.failure import Failure, ReplicaDied
from records.replica import Collected, ReplicaInfo


class Engine(Protocol):
    """What every engine can do."""

    @property
    def num_steps(self) -> int:
        """Grows while the engine works, also when no call ends for long."""
        ...

    async def watch(self) -> None:
        """Wait until the engine has ended, whatever the reason, and raise `ReplicaDied`."""
        ...

    async def close(self) -> None:
        """End the engine and its processes."""
        ...


_CallT = TypeVar("_CallT", bound=Keyed)
_ResultT = TypeVar("_ResultT")
EngineT = TypeVar("EngineT", bound=Engine)


class ModelReplica(ABC, Generic[_CallT, _ResultT, EngineT]):
    """Speaks `records.replica.Replica[_CallT, _ResultT]` for one engine. Lives in one event loop."""

    def __init__(self, build: Callable[[], EngineT], *, queue_limit: int, die: Callable[[int], object]) -> None:
        """Prepare a replica; nothing is loaded before `hello`.

        Args:
            build: loads the model; blocks until the engine is up.
            queue_limit: calls accepted before `QueueFull`.
            die: ends the process when the engine has died. By default not `sys.exit`, nor Ray's way out of an actor:
                Ray takes only a process that is gone as a fault, after which it starts the actor again.
        """
        self.incarnation = uuid.uuid4().hex
        self._build = build
        self._mailbox: Mailbox[_CallT, _ResultT] = Mailbox(
            self._serve, incarnation=self.incarnation, queue_limit=queue_limit, die=die
        )
        self._starting = asyncio.Lock()
        self._engine: EngineT | None = None
        self._info: ReplicaInfo | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def engine(self) -> EngineT:
        """The engine, once `hello` has built it."""
        if self._engine is None:
            raise ReplicaDied("the engine is not up: hello() comes first")
        return self._engine

    @abstractmethod
    async def _introduce(self, engine: EngineT) -> ReplicaInfo:
        """Check the engine that was just built and say what it is."""

    @abstractmethod
    async def _serve(self, call: _CallT, recall: Recall) -> _ResultT:
        """Answer one call; soon after its recall is done, with what it has come to."""

    @abstractmethod
    async def _canary(self) -> None:
        """The smallest piece of work that goes through the whole engine."""

    def _flying_tokens(self) -> int:
        """Generated so far for calls that have not ended."""
        return 0

    async def hello(self) -> ReplicaInfo:
        """Load and check the model, once, and say what it is.

        Raises:
            InvalidInput: the model's files and the settings do not fit.
            PreflightFailed: the engine does not compute what the model's author says it does.
        """
        async with self._starting:
            if self._engine is None:
                self._engine = self._load()
                # Waiting for the error of the next call is not enough: an idle replica would never know, and vLLM
                # leaves a call waiting for ever whose request was still on its way when the engine died.
                self._watch = asyncio.create_task(self._engine.watch())
                self._watch.add_done_callback(self._report_watch)
            if self._info is None:
                self._info = await self._introduce(self._engine)
        self._mailbox.check()
        return self._info

    def _load(self) -> EngineT:
        """Build the engine. Whatever the loading raises (no memory, a wrong setting), the replica is not up."""
        try:
            return self._build()
        except Failure:
            raise
        except Exception as error:
            raise ReplicaDied(f"the engine did not come up: {type(error).__name__}: {error}") from error

    async def submit(self, incarnation: str, epoch: int, calls: Sequence[_CallT]) -> None:
        """See `Replica.submit`."""
        self._mailbox.submit(incarnation, epoch, calls)

    async def collect(self, incarnation: str, epoch: int, acked: int, max_wait_s: float) -> Collected[_ResultT]:
        """See `Replica.collect`."""
        found = await self._mailbox.collect(incarnation, epoch, acked, max_wait_s)
        return Collected(found.last, found.results, self._flying_tokens())

    async def cancel(self, incarnation: str, epoch: int, keys: Sequence[str]) -> None:
        """See `Replica.cancel`."""
        self._mailbox.cancel(incarnation, epoch, keys)

    async def check_health(self, deadline_s: float) -> None:
        """Run a canary; any step that the engine made meanwhile is as good a sign of life.

        Raises:
            ReplicaDied: nothing came back in time, or the engine is gone.
        """
        self._mailbox.check()
        before = self.engine.num_steps
        try:
            async with asyncio.timeout(deadline_s):
                await self._canary()
        except TimeoutError:
            if self.engine.num_steps == before:
                raise ReplicaDied(f"the engine did not answer within {deadline_s:g} s") from None
        except EngineRefused as error:
            raise ReplicaDied(f"the engine refuses its canary: {error}") from error
        except ReplicaDied as error:
            self._mailbox.fail(error)
            raise

    async def close(self) -> None:
        """Abort what runs and end the engine."""
        if self._watch is not None:
            self._watch.cancel()
        await self._mailbox.close()
        if self._engine is not None:
            await self._engine.close()

    def _report_watch(self, watch: asyncio.Task[None]) -> None:
        if not watch.cancelled() and (error := watch.exception()) is not None:
            self._mailbox.fail(error)
