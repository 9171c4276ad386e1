"""The driver in one process: real `score`, `Reign`, controller, writer and store; threads stand in for Ray's actors.

stage = Stage(folder)                                 # a run of 30 problems in `folder`
stage.score()                                         # to its end; again = resume
stage.before_call = failing("finish", StoreFailed)    # what goes wrong in the writer
stage.interrupt = Interrupt(at=9, after=False)        # Ctrl-C at the ninth thing that the driver does
stage.check_books()                                   # one row per problem, and every token in its place
"""

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from rich.console import Console

from actors.controller.controller import Controller
from actors.writer.lease import newest_lease
from actors.writer.writer import Writer
from cluster.store import LocalStore
from jobs.command_line.score import ScoreOptions
from jobs.problems.columns import ProblemColumns
from jobs.problems.problem_set import inspect_problems
from jobs.recipes.load import load_recipe
from jobs.recipes.resume import as_json
from jobs.recipes.strategy_factory import strategy_factory
from jobs.score import score
from jobs.scoring.plan import Plan
from jobs.scoring.progress import ProgressDisplay
from jobs.scoring.replicas import Replicas, Unmetered
from jobs.scoring.summary import Summary
from records.failure import ActorDied, Failure
from records.progress import Progress
from records.replica import ReplicaInfo
from records.run_folder.epochs import Lease
from records.run_folder.manifest import Manifest, ModelIdentity
from records.run_folder.reader import Run, read_run
from records.schemas import SCHEMA_VERSION
from records.usage import Role
from scaling.budget.metering import ReplicaRate
from tests.support.fakes import fake_generator, fake_prm
from tests.support.local import ExactGrader, LocalHandle, SeenReadings, problems

T = TypeVar("T")

RECIPE = Path(__file__).parents[2] / "examples/arithmetic/beam-16.toml"
SMALL = ("strategy.num_samples=4", "strategy.beam_width=2", "strategy.max_steps=10", "grader.kind=exact")
QUICK = ("output.flush_problems=8", "output.flush_interval_s=0.05")
MAX_REIGNS = 20
"""A driver that begins more of them would never end."""


class Interrupt:
    """Ctrl-C at the `at`-th thing that a driver does (from 1), or once `when` holds; before it happened or `after`."""

    def __init__(
        self, at: int | None = None, *, when: Callable[[str], bool] = lambda _: False, after: bool = False
    ) -> None:
        self.done: list[str] = []
        self.hit: str | None = None
        self._at, self._when, self._after = at, when, after

    def __call__(self, what: str, do: Callable[[], T]) -> T:
        """Do it, or not."""
        self.done.append(what)
        hit = self.hit is None and (len(self.done) == self._at or self._when(what))
        if hit:
            self.hit = what
        if hit and not self._after:
            raise KeyboardInterrupt
        result = do()
        if hit:
            raise KeyboardInterrupt
        return result


class HookedStore(LocalStore):
    """A local store that tells of every operation before it is done; the listener may raise."""

    def __init__(self, folder: Path, before: Callable[[str, str], None]) -> None:
        super().__init__(folder)
        self._before = before

    def create(self, name: str, data: bytes) -> bool:
        self._before("create", name)
        return super().create(name, data)

    def replace(self, name: str, data: bytes) -> None:
        self._before("replace", name)
        super().replace(name, data)

    def upload(self, name: str, file: Path) -> None:
        self._before("upload", name)
        super().upload(name, file)

    def read(self, name: str) -> bytes | None:
        self._before("read", name)
        return super().read(name)


class LoadingHandle(LocalHandle[Any]):
    """A replica that takes its time to load the model, and whose engine begins afresh with every loop that uses it."""

    def __init__(self, replica_id: str, make: Callable[[], Any], load_s: float) -> None:
        super().__init__(replica_id, make)
        self._left_s = load_s
        self._loop: asyncio.AbstractEventLoop | None = None

    async def hello(self) -> ReplicaInfo:
        if self._loop is not asyncio.get_running_loop():
            self._loop, self.replica = asyncio.get_running_loop(), self._fresh()
        await asyncio.sleep(self._left_s)
        self._left_s = 0.0
        return await super().hello()


