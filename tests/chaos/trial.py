"""One schedule from its first life to the verdict."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from records.failure import Failure
from tests.chaos.checks import Found, books, differences, find
from tests.chaos.conductor import Conductor
from tests.chaos.gate import Gate
from tests.chaos.hooks import HEALTH, REPLIES
from tests.chaos.lives import Life
from tests.chaos.places import KillableStore, place
from tests.chaos.reader import PollingReader
from tests.chaos.schedules import DISK, Schedule
from tests.chaos.workloads import Engines, Workload

MAX_LIVES = 12
LIFE_S = {"scripted": 600.0, "real": 1200.0}
"""A life that takes longer hangs."""
END_S = 60.0
"""What a life has started has ended so long after it."""
WATCH = "10 20"
"""Seconds after which a silent replica is asked, and that it has."""
PATIENT_RAY = {"RAY_agent_register_timeout_ms": "240000", "RAY_worker_register_timeout_seconds": "300"}
"""A raylet ends by itself when its agents need half a minute to start, as on a machine with other things to do."""
TOO_BUSY = "The current node timed out during startup"
"""Ray gives its own processes half a minute."""
DONE, FENCED = 0, 1


@dataclass(frozen=True)
class Undisturbed:
    """What a command leaves when nothing happens to it."""

    found: Found
    tokens: int
    wall_s: float
    writes: dict[str, int]


@dataclass
class Outcome:
    """What became of a schedule.

    Attributes:
        schedule: that was carried out.
        wrong: what does not hold; empty is what is wanted.
        lives: exit status of each life, in order.
        done: strikes that were carried out.
        missed: strikes that were not, because their moment or their victim never came.
        tokens: that engines sampled, in all lives.
        lost_tokens: that are in no row.
        extra: `tokens` as a share of the undisturbed run's.
        wall_s: of all lives.
    """

    schedule: Schedule
    wrong: list[str] = field(default_factory=list)
    lives: list[int] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    victims: list[str] = field(default_factory=list)
    noise: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    looks: int = 0
    tokens: int = 0
    lost_tokens: int = 0
    extra: float = 0.0
    wall_s: float = 0.0
    undisturbed_wall_s: float = 0.0

    def __str__(self) -> str:
        """One line, and one for each thing that is wrong."""
        said = f"{'WRONG' if self.wrong else 'ok'} {self.schedule} | lives {self.lives}, tokens {self.extra:.2f} of "
        said += f"undisturbed ({self.lost_tokens} lost), {self.wall_s:.0f} s of {self.undisturbed_wall_s:.0f} s"
        missed = [f"never: {strike}" for strike in self.missed]
        return "\n    ".join([said, *missed, *self.notes, *self.wrong])


def undisturbed(workload: Workload, engines: Engines, folder: Path) -> Undisturbed:
    """Run a command with nothing that happens to it, and check that too."""
    schedule = Schedule(0, workload, engines, "local", ())
    with _stage(schedule, folder, None) as stage:
        for number in range(MAX_LIVES):
            begun_s = time.monotonic()
            life = stage.begin(number)
            code = life.finish(LIFE_S[engines])
            wall_s = time.monotonic() - begun_s
            said = life.log.read_text()
            if TOO_BUSY not in said:
                break
        if code != DONE:
            life.end()
            raise AssertionError(f"{workload.name} ends with {code} when nothing happens to it:\n{said}")
        wrong = [*books(stage.place.uri, workload.cap), *(f"{one} lives" for one in life.survivors(END_S))]
        wrong += stage.place.left_behind()
        if wrong:
            raise AssertionError(f"{workload.name}, when nothing happens to it: {wrong}")
        return Undisturbed(find(stage.place.uri), stage.gate.tokens, wall_s, dict(stage.gate.writes))


def carry_out(schedule: Schedule, reference: Undisturbed, server: KillableStore | None, folder: Path) -> Outcome:
    """Live a schedule through, and check what it has left."""
    outcome = Outcome(schedule, undisturbed_wall_s=reference.wall_s)
    with _stage(schedule, folder, server) as stage:
        conductor = Conductor(stage.gate, schedule, reference.tokens, stage.place, server)
        begun_s = time.monotonic()
        with PollingReader(stage.place.uri) as reader:
            _live(stage, conductor, outcome)
            outcome.wall_s = time.monotonic() - begun_s
            if server is not None:
                server.settled()
        outcome.looks = reader.num_looks
        outcome.wrong += reader.wrong
        outcome.done = [str(strike) for strike in conductor.done]
        outcome.victims = [strike.victim for strike in conductor.done]
        outcome.missed = [str(strike) for strike in conductor.never()]
        outcome.noise = {**stage.gate.replies, **getattr(getattr(stage.place, "proxy", None), "bad", {})}
        if not outcome.wrong:
            _judge(stage, outcome, reference)
    return outcome


def _judge(stage: "_Stage", outcome: Outcome, reference: Undisturbed) -> None:
    workload = outcome.schedule.workload
    try:
        outcome.wrong += books(stage.place.uri, workload.cap)
        found = find(stage.place.uri)
        outcome.wrong += differences(found, reference.found, same_rows=workload.same_rows)
        outcome.wrong += [f"left behind: {one}" for one in stage.place.left_behind()]
    except Failure as failed:
        outcome.wrong.append(f"what it left cannot be read: {failed}")
        return
    outcome.tokens = stage.gate.tokens
    outcome.lost_tokens = stage.gate.tokens - found.charged_tokens
    outcome.extra = stage.gate.tokens / max(1, reference.tokens)


def _live(stage: "_Stage", conductor: Conductor, outcome: Outcome) -> None:
    """One life after another, until one comes to its end; then the one that was frozen goes on and finds itself out."""
    limit_s = LIFE_S[outcome.schedule.engines]
    for number in range(MAX_LIVES):
        before = len(conductor.done)
        take_over = conductor.frozen is not None
        life = conductor.life = stage.begin(number, take_over=take_over)
        code = _finish(life, conductor, limit_s)
        if code is None and conductor.frozen is life:
            continue
        outcome.lives.append(99 if code is None else code)
        if code is None:
            outcome.wrong.append(f"life {number} hangs: {_last_words(life)}")
            life.end()
            return
        outcome.wrong += [f"life {number} left {one}" for one in life.survivors(END_S)]
        if code == DONE:
            _thaw(conductor, outcome, stage)
            return
        if TOO_BUSY in life.log.read_text():
            outcome.notes.append(f"life {number}: this machine was too busy for Ray to start")
        elif not conductor.explains(before):
            outcome.wrong.append(f"life {number} ended with {code} for no reason: {_last_words(life)}")
            return
    outcome.wrong.append(f"not done after {MAX_LIVES} lives: {_last_words(life)}")


def _finish(life: Life, conductor: Conductor, limit_s: float) -> int | None:
    """Its exit status; None if it hangs, or was frozen for another one to take over."""
    deadline_s = time.monotonic() + limit_s
    while time.monotonic() < deadline_s and conductor.frozen is not life:
        code = life.process.poll()
        if code is not None:
            return life.finish(0)
        time.sleep(0.05)
    return None


def _thaw(conductor: Conductor, outcome: Outcome, stage: "_Stage") -> None:
    """Whoever was taken over goes on, notices, ends, and has changed nothing that a reader sees."""
    if conductor.frozen is None:
        return
    before = find(stage.place.uri)
    conductor.life = None
    conductor.thaw()
    code = conductor.frozen.finish(LIFE_S[outcome.schedule.engines])
    if code != FENCED:
        outcome.wrong.append(f"the life that was taken over ended with {code}: {_last_words(conductor.frozen)}")
    outcome.wrong += [f"it left {one}" for one in conductor.frozen.survivors(END_S)]
    if find(stage.place.uri) != before:
        outcome.wrong.append("the life that was taken over changed what readers see")


def _last_words(life: Life) -> str:
    return life.log.read_text()[-1500:]


@dataclass
class _Stage:
    schedule: Schedule
    folder: Path
    gate: Gate
    place: Any
    environment: dict[str, str]

    def begin(self, number: int, *, take_over: bool = False) -> Life:
        workload, engines = self.schedule.workload, self.schedule.engines
        words = [*workload.words(engines), "--output", self.place.uri, *(["--take-over"] if take_over else [])]
        return Life(
            words,
            gate=self.gate,
            folder=self.folder,
            name=f"life-{number}",
            environment=self.environment | self.place.environment,
        )


@contextmanager
def _stage(schedule: Schedule, folder: Path, server: KillableStore | None) -> Iterator[_Stage]:
    """A gate, a place and Ray's own folder; gone afterwards, but for the lives' logs."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    ray = tempfile.mkdtemp(prefix="pc-")  # short: Ray's sockets lie in it
    environment = {"RAY_TMPDIR": ray, HEALTH: WATCH, **PATIENT_RAY}
    if schedule.lost_replies or schedule.late_replies:
        environment[REPLIES] = f"{schedule.lost_replies} {schedule.late_replies}"
    if server is not None:
        os.environ.update(server.gateway.environment)  # our own readers go past the proxy
    on_disk = any(strike.victim == DISK for strike in schedule.strikes)
    try:
        with (
            Gate(Path(ray)) as gate,
            place(
                schedule.store, folder, server,
                on_disk=on_disk, bad_answers=schedule.bad_answers, seed=str(schedule),
            ) as where,
        ):  # fmt: skip
            yield _Stage(schedule, folder, gate, where, environment)
    finally:
        for log in Path(ray).glob("ray/session_2*/logs/raylet.*"):
            shutil.copy(log, folder / f"{log.parts[-3]}-{log.name}")
        shutil.rmtree(ray, ignore_errors=True)
