"""The replica's side of the protocol in `records.replica`: calls in by key, numbered results out.

    submit --> task running serve(call, recall) --> result, numbered --> delivered by collect --> acknowledged, gone
                    |                                  ^
                    +--cancel--> its recall is done: --+
                                 it ends early

Every accepted call becomes exactly one result, however often it is submitted, cancelled or not, and however many
replies of `collect` are lost: what a cancelled call has come to is its result. One epoch is served at a time; a newer
one aborts and forgets what the older one left.

`serve` answers what it can say about a call as a result. An exception out of it means that the replica itself is
broken: the caller of every method gets it from then on, and `die` ends the process, so that nothing waits for it.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from actors.engines.recall import Recall
from records.failure import Failure, QueueFull, ReplicaDied, StaleEpoch, StaleIncarnation
from records.replica import Collected

REMEMBERED_KEYS = 1_000_000
"""Keys of ended calls that are still known as accepted. A call submitted again after so many others runs again, which
costs tokens and nothing else: its caller has had the result since long ago."""

_log = logging.getLogger(__name__)


class Keyed(Protocol):
    """A call: it has a key, unique within its epoch."""

    @property
    def key(self) -> str:
        """The name under which the call is accepted once."""
        ...


_CallT = TypeVar("_CallT", bound=Keyed)
_ResultT = TypeVar("_ResultT")


class _Running(NamedTuple, Generic[_ResultT]):
    """A call that is served."""

    task: asyncio.Task[_ResultT]
    recall: Recall


class Mailbox(Generic[_CallT, _ResultT]):
    """Accepts calls, runs `serve` on each, keeps the results until they are acknowledged. Lives in one event loop."""

    def __init__(
        self,
        serve: Callable[[_CallT, Recall], Awaitable[_ResultT]],
        *,
        incarnation: str,
        queue_limit: int,
        die: Callable[[int], object],
    ) -> None:
        """Open an empty mailbox.

        Args:
            serve: the work of one call, which ends soon after its recall is done; itself cancelled by a newer epoch.
            incarnation: of the replica; callers have to name it.
            queue_limit: calls that may be unfinished, or finished and not yet delivered, at one time.
            die: ends the process with an exit status; it may return in a test.
        """
        self._serve = serve
        self._incarnation = incarnation
        self._queue_limit = queue_limit
        self._die = die
        self._epoch = 0
        self._tasks: dict[str, _Running[_ResultT]] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._results: deque[tuple[int, _ResultT]] = deque()
        self._last = 0
        self._delivered = 0
        self._news = asyncio.Event()
        self._broken: BaseException | None = None
        self._aborted: set[asyncio.Task[_ResultT]] = set()

    def submit(self, incarnation: str, epoch: int, calls: Sequence[_CallT]) -> None:
        """Start every call whose key is new.

        Raises:
            StaleIncarnation: this is another process than the caller knew.
            StaleEpoch: a newer epoch has spoken.
            QueueFull: there is no room for all of them; none was accepted.
            ReplicaDied: the replica is broken.
        """
        self._admit(incarnation, epoch)
        fresh = {call.key: call for call in calls if call.key not in self._tasks and call.key not in self._ended}
        held = len(self._tasks) + self._last - self._delivered
        if held + len(fresh) > self._queue_limit:
            raise QueueFull(f"holds {held} of at most {self._queue_limit} calls; {len(fresh)} more were offered")
        for key, call in fresh.items():
            recall: Recall = asyncio.get_running_loop().create_future()
            task = asyncio.ensure_future(self._run(call, recall))
            self._tasks[key] = _Running(task, recall)
            task.add_done_callback(lambda task, key=key: self._end(key, task))  # type: ignore[misc]

    async def collect(self, incarnation: str, epoch: int, acked: int, max_wait_s: float) -> Collected[_ResultT]:
        """All finished results after number `acked`, as soon as there is one; none after `max_wait_s`.

        Raises:
            StaleIncarnation, StaleEpoch, ReplicaDied: as `submit`, also while it waits.
        """
        self._admit(incarnation, epoch)
        if acked > self._last:
            raise ValueError(f"results up to {acked} acknowledged, but only {self._last} were numbered")
        while self._results and self._results[0][0] <= acked:
            self._results.popleft()
        if not self._results:
            await self._wait_for_news(epoch, max_wait_s)
            self._admit(incarnation, epoch)
        self._delivered = self._last
        return Collected(self._last, tuple(result for _, result in self._results))

    def cancel(self, incarnation: str, epoch: int, keys: Sequence[str]) -> None:
        """End these calls early; an unknown or finished key is ignored.

        Raises:
            StaleIncarnation, StaleEpoch, ReplicaDied: as `submit`.
        """
        self._admit(incarnation, epoch)
        for key in keys:
            if key in self._tasks and not self._tasks[key].recall.done():
                self._tasks[key].recall.set_result(None)

    def check(self) -> None:
        """Raise `ReplicaDied` if the replica is broken."""
        if isinstance(self._broken, Failure):
            raise self._broken
        if self._broken is not None:
            raise ReplicaDied(f"broken by {type(self._broken).__name__}: {self._broken}") from self._broken

    def fail(self, error: BaseException) -> None:
        """Declare the replica broken and end the process."""
        if self._broken is None:
            _log.critical("the replica is broken and ends", exc_info=error)
            self._broken = error
            self._announce()
            self._die(1)

    async def close(self) -> None:
        """Abort all calls and wait until their tasks have ended."""
        self._forget_all()
        await asyncio.gather(*self._aborted, return_exceptions=True)

    def _admit(self, incarnation: str, epoch: int) -> None:
        self.check()
        if incarnation != self._incarnation:
            raise StaleIncarnation(f"this is incarnation {self._incarnation}, not {incarnation}")
        if epoch < self._epoch:
            raise StaleEpoch(f"epoch {self._epoch} has spoken; {epoch} is over")
        if epoch > self._epoch:
            self._forget_all()
            self._epoch = epoch
            self._announce()

    def _forget_all(self) -> None:
        for key in list(self._tasks):
            self._abort(key)
        self._ended.clear()
        self._results.clear()
        self._last = self._delivered = 0

    def _abort(self, key: str) -> None:
        task = self._tasks.pop(key).task
        self._aborted.add(task)
        self._remember(key)
        task.cancel()

    def _remember(self, key: str) -> None:
        self._ended[key] = None
        if len(self._ended) > REMEMBERED_KEYS:
            self._ended.popitem(last=False)

    async def _run(self, call: _CallT, recall: Recall) -> _ResultT:
        return await self._serve(call, recall)

    def _end(self, key: str, task: asyncio.Task[_ResultT]) -> None:
        self._aborted.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)
        elif key in self._tasks and self._tasks[key].task is task:
            del self._tasks[key]
            self._remember(key)
            if not task.cancelled():
                self._last += 1
                self._results.append((self._last, task.result()))
                self._announce()
            elif not task.cancelling():  # nobody outside cancelled it, as an event loop that ends does
                self.fail(RuntimeError(f"call {key} was cancelled from within"))

    def _announce(self) -> None:
        """Wake whoever waits; later waiters wait for the next news."""
        self._news.set()
        self._news = asyncio.Event()

    async def _wait_for_news(self, epoch: int, max_wait_s: float) -> None:
        try:
            async with asyncio.timeout(max_wait_s):
                while not self._results and self._epoch == epoch and self._broken is None:
                    await self._news.wait()
        except TimeoutError:
            pass