class ThreadWriter:
    """`RemoteWriter` without Ray. A call is carried out even if nobody waits for the answer any more."""

    def __init__(self, stage: "Stage", writer: Writer) -> None:
        self.writer = writer
        self.dead = False
        self._stage = stage

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._stage.interrupt(f"writer.{method}", lambda: self._do(method, *args, **kwargs))

    def end(self) -> None:
        self.dead = True

    def die(self) -> None:
        """As if its process were killed in the middle of a call."""
        self.dead = True
        raise ActorDied("the writer died, as told")

    async def append(self, *args: Any) -> None:
        await asyncio.to_thread(self._do, "append", *args)

    async def flush(self, *args: Any) -> None:
        await asyncio.to_thread(self._do, "flush", *args)

    async def heartbeat(self, *args: Any) -> None:
        await asyncio.to_thread(self._do, "heartbeat", *args)

    def _do(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if self.dead:
            raise ActorDied("the writer is dead")
        self._stage.before_call(self, method)
        return getattr(self.writer, method)(*args, **kwargs)


class ThreadController:
    """`RemoteController` without Ray: a loop in a thread."""

    def __init__(self, stage: "Stage", build: Callable[[], Controller]) -> None:
        self.dead = False
        self._stage = stage
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.controller: Controller = self._submit(self._build(build)).result(timeout=30)
        self._run = self._submit(self.controller.run())

    def call(self, method: str) -> Any:
        return self._stage.interrupt(f"controller.{method}", lambda: self._call(method))

    def finished(self, timeout_s: float) -> bool:
        def look() -> bool:
            done, _ = wait([self._run], timeout_s)
            return bool(done) or self.dead

        return self._stage.interrupt("controller.finished", look)

    def result(self) -> Any:
        self._check_alive()
        return self._run.result(timeout=30)

    def die(self) -> None:
        """As if its process were killed."""
        self.dead = True
        self._loop.call_soon_threadsafe(self._cancel_all)

    def end(self) -> None:
        self.dead = True
        if not self._loop.is_closed():
            self._submit(self._let_end()).result(timeout=30)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=30)
            self._loop.close()

    def _call(self, method: str) -> Any:
        self._check_alive()

        async def ask() -> Any:
            answer = getattr(self.controller, method)()
            return await answer if inspect.isawaitable(answer) else answer

        try:
            return self._submit(ask()).result(timeout=30)
        except CancelledError as died:
            raise ActorDied("the controller died, as told") from died

    async def _build(self, build: Callable[[], Controller]) -> Controller:
        controller = build()
        self._stage.on_controller(controller)
        return controller

    async def _let_end(self) -> None:
        async with asyncio.timeout(30):
            while tasks := self._cancel_all():  # on their way out some begin others
                await asyncio.wait(tasks)
        await self._loop.shutdown_default_executor()

    def _cancel_all(self) -> list[asyncio.Task[Any]]:
        tasks = [task for task in asyncio.all_tasks(self._loop) if task is not asyncio.current_task(self._loop)]
        for task in tasks:
            task.cancel()
        return tasks

    def _submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _check_alive(self) -> None:
        if self.dead:
            raise ActorDied("the controller is dead")


def failing(
    method: str, error: type[Failure], *, times: int | None = None, skip: int = 0
) -> Callable[[ThreadWriter, str], None]:
    """Raise in a method of the writer: from its call number `skip` on, so many times; None for always."""
    calls = 0

    def before_call(_writer: ThreadWriter, called: str) -> None:
        nonlocal calls
        if called == method:
            calls += 1
            if calls > skip and (times is None or calls <= skip + times):
                raise error(f"{method} failed, as told")

    return before_call


