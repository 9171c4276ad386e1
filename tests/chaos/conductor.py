"""Carries a schedule's strikes out when their moments come."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil

from tests.chaos.gate import Gate, Write
from tests.chaos.hooks import FAIL, GO, LOST
from tests.chaos.lives import Life, wait_until_stopped
from tests.chaos.schedules import (
    CONTROLLER,
    DISK,
    DRIVER,
    EVERYTHING,
    GCS,
    RAYLET,
    SERVER,
    WRITE,
    WRITER,
    Schedule,
    Strike,
)  # fmt: skip

MAY_END_A_LIFE = frozenset({DRIVER, EVERYTHING, RAYLET, GCS, CONTROLLER, WRITER})


@dataclass
class Conductor:
    """Strikes a schedule's lives.

    Attributes:
        gate: whose processes it strikes.
        schedule: what happens when.
        whole_tokens: what the undisturbed run samples.
        place: whose disk is filled.
        server: whose processes are restarted; None for a local store.
        done: strikes that were carried out, in order.
        missed: strikes whose moment came when there was nobody to strike.
        frozen: the life that was frozen for another one to take over.
    """

    gate: Gate
    schedule: Schedule
    whole_tokens: int
    place: Any
    server: Any
    done: list[Strike] = field(default_factory=list)
    missed: list[Strike] = field(default_factory=list)
    frozen: Life | None = None
    life: Life | None = None
    on_frozen: Callable[[], None] = lambda: None
    _frozen_processes: list[psutil.Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Listen to the gate."""
        self._lock = threading.RLock()
        self._left = list(self.schedule.strikes)
        self.gate.on_write, self.gate.on_sample = self._on_write, self._on_sample

    def _on_write(self, write: Write) -> str:
        answer = GO
        with self._lock:
            for strike in list(self._left):
                moment = strike.moment
                due = (moment.kind, moment.after) == (write.kind, write.after) and write.number >= moment.number
                if due and strike.victim == WRITE:
                    self._carried_out(strike)
                    answer = FAIL if strike.action == "fail" and not write.after else LOST
                elif due:
                    self._try(strike)
        return answer

    def _on_sample(self) -> None:
        with self._lock:
            for strike in list(self._left):
                if strike.moment.kind is None and self.gate.tokens >= strike.moment.share * self.whole_tokens:
                    self._try(strike)

    def _try(self, strike: Strike) -> None:
        """Carry it out; one whose victim is not there has its next chance at the next event."""
        if self.life is None or self.life.process.poll() is not None:
            return
        if strike.victim == DISK:
            struck = self.place.fill(strike.pause_s)
        elif strike.victim == SERVER:
            self.server.restart(strike.pause_s)
            struck = True
        else:
            struck = self._strike(self.life, strike)
        if struck:
            self._carried_out(strike)

    def _carried_out(self, strike: Strike) -> None:
        self._left.remove(strike)
        self.done.append(strike)

    def _strike(self, life: Life, strike: Strike) -> bool:
        processes = life.hosts() if strike.action == "take over" else life.victims(strike.victim)
        if strike.action == "take over" and not self.gate.players(CONTROLLER):  # nothing to take over yet
            return False
        if strike.action == "kill":
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        else:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.suspend()
        if strike.action == "take over":
            wait_until_stopped(processes)
            self._frozen_processes, self.frozen = processes, life
        elif strike.action == "freeze":
            threading.Timer(strike.pause_s, _resume, [processes]).start()
        return bool(processes)

    def thaw(self) -> None:
        """Let the life that was taken over go on."""
        _resume(self._frozen_processes)

    def explains(self, strikes_before: int) -> bool:
        """Whether a life may have ended early for what was done to it since so many strikes.

        A replica, a grader, a write or a disk is no reason: the same life goes on. A writer that dies before it has
        opened the run is one, and so are three controllers in a row.
        """
        return any(
            strike.victim == SERVER
            or (strike.action == "kill" and strike.victim in MAY_END_A_LIFE)
            or (strike.victim == WRITE and strike.moment.kind == "probe")
            for strike in self.done[strikes_before:]
        )

    def never(self) -> list[Strike]:
        """Strikes whose moment has not come."""
        return list(self._left)


def _resume(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def wait_for(condition: Callable[[], bool], limit_s: float) -> bool:
    """Whether it has come to hold by then."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.05)
    return True
