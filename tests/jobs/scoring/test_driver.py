"""The driver, when store, writer, controller and user do their worst: what ends a run, what does not, what is kept."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.controller.controller import Controller
from actors.writer.lease import this_process
from actors.writer.writer import Writer
from cluster.store import LocalStore
from jobs.score import MAX_IDLE_REIGNS
from records.failure import ActorDied, Fenced, PreflightFailed, ReplicaFailed, RunLocked, StoreFailed
from records.run_folder import layout
from records.run_folder.checkpoints import read_log
from scaling.budget.metering import ReplicaRate
from tests.support.fakes import Faults, Tap, fake_generator
from tests.support.run_drivers import Interrupt, Stage, ThreadWriter, failing
from tests.support.tiers import some_of

pytestmark = pytest.mark.slow

LOADING_S = 0.15
"""Some ten ticks."""


SOON_S = 10.0
"""Much longer than the outages here, and much shorter than those that a run bears."""


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path / "run")


def at_work(stage: Stage) -> Callable[[str], bool]:
    """Whether the driver asks how far it is, and some problems are open whose requests are written."""

    def when(what: str) -> bool:
        return what == "controller.progress" and bool(read_log(LocalStore(stage.folder)).open_problems)

    return when


def dies_once(method: str) -> Callable[[ThreadWriter, str], None]:
    """Kill the writer in its first call of a method."""
    dead: list[ThreadWriter] = []

    def before_call(writer: ThreadWriter, called: str) -> None:
        if called == method and not dead:
            dead.append(writer)
            writer.die()

    return before_call


def never_done(stage: Stage) -> None:
    """Until `calm`, the run cannot end by itself before it is interrupted."""
    stage.make_generator = lambda: fake_generator(faults=Faults(gate=Tap(40)))


def stopped_at_work(stage: Stage) -> None:
    """A run that was interrupted with problems open, and let go."""
    never_done(stage)
    stage.interrupt = Interrupt(when=at_work(stage))
    with pytest.raises(KeyboardInterrupt):
        stage.score()
    assert stage.lease().released_at is not None
    assert read_log(LocalStore(stage.folder)).open_problems
    stage.calm()


# A store that fails


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("method", ["open", "heartbeat", "flush", "finish"])
def test_a_store_that_fails_for_a_while_ends_no_run(stage, method, times):
    stage.load_s = 1.0 if method == "heartbeat" else LOADING_S
    failed = []
    fails = failing(method, StoreFailed, times=times)

    def before_call(writer: ThreadWriter, called: str) -> None:
        try:
            fails(writer, called)
        except StoreFailed:
            failed.append(len(stage.controllers))
            raise

    stage.before_call = before_call
    stage.score()
    assert len(failed) == times
    if method == "heartbeat":
        assert failed[0] == 0  # while the models load
    else:
        assert sum("trying again" in note for note in stage.notes) == times
    assert stage.lease().epoch == 1
    stage.check_books()


@pytest.mark.parametrize("times", [1, 3])
def test_a_store_that_fails_while_a_stopped_run_is_released_keeps_the_release(stage, times):
    never_done(stage)
    stage.before_call = failing("release", StoreFailed, times=times)
    stage.interrupt = Interrupt(when=at_work(stage))
    with pytest.raises(KeyboardInterrupt):
        stage.score()
    assert stage.lease().released_at is not None
    assert sum("trying again" in note for note in stage.notes) == times


@pytest.mark.parametrize("times", [1, 3])
def test_a_store_that_fails_while_journals_are_read_ends_no_run(stage, times):
    stopped_at_work(stage)
    left = times

    def before_operation(operation: str, name: str) -> None:
        nonlocal left
        if operation == "read" and name.startswith("steps") and left:
            left -= 1
            raise StoreFailed(f"{name} cannot be read, as told")

    stage.before_operation = before_operation
    stage.score()
    assert left == 0
    stage.check_books()


def test_a_store_that_fails_at_the_last_word_still_gives_the_summary(stage):
    left = 2

    def before_operation(operation: str, name: str) -> None:
        nonlocal left
        if (operation, name) == ("read", layout.MANIFEST) and (stage.folder / layout.SUCCESS).exists() and left:
            left -= 1
            raise StoreFailed("no answer, as told")

    stage.before_operation = before_operation
    assert stage.score().finished
    assert left == 0


@pytest.mark.parametrize("method", ["open", "heartbeat while loading", "heartbeat", "flush", "finish"])
def test_an_outage_that_is_too_long_ends_the_run_with_its_name(stage, method):
    stage.load_s = SOON_S if method == "heartbeat while loading" else 0.0
    stage.outage_s = 0.05
    if method == "heartbeat":  # and the run goes on for longer than that
        never_done(stage)
    started_s, fails = time.monotonic(), failing(method.partition(" ")[0], StoreFailed)

    def before_call(writer: ThreadWriter, called: str) -> None:
        if time.monotonic() - started_s > SOON_S:
            raise Fenced("too patient")  # rather than going on for ever
        fails(writer, called)

    stage.before_call = before_call
    with pytest.raises(StoreFailed, match="as told"):
        stage.score()
    assert time.monotonic() - started_s < SOON_S
    assert len(stage.controllers) == (method in {"heartbeat", "flush", "finish"})
    stage.calm()
    stage.load_s = 0.0
    stage.score(take_over=True)
    stage.check_books()


def test_an_outage_that_is_too_long_for_the_journals_ends_the_run_with_its_name(stage):
    stopped_at_work(stage)
    stage.outage_s = 0.05

    def before_operation(operation: str, name: str) -> None:
        if name.startswith("steps"):
            raise StoreFailed("no answer, as told")

    stage.before_operation = before_operation
    started_s = time.monotonic()
    with pytest.raises(StoreFailed, match="as told"):
        stage.score()
    assert time.monotonic() - started_s < SOON_S


# Deaths


@pytest.mark.parametrize("total_tokens", [None, 100_000])
def test_controllers_that_always_die_end_the_run_and_cost_little(stage, total_tokens):
    stage.total_tokens = total_tokens

    def before_call(_writer: ThreadWriter, method: str) -> None:
        log = read_log(LocalStore(stage.folder))
        if method == "append" and (total_tokens is None or log.leased_tokens > log.spent_tokens):
            stage.controllers[-1].die()
            raise ActorDied("nobody waits for the answer any more")

    stage.before_call = before_call
    with pytest.raises(ActorDied):
        stage.score()
    assert len(stage.controllers) == stage.lease().epoch == MAX_IDLE_REIGNS
    assert read_log(LocalStore(stage.folder)).accounted_tokens == 0
    stage.calm()
    stage.score(take_over=True)
    run = stage.check_books()
    assert {row[0] for row in stage.found().values()} == {"succeeded"}
    assert (0 < run.lost_tokens < 10_000) if total_tokens else run.lost_tokens == 0


def test_writers_that_always_die_in_open_end_the_run(stage):
    def before_call(writer: ThreadWriter, method: str) -> None:
        if method == "append" or (method == "open" and len(stage.writers) > 1):
            writer.die()

    stage.before_call = before_call
    with pytest.raises(ActorDied, match="as told"):
        stage.score()
    assert len(stage.writers) == MAX_IDLE_REIGNS


def test_a_writer_that_dies_in_the_first_open_ends_the_run_at_once(stage):
    stage.before_call = lambda writer, method: writer.die()
    with pytest.raises(ActorDied, match="as told"):
        stage.score()
    assert len(stage.writers) == 1


def test_deaths_between_which_something_is_written_do_not_end_the_run(stage):
    stage.count = 100
    appends: Counter[ThreadWriter] = Counter()
    num_deaths = 0

    def before_call(writer: ThreadWriter, method: str) -> None:
        nonlocal num_deaths
        appends[writer] += method == "append"
        if appends[writer] == 2 and num_deaths < 2 * MAX_IDLE_REIGNS:
            num_deaths += 1
            writer.die()

    stage.before_call = before_call
    stage.score()
    assert num_deaths > MAX_IDLE_REIGNS
    assert stage.lease().epoch == num_deaths + 1
    stage.check_books()


def test_a_driver_goes_on_after_its_own_dead_writer_without_take_over(stage):
    stage.before_call = dies_once("append")
    stage.score()
    assert stage.lease().epoch == 2
    assert any("a new one goes on" in note for note in stage.notes)
    stage.check_books()


@pytest.mark.parametrize("take_over", [False, True])
def test_a_driver_whose_writer_died_takes_the_run_from_nobody_else(stage, tmp_path, take_over):
    other = Writer(LocalStore(stage.folder), tmp_path / "spool")

    def before_call(writer: ThreadWriter, method: str) -> None:
        if method == "heartbeat":
            raise StoreFailed("unheard, as told")  # or it would notice before the writer is dead
        if method == "append":
            elsewhere = replace(this_process(), host="another-host", machine="another-machine")
            other.open(stage.plan().manifest, elsewhere, take_over=True)
            writer.die()

    stage.before_call = before_call
    with pytest.raises(RunLocked, match="another-host"):
        stage.score(take_over=take_over)
    other.heartbeat({})
    assert stage.lease().epoch == 2


# Ctrl-C


@pytest.mark.parametrize("phase", ["loading", "working"])
@pytest.mark.parametrize("error", [ActorDied, Fenced, StoreFailed])
def test_ctrl_c_is_the_end_even_if_the_run_cannot_be_released(stage, phase, error):
    stage.load_s, stage.outage_s = SOON_S if phase == "loading" else LOADING_S, 0.02
    never_done(stage)
    stage.interrupt = Interrupt(when=at_work(stage) if phase == "working" else "writer.heartbeat".__eq__)
    stage.before_call = failing("release", error)
    with pytest.raises(KeyboardInterrupt):
        stage.score()
    assert len(stage.controllers) == (phase == "working")
    assert (len(stage.writers), stage.lease().epoch, stage.lease().released_at) == (1, 1, None)
    assert any("could not be released (release failed, as told)" in note for note in stage.notes)
    stage.calm()
    stage.load_s = 0.0
    stage.score(take_over=True)
    stage.check_books()


@pytest.mark.parametrize("who", ["writer", "controller"])
def test_ctrl_c_is_the_end_even_if_an_actor_dies_while_it_stops(stage, who):
    never_done(stage)
    stage.interrupt = Interrupt(when=at_work(stage))

    def on_controller(controller: Controller) -> None:
        async def stop_dead() -> None:
            if who == "controller":
                stage.controllers[-1].die()
                raise ActorDied("the controller died, as told")
            stage.writers[-1].dead = True
            await Controller.stop(controller)

        controller.stop = stop_dead  # type: ignore[method-assign]

    stage.on_controller = on_controller
    with pytest.raises(KeyboardInterrupt):
        stage.score()
    assert (len(stage.writers), len(stage.controllers)) == (1, 1)
    assert any("what was not written" in note or "could not be released" in note for note in stage.notes)
    stage.calm()
    stage.score(take_over=True)
    stage.check_books()


def test_ctrl_c_is_the_end_even_if_the_replicas_are_given_up_while_it_stops(stage):
    never_done(stage)
    stage.total_tokens = 100_000

    def on_controller(controller: Controller) -> None:
        start, stop, given_up = controller._fleet.start, controller.stop, asyncio.Event()

        async def gives_up() -> None:
            await given_up.wait()
            raise ReplicaFailed("generator-0 was given up, as told")

        async def stop_as_it_does() -> None:
            given_up.set()
            await stop()

        def start_as_told(group: asyncio.TaskGroup) -> None:
            start(group)
            controller._fleet._tasks["told"] = group.create_task(gives_up())

        controller._fleet.start = start_as_told  # type: ignore[method-assign]
        controller.stop = stop_as_it_does  # type: ignore[method-assign]

    stage.on_controller = on_controller
    stage.interrupt = Interrupt(when=at_work(stage))
    with pytest.raises(KeyboardInterrupt):
        stage.score()
    assert "generator-0 was given up, as told" in stage.notes
    assert stage.lease().released_at is not None
    log = read_log(LocalStore(stage.folder))
    assert log.leased_tokens == log.spent_tokens
    stage.calm()
    stage.score()
    stage.check_books()


def test_models_that_do_not_fit_end_the_run_under_their_own_name(stage, monkeypatch):
    def refuse(*_: object) -> list[str]:
        raise PreflightFailed("these do not fit, as told")

    monkeypatch.setattr("jobs.scoring.driver.check_introductions", refuse)
    stage.outage_s = 0.02
    stage.before_call = failing("release", StoreFailed)
    with pytest.raises(PreflightFailed, match="as told"):
        stage.score()


@given(at=st.integers(1, 45), after=st.booleans(), total_tokens=st.sampled_from([None, 100_000]))
@settings(max_examples=some_of(15))
def test_ctrl_c_at_any_moment_is_the_end_and_a_later_run_finishes(tmp_path_factory, at, after, total_tokens):
    stage = Stage(tmp_path_factory.mktemp("stage") / "run", total_tokens=total_tokens)
    stage.interrupt = Interrupt(at, after=after)
    stage.load_s = 0.03
    try:
        stage.score()
    except KeyboardInterrupt:
        assert stage.interrupt.hit
    else:
        assert not stage.interrupt.hit
    assert len(stage.writers) == 1
    stage.calm()
    stage.score(take_over=True)
    stage.check_books()


# A lease that stays fresh


def test_the_lease_is_kept_fresh_while_journals_are_read(stage):
    stopped_at_work(stage)
    heartbeats = threading.Semaphore(0)
    heard = []
    first = threading.Lock()  # parts are read by several threads at a time

    def before_call(_writer: ThreadWriter, method: str) -> None:
        if method == "heartbeat" and stage.controllers:
            heartbeats.release()

    def before_operation(operation: str, name: str) -> None:
        if operation == "read" and name.startswith("steps") and first.acquire(blocking=False):
            heard.extend(heartbeats.acquire(timeout=5) for _ in range(5))

    stage.controllers.clear()
    stage.before_call, stage.before_operation = before_call, before_operation
    stage.score()
    assert heard == [True] * 5


# What is said of a run on the way


def test_a_pilot_says_how_far_the_pilot_is(stage):
    stage.only = frozenset(problem.problem_id for problem in list(stage.plan().problems)[::6])
    stage.score()
    assert stage.shown is not None
    assert stage.shown.done_problems == stage.shown.total_problems == len(stage.only) == 5
    stage.only = None
    stage.score()
    assert stage.shown.done_problems == stage.shown.total_problems == stage.count
    stage.check_books()


def test_replicas_cost_while_their_models_load_and_whoever_comes_next_knows(stage):
    stage.rates = {"generator": ReplicaRate(1, 3600.0), "prm": ReplicaRate(0, 3600.0)}
    stage.load_s = SOON_S
    stage.interrupt = Interrupt(when="writer.heartbeat".__eq__, after=True)
    with pytest.raises(KeyboardInterrupt):
        stage.score()
    usage = stage.lease().usage
    assert usage is not None
    held_s = usage.held_s("generator")
    assert 0 < held_s == pytest.approx(usage.held_s("prm"), abs=1.0)  # each from when it has its node
    stage.calm()
    stage.load_s = 0.0
    stage.score()
    assert stage.shown is not None
    assert stage.shown.usd is not None
    assert stage.shown.usd > 2 * held_s
    assert stage.shown.gpu_seconds == pytest.approx(stage.shown.usd / 2, abs=0.5)  # as above
    stage.check_books()


def test_loading_is_charged_once_however_many_writers_die_meanwhile(stage):
    stage.rates = {"generator": ReplicaRate(1, None)}
    stage.load_s = 1.0
    deaths_s = [0.5 * stage.load_s, 0.8 * stage.load_s]

    def dies_late(writer: ThreadWriter, called: str) -> None:
        if called == "heartbeat" and deaths_s and time.time() - stage.launched_s > deaths_s[0]:
            del deaths_s[0]
            writer.die()

    stage.before_call = dies_late
    stage.score()
    assert len(stage.writers) == 3
    assert stage.shown is not None
    assert stage.shown.gpu_seconds is not None
    assert stage.load_s < stage.shown.gpu_seconds <= stage.shown_s
    stage.check_books()
