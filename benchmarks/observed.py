"""Watching a run without a hand in it: when its first call left, when its last result came, and who used the cores."""

import os
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import psutil

from actors.controller.protocols import ReplicaHandle
from records.replica import Collected, ReplicaInfo

CallT = TypeVar("CallT")
ResultT = TypeVar("ResultT")

_RECORD = struct.Struct("<dddqqqq")
SAMPLE_S = 1.0
"""Time between two looks at the processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What went over one handle.

    Attributes:
        first_call_s: when the first call was sent (seconds of the epoch).
        last_result_s: when the last result was there.
        caller_cpu_s: processor time of the caller's process in between, all threads.
        num_submits: remote calls that brought calls (`num_collects`: that fetched results).
        num_calls: in all (`num_results` alike).
    """

    first_call_s: float
    last_result_s: float
    caller_cpu_s: float
    num_submits: int
    num_calls: int
    num_collects: int
    num_results: int


class ObservedReplica(Generic[CallT, ResultT]):
    """A replica handle that notes the traffic in a file; what it does otherwise is the inner handle's business."""

    def __init__(self, inner: ReplicaHandle[CallT, ResultT], folder: Path) -> None:
        self.replica_id = inner.replica_id
        self.inner = inner
        self._file = folder / inner.replica_id
        self._fd: int | None = None
        self._first_s = self._first_cpu_s = 0.0
        self._submits = self._calls = self._collects = self._results = 0

    def take_traffic(self) -> Traffic:
        """What the last user of a copy noted; to be read where the folder is."""
        *times, submits, calls, collects, results = _RECORD.unpack(self._file.read_bytes())
        first_s, last_s, cpu_s = times
        return Traffic(
            first_call_s=first_s,
            last_result_s=last_s,
            caller_cpu_s=cpu_s,
            num_submits=submits,
            num_calls=calls,
            num_collects=collects,
            num_results=results,
        )

    async def hello(self) -> ReplicaInfo:
        """See `Replica`."""
        return await self.inner.hello()

    async def submit(self, incarnation: str, epoch: int, calls: Sequence[CallT]) -> None:
        """See `Replica`."""
        if self._fd is None:
            self._fd = os.open(self._file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
            self._first_s, self._first_cpu_s = time.time(), time.process_time()
        self._submits += 1
        self._calls += len(calls)
        await self.inner.submit(incarnation, epoch, calls)

    async def collect(self, incarnation: str, epoch: int, acked: int, max_wait_s: float) -> Collected[ResultT]:
        """See `Replica`."""
        collected = await self.inner.collect(incarnation, epoch, acked, max_wait_s)
        if collected.results and self._fd is not None:
            self._collects += 1
            self._results += len(collected.results)
            now_s, cpu_s = time.time(), time.process_time() - self._first_cpu_s
            counts = (self._submits, self._calls, self._collects, self._results)
            os.pwrite(self._fd, _RECORD.pack(self._first_s, now_s, cpu_s, *counts), 0)
        return collected

    async def cancel(self, incarnation: str, epoch: int, keys: Sequence[str]) -> None:
        """See `Replica`."""
        await self.inner.cancel(incarnation, epoch, keys)

    async def check_health(self, deadline_s: float) -> None:
        """See `Replica`."""
        await self.inner.check_health(deadline_s)

    async def close(self) -> None:
        """See `Replica`."""
        await self.inner.close()

    async def place(self) -> None:
        """See `ReplicaHandle`."""
        await self.inner.place()

    def node_died(self) -> None:
        """See `ReplicaHandle`."""
        self.inner.node_died()

    def let_go(self) -> None:
        """See `ReplicaHandle`."""
        self.inner.let_go()

    async def replace(self) -> None:
        """See `ReplicaHandle`."""
        await self.inner.replace()


class CoreUse:
    """Processor time by role, second by second, while the block runs.

    Args:
        roles: process id -> what it is; their engines are told by their names, everything else below this process by
            what Ray calls it.
    """

    def __init__(self, roles: dict[int, str]) -> None:
        self._roles = roles
        self._samples: list[tuple[float, float, dict[str, float]]] = []
        self._known: dict[int, tuple[psutil.Process, str]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()
        self._sample()

    def cores(self, start_s: float, end_s: float) -> dict[str, float]:
        """Cores in use between two times, by role; "others" is what the rest of the machine used."""
        seconds = 0.0
        used: dict[str, float] = {}
        for (begin_s, busy, before), (stop_s, busy_then, after) in pairwise(self._samples):
            if begin_s < start_s - SAMPLE_S / 2 or stop_s > end_s + SAMPLE_S / 2:
                continue
            seconds += stop_s - begin_s
            ours = {role: max(0.0, after[role] - before.get(role, 0.0)) for role in after}
            for role, spent in (ours | {"others": busy_then - busy - sum(ours.values())}).items():
                used[role] = used.get(role, 0.0) + spent
        return {role: round(spent / seconds, 3) for role, spent in used.items() if spent / seconds >= 0.005}

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self._sample()

    def _sample(self) -> None:
        used: dict[str, float] = {}
        me = psutil.Process()
        for process in [me, *me.children(recursive=True)]:
            try:
                _, role = self._known.setdefault(process.pid, (process, ""))
                role = role or self._role(process)
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            used[role] = used.get(role, 0.0) + times.user + times.system
        machine: Any = psutil.cpu_times()
        busy = sum(machine[:]) - machine.idle - machine.iowait - machine.guest - machine.guest_nice
        self._samples.append((time.time(), busy, used))

    def _role(self, process: psutil.Process) -> str:
        if process.pid in self._roles:
            return self._roles[process.pid]
        if process.pid == os.getpid():
            return "driver"
        for mark, role in (("ThreadedHost", "writer"), ("ReplicaHost", "replica"), ("AsyncHost", "controller")):
            if mark in process.name():
                return role
        return "ray and graders"