@dataclass
class Stage:
    """One run and the drivers that come to it.

    Attributes:
        folder: of the run.
        count: problems.
        overrides: of the recipe, after the stage's own.
        total_tokens: the cap.
        load_s: how long the models take to load.
        outage_s: how long a store may be out.
        make_generator: the generator's replica.
        before_call: told of every call of a writer before it is carried out, in the writer's thread; may raise.
        before_operation: told of every operation on the store (and the file's name), likewise.
        on_controller: told of every controller before it runs, in its loop.
        interrupt: of the driver.
        only: the problems of a pilot; None: all.
        rates: of a replica of each role.
        notes: what the user was told.
        shown: what was displayed last, `shown_s` after the replicas of the last driver were launched.
        writers: all there were, the last one alive at most; `controllers` alike.
    """

    folder: Path
    count: int = 30
    overrides: tuple[str, ...] = ()
    total_tokens: int | None = None
    load_s: float = 0.0
    outage_s: float = 300.0
    make_generator: Callable[[], Any] = fake_generator
    before_call: Callable[[ThreadWriter, str], None] = lambda _writer, _method: None
    before_operation: Callable[[str, str], None] = lambda _operation, _name: None
    on_controller: Callable[[Controller], None] = lambda _controller: None
    interrupt: Interrupt = field(default_factory=Interrupt)
    only: frozenset[str] | None = None
    rates: dict[Role, ReplicaRate] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    shown: Progress | None = None
    shown_s: float = 0.0
    launched_s: float = 0.0
    writers: list[ThreadWriter] = field(default_factory=list)
    controllers: list[ThreadController] = field(default_factory=list)

    def score(self, *, take_over: bool = False) -> Summary:
        """The driver's job, from a plan to the summary."""
        generators = (LoadingHandle("generator-0", self.make_generator, self.load_s),)
        prms = (LoadingHandle("prm-0", fake_prm, self.load_s),)
        with self._patched():
            try:
                plan = self.plan(take_over=take_over)
                self.launched_s = time.time()
                return score(plan, Replicas(generators, prms, self.rates, Unmetered(self.launched_s)))
            finally:
                for controller in self.controllers:  # as actors whose handles are gone
                    controller.end()

    def calm(self) -> None:
        """From now on nothing goes wrong."""
        self.before_call, self.before_operation = lambda _writer, _method: None, lambda _operation, _name: None
        self.on_controller, self.interrupt, self.make_generator = lambda _: None, Interrupt(), fake_generator

    def plan(self, *, take_over: bool = False) -> Plan:
        """As `jobs.scoring.plan.make_plan` would, but for the models and the probe of the store."""
        budget = () if self.total_tokens is None else (f"budget.total_tokens={self.total_tokens}",)
        overrides = (*SMALL, *QUICK, *budget, *self.overrides)
        recipe = load_recipe(RECIPE, overrides)
        problem_set = inspect_problems(self._file, ProblemColumns(**recipe.problems.model_dump()), None, lambda _: None)
        manifest = Manifest(
            schema_version=SCHEMA_VERSION,
            created_at="2026-01-01T00:00:00.000+00:00",
            recipe=as_json(recipe),
            versions={},
            git_revision=None,
            models=dict(_models()),
            seed=recipe.seed,
            input_fingerprint=problem_set.fingerprint,
            num_problems=problem_set.num_problems,
        )
        options = ScoreOptions(
            problems=problem_set.path,
            recipe=RECIPE,
            output=str(self.folder),
            overrides=overrides,
            take_over=take_over,
        )
        return Plan(
            options=options,
            recipe=recipe,
            problems=problem_set,
            strategy=strategy_factory(recipe),
            store=HookedStore(self.folder, self._before_operation),
            manifest=manifest,
            only=self.only,
        )

    def lease(self) -> Lease:
        """The newest."""
        lease = newest_lease(LocalStore(self.folder))
        assert lease is not None
        return lease

    def check_books(self, *, finished: bool = True) -> Run:
        """No problem and no step twice, every token accounted for; all problems there if `finished`."""
        run = read_run(self.folder)
        ids = run.problems()["problem_id"].to_pylist()
        assert len(ids) == len(set(ids))
        steps = run.steps().to_pylist()
        assert len({(step["problem_id"], step["node_id"]) for step in steps}) == len(steps)
        assert sum(step["generated_tokens"] for step in steps) == run.log.accounted_tokens
        if self.total_tokens is not None:
            assert run.log.accounted_tokens + run.lost_tokens <= self.total_tokens
        if finished:
            assert run.finished
            assert len(ids) == self.count
            assert run.log.open_problems == {}
        return run

    def found(self) -> dict[str, tuple[object, ...]]:
        """What each problem came to."""
        rows = read_run(self.folder).problems().to_pylist()
        names = ("status", "answer", "correct", "generated_tokens", "num_steps")
        return {row["problem_id"]: tuple(row[name] for name in names) for row in rows}

    @cached_property
    def _file(self) -> Path:
        file = self.folder.parent / "problems.jsonl"
        file.write_text(
            "".join(
                f'{{"problem_id": "{one.problem_id}", "question": "{one.question}", "answer": "{one.reference}"}}\n'
                for one in problems(self.count)
            )
        )
        return file

    def _launch_writer(self, build: Callable[[], Writer], _hosts: object) -> ThreadWriter:
        assert len(self.writers) < MAX_REIGNS, "the driver begins again and again"
        writer = ThreadWriter(self, build())
        self.writers.append(writer)
        return self.interrupt("launch writer", lambda: writer)

    def _launch_controller(self, build: Callable[[], Controller], _hosts: object) -> ThreadController:
        def launch() -> ThreadController:
            self.controllers.append(ThreadController(self, build))
            return self.controllers[-1]

        return self.interrupt("launch controller", launch)

    def _before_operation(self, operation: str, name: str) -> None:
        self.before_operation(operation, name)

    @contextmanager
    def _patched(self) -> Iterator[None]:
        """Threads for actors, and little patience."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("cluster.remote.RemoteWriter", SimpleNamespace(launch=self._launch_writer))
            patch.setattr("cluster.remote.RemoteController", self._launch_controller)
            patch.setattr("cluster.metrics.RayExporter", lambda _run: SeenReadings())
            patch.setattr("jobs.scoring.controlling.Grader", lambda _kind, **_: ExactGrader())
            patch.setattr("jobs.score.ProgressDisplay", partial(_Display, self))
            patch.setattr("actors.writer.store_retry.RETRY_S", (0.001, 0.002, 0.004))
            patch.setattr("actors.writer.store_retry.OUTAGE_S", self.outage_s)
            patch.setattr("actors.controller.recorder.FIRST_INTERVAL_S", 0.02)
            patch.setattr("jobs.scoring.driver.POLL_S", 0.01)
            patch.setattr("jobs.scoring.driver.HEARTBEAT_S", 0.01)
            patch.setattr("jobs.scoring.controlling.HEARTBEAT_S", 0.01)
            patch.setattr("jobs.scoring.introduction.TICK_S", 0.012)
            yield


class _Display(ProgressDisplay):
    """Writes to nowhere, and keeps the notes."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(Console(file=StringIO()))
        self._stage = stage

    def note(self, text: str) -> None:
        self._stage.notes.append(text)
        super().note(text)

    def show(self, progress: Progress) -> None:
        self._stage.shown, self._stage.shown_s = progress, time.time() - self._stage.launched_s
        self._stage.interrupt("show", lambda: super(_Display, self).show(progress))


def _models() -> Iterator[tuple[str, ModelIdentity]]:
    async def infos() -> list[ReplicaInfo]:
        return [await replica.hello() for replica in (fake_generator(), fake_prm())]

    for info in asyncio.run(infos()):
        yield info.role, ModelIdentity(info.model, info.model_sha256, info.tokenizer_sha256, info.num_parameters)
