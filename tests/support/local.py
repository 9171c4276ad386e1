"""A run in one process: the real controller, writer, store and grader around replicas with fake engines."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from actors.controller.controller import Controller
from actors.controller.replica_client import HealthCheck
from actors.controller.settings import FlushPolicy, RunSettings, RunSoFar
from actors.engines.scripted.world import right_answer
from actors.grading.grader import AnswerGrader, GradeRequest
from actors.grading.process import GradeFailure
from actors.writer.journals import read_journals
from actors.writer.lease import this_process
from actors.writer.run_state import RunState
from actors.writer.writer import Writer
from cluster.store import LocalStore
from records.calls import Sampling
from records.failure import Fenced, ReplicaDied
from records.metrics import Reading
from records.packing import Columns
from records.problem import Problem
from records.progress import Progress
from records.replica import Collected, ReplicaInfo
from records.rows import ProblemRow
from records.run_folder.manifest import Manifest
from records.schemas import SCHEMA_VERSION
from records.usage import Role, Usage
from scaling.answers.classes import DEFAULT_POLICY, AnswerPolicy
from scaling.budget.metering import ReplicaRate
from scaling.strategies.best_of_n import best_of_n
from scaling.strategy import SearchLimits, StrategyFactory
from scaling.uncertainty.abstention import Abstention
from tests.support.fakes import deaths, fake_generator, fake_prm

ReplicaT = TypeVar("ReplicaT")
LIMITS = SearchLimits(max_tokens=200, max_step_tokens=40)


class LocalHandle(Generic[ReplicaT]):
    """A replica in this process behind the handle's protocol; a dead one answers as a dead process would."""

    def __init__(self, replica_id: str, make: Callable[[], Any]) -> None:
        self.replica_id = replica_id
        self.num_made = 0
        self.dismissed = False
        self._make = make
        self.replica = self._fresh()

    async def place(self) -> None:
        """It is where it was made."""

    def node_died(self) -> None:
        """It has no node."""

    async def hello(self) -> ReplicaInfo:
        return await self._alive().hello()  # type: ignore[no-any-return]

    async def submit(self, incarnation: str, epoch: int, calls: Sequence[Any]) -> None:
        await self._alive().submit(incarnation, epoch, calls)

    async def collect(self, incarnation: str, epoch: int, acked: int, max_wait_s: float) -> Collected[Any]:
        return await self._alive().collect(incarnation, epoch, acked, max_wait_s)  # type: ignore[no-any-return]

    async def cancel(self, incarnation: str, epoch: int, keys: Sequence[str]) -> None:
        await self._alive().cancel(incarnation, epoch, keys)

    async def check_health(self, deadline_s: float) -> None:
        await self._alive().check_health(deadline_s)

    async def close(self) -> None:
        await self.replica.close()

    def let_go(self) -> None:
        """Nothing is open."""

    def dismiss(self) -> None:
        """Nobody waits for its end."""
        self.dismissed = True

    async def replace(self) -> None:
        self.replica = self._fresh()

    def _fresh(self) -> Any:
        self.num_made += 1
        return self._make()

    def _alive(self) -> Any:
        if deaths(self.replica):
            raise ReplicaDied("its process is gone")
        return self.replica


class LocalWriter:
    """The real writer, called directly."""

    def __init__(self, writer: Writer, run: "LocalRun") -> None:
        self.writer = writer
        self._run = run
        self._num_appended = 0

    async def append(self, batch: int, problems: Sequence[ProblemRow], columns: Sequence[Columns]) -> None:
        self.writer.append(batch, problems, columns)
        self._num_appended += len(problems)

    async def flush(self, leased_tokens: int | None, usage: Usage | None) -> None:
        await asyncio.sleep(self._run.flush_s)
        appended, self._num_appended = self._num_appended, 0
        self.writer.flush(leased_tokens, usage)
        self._run.on_visible()
        if appended:
            self._run.on_rows()

    async def heartbeat(self, progress: Mapping[str, object], usage: Usage) -> None:
        self.writer.heartbeat(progress, usage)


class ExactGrader:
    """Compares texts, in this process."""

    def __init__(self) -> None:
        self.failures: dict[GradeFailure, int] = {}
        self.first_errors: dict[GradeFailure, str] = {}

    async def grade(self, requests: Sequence[GradeRequest]) -> list[bool | None]:
        return [None if one.reference is None else one.answer == one.reference for one in requests]

    async def same(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        return [left == right for left, right in pairs]


class SeenReadings:
    """Keeps every export: a dictionary from name and labels to the value."""

    def __init__(self) -> None:
        self.exports: list[dict[tuple[str, ...], float]] = []

    def export(self, readings: Iterable[Reading]) -> None:
        self.exports.append({(metric.name, *labels): value for metric, labels, value in readings})


def problems(count: int) -> list[Problem]:
    """Problems of the fakes' world, with the right answers as keys."""
    questions = [f"question {index}" for index in range(count)]
    return [Problem(f"p{index}", text, right_answer(text)) for index, text in enumerate(questions)]


def manifest(num_problems: int) -> Manifest:
    """Of a run of the fakes."""
    return Manifest(
        schema_version=SCHEMA_VERSION,
        created_at="2026-01-01T00:00:00.000+00:00",
        recipe={},
        versions={},
        git_revision=None,
        models={},
        seed=7,
        input_fingerprint="",
        num_problems=num_problems,
    )


@dataclass
class LocalRun:
    """One epoch of a run in `folder`; make another one on the same folder to resume."""

    folder: Path
    problems: list[Problem]
    strategy: StrategyFactory = partial(best_of_n, limits=LIMITS, num_samples=4)  # noqa: RUF009 (immutable)
    total_tokens: int | None = None
    total_usd: float | None = None
    deadline_s: float | None = None
    make_generator: Callable[[], Any] = fake_generator
    make_prm: Callable[[], Any] = fake_prm
    num_generators: int = 1
    num_prms: int = 1
    max_open_problems: int = 64
    max_open_paths: int = 500_000
    competing: bool = False
    on_visible: Callable[[], object] = lambda: None
    on_rows: Callable[[], object] = lambda: None
    flush_s: float = 0.0
    abstention: Abstention | None = None
    rates: Mapping[Role, ReplicaRate] = field(default_factory=dict)
    metrics: SeenReadings = field(default_factory=SeenReadings)
    policy: AnswerPolicy = DEFAULT_POLICY
    stop_on_failures: int | None = None
    grader: AnswerGrader = field(default_factory=ExactGrader)
    writer: Writer = field(init=False)
    state: RunState = field(init=False)
    controller: Controller = field(init=False)

    def __post_init__(self) -> None:
        self.writer = Writer(LocalStore(self.folder), self.folder.parent / "spool")
        self.state = self.writer.open(manifest(len(self.problems)), this_process(), take_over=True)
        self.generators: list[LocalHandle[Any]] = [
            LocalHandle(f"generator-{index}", self.make_generator) for index in range(self.num_generators)
        ]
        self.prms: list[LocalHandle[Any]] = [
            LocalHandle(f"prm-{index}", self.make_prm) for index in range(self.num_prms)
        ]
        self.controller = Controller(
            problems=[problem for problem in self.problems if problem.problem_id not in self.state.done],
            strategy=self.strategy,
            settings=self._settings(),
            so_far=self._so_far(),
            generators=self.generators,
            prms=self.prms,
            writer=LocalWriter(self.writer, self),
            grader=self.grader,
            metrics=self.metrics,
        )

    async def run(self) -> None:
        """To the end."""
        assert await self.controller.run()
        self.writer.finish([problem.problem_id for problem in self.problems], self.controller.charged_tokens())

    def _settings(self) -> RunSettings:
        return RunSettings(
            replica_epoch=self.state.epoch,
            run_seed=7,
            strategy_name="test",
            sampling=Sampling(0.7),
            total_tokens=self.total_tokens,
            deadline_s=self.deadline_s,
            total_usd=self.total_usd,
            max_open_problems=self.max_open_problems,
            max_open_paths=self.max_open_paths,
            window_problems=self.max_open_problems,
            competing=self.competing,
            flush=FlushPolicy(num_problems=8, interval_s=0.05),
            health=HealthCheck(interval_s=0.2, deadline_s=5.0, backoff_s=0.01),
            abstention=self.abstention,
            policy=self.policy,
            rates=self.rates,
            stop_on_failures=self.stop_on_failures,
        )

    def _so_far(self) -> RunSoFar:
        totals = self.state.totals
        visible = Progress(
            phase="starting",
            total_problems=len(self.problems),
            done_problems=totals.problems,
            failed_problems=totals.failed,
            exhausted_problems=totals.budget_exhausted,
            finished_samples=totals.finished_samples,
            unanswered_samples=totals.unanswered_samples,
            graded=totals.graded,
            correct=totals.correct,
            open_problems=0,
            generated_tokens=self.state.spent_tokens,
            prompt_tokens=totals.prompt_tokens,
            cached_tokens=totals.cached_tokens,
            prm_tokens=totals.prm_tokens,
            total_tokens_cap=self.total_tokens,
            total_usd_cap=self.total_usd,
            elapsed_s=0.0,
            replicas_ready=0,
            replicas_wanted=self.num_generators + self.num_prms,
            replicas_lost=0,
        )
        return RunSoFar(
            visible=visible,
            spent_tokens=self.state.spent_tokens,
            leased_tokens=self.state.leased_tokens,
            usages=self.state.usages,
            next_batch=self.state.next_batch,
            num_left=len(self.problems) - totals.problems,
            num_owed=len(self.problems) - totals.problems,
            journals=partial(read_journals, self.writer._store, self.state.open_problems),
        )


class Failing:
    """A controller that raises what a run may raise. Here, because a test module cannot be imported by an actor."""

    async def run(self) -> None:
        raise Fenced("epoch 2 has the run")

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)
