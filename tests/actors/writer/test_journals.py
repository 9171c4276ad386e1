"""Open problems: what they had come to is written, charged once, and gone on with."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.writer.journals import read_journals
from actors.writer.lease import this_process
from actors.writer.writer import Writer
from cluster.store import LocalStore
from records.failure import ReplicaFailed, RunMismatch, StoreFailed
from records.packing import packed_rows
from records.rows import OpenRecord, ProblemRecord
from records.run_folder.checkpoints import read_log
from records.run_folder.reader import read_run
from scaling.strategies.beam_search import beam_search
from scaling.strategies.majority import majority
from tests.records import builders
from tests.records.stores import MemoryStore
from tests.support.fakes import Faults, Tap, fake_generator
from tests.support.local import LIMITS, LocalRun, problems
from tests.support.tiers import some_of

pytestmark = pytest.mark.slow

BEAM = partial(beam_search, limits=LIMITS, num_samples=4, beam_width=2, max_steps=10)
COUNT = 20
NUM_REQUESTS = 4


def what_was_found(folder: Path) -> dict[str, tuple[object, ...]]:
    rows = read_run(folder).problems().to_pylist()
    return {
        row["problem_id"]: (row["status"], row["answer"], row["generated_tokens"], row["num_steps"]) for row in rows
    }


async def stall(folder: Path, *, after: int, total_tokens: int | None = None) -> tuple[LocalRun, asyncio.Task[bool]]:
    """A run that has come to a standstill after so many samples, with open problems that are written."""
    run = LocalRun(
        folder,
        problems(COUNT),
        BEAM,
        total_tokens=total_tokens,
        make_generator=partial(fake_generator, faults=Faults(gate=Tap(after))),
    )
    running = asyncio.create_task(run.controller.run())
    seen = None
    async with asyncio.timeout(30):
        while seen is None or seen == 0 or seen != read_log(LocalStore(folder)).accounted_tokens:
            seen = read_log(LocalStore(folder)).open_tokens and read_log(LocalStore(folder)).accounted_tokens
            await asyncio.sleep(0.2)
    return run, running


async def crash(folder: Path, *, after: int, total_tokens: int | None = None) -> None:
    """The same, vanished: neither controller nor writer says another word."""
    _, running = await stall(folder, after=after, total_tokens=total_tokens)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.parametrize("after", [30, 150])
async def test_a_crash_costs_only_what_no_flush_had_written(tmp_path, after):
    whole = LocalRun(tmp_path / "whole", problems(COUNT), BEAM)
    await whole.run()
    await crash(tmp_path / "run", after=after)
    second = LocalRun(tmp_path / "run", problems(COUNT), BEAM)
    assert second.state.open_problems
    written_tokens = second.state.spent_tokens
    assert written_tokens == second.state.totals.generated_tokens + second.state.open_tokens > 0
    await second.run()
    assert what_was_found(tmp_path / "run") == what_was_found(tmp_path / "whole")
    # The fakes say the same to the same call, so what was written was not sampled again, and nothing is missing.
    assert (
        written_tokens + second.controller.scheduler.counts.generated_tokens
        == whole.controller.scheduler.counts.generated_tokens
    )
    run = read_run(tmp_path / "run")
    steps = run.steps().to_pylist()
    assert len({(step["problem_id"], step["node_id"]) for step in steps}) == len(steps)
    assert sum(step["generated_tokens"] for step in steps) == run.totals.generated_tokens
    assert (run.log.open_problems, run.log.open_tokens, run.lost_tokens) == ({}, 0, 0)


async def test_tokens_are_charged_once_under_a_cap(tmp_path):
    await crash(tmp_path / "run", after=60, total_tokens=3_000)
    second = LocalRun(tmp_path / "run", problems(COUNT), BEAM, total_tokens=3_000)
    assert second.state.open_tokens > 0
    assert second.state.lost_tokens == second.state.leased_tokens - second.state.totals.generated_tokens - (
        second.state.open_tokens
    )
    await second.run()
    run = read_run(tmp_path / "run")
    assert len(what_was_found(tmp_path / "run")) == COUNT
    assert sum(run.steps()["generated_tokens"].to_pylist()) == run.totals.generated_tokens
    assert run.totals.generated_tokens + run.lost_tokens <= 3_000


async def test_a_clean_stop_keeps_what_open_problems_have_come_to(tmp_path):
    first, running = await stall(tmp_path / "run", after=50)
    await first.controller.stop()
    assert await running is False
    first.writer.release(first.controller.charged_tokens())
    log = read_log(LocalStore(tmp_path / "run"))
    searches = {search.problem.problem_id: search for search in first.controller.scheduler.open_searches()}
    expected = {name: search for name, search in searches.items() if search.requests}
    assert log.open_problems.keys() == expected.keys()
    assert log.open_tokens == sum(step.generated_tokens for search in expected.values() for step in search.steps)


@pytest.mark.parametrize("flush_under_way", ["an earlier one", "the last one"])
async def test_what_comes_in_after_a_stop_while_a_flush_is_under_way_is_written(tmp_path, flush_under_way):
    voting = partial(majority, limits=LIMITS, num_samples=4)
    gate = asyncio.Event()
    first = LocalRun(
        tmp_path / "run", problems(COUNT), voting, make_generator=partial(fake_generator, faults=Faults(gate=gate))
    )
    scheduler, recorder = first.controller.scheduler, first.controller._recorder
    running = asyncio.create_task(first.controller.run())
    async with asyncio.timeout(10):
        while scheduler.num_open < COUNT // 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        if flush_under_way == "an earlier one":
            async with recorder._one_at_a_time:
                await first.controller.stop()
                gate.set()
                while scheduler.samples.num_in_flight:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        else:
            recorder._flush = opening(gate, recorder._flush, lambda: scheduler.samples.num_in_flight == 0)
            await first.controller.stop()
        assert await running is False
    first.writer.release(first.controller.charged_tokens())
    log = read_log(LocalStore(tmp_path / "run"))
    assert (log.accounted_tokens, log.lost_tokens) == (scheduler.counts.generated_tokens, 0)
    assert scheduler.counts.generated_tokens > 0
    second = LocalRun(tmp_path / "run", problems(COUNT), voting)
    await second.run()
    whole = LocalRun(tmp_path / "whole", problems(COUNT), voting)
    await whole.run()
    assert what_was_found(tmp_path / "run") == what_was_found(tmp_path / "whole")
    assert (
        log.accounted_tokens + second.controller.scheduler.counts.generated_tokens
        == read_run(tmp_path / "whole").totals.generated_tokens
    )


def opening(
    gate: asyncio.Event, flush: Callable[[], Awaitable[None]], all_in: Callable[[], bool]
) -> Callable[[], Awaitable[None]]:
    """A flush that takes so long that all comes in which is on its way."""

    async def slowly() -> None:
        await flush()
        gate.set()
        while not all_in():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    return slowly


async def test_a_flush_that_is_cancelled_in_its_append_uses_its_batch_number_up(tmp_path):
    run = LocalRun(tmp_path / "run", problems(200), partial(majority, limits=LIMITS, num_samples=4))
    writer = run.controller._writer
    append, start = writer.append, run.controller._fleet.start
    appended: set[str] = set()
    begun = asyncio.Event()

    async def append_and_answer_late(batch, rows, columns):
        await append(batch, rows, columns)  # as over Ray: carried out even if nobody waits for the answer any more
        appended.update(row.problem_id for row in rows)
        if rows and not begun.is_set():
            begun.set()
            await asyncio.sleep(1)

    async def gives_up():
        await begun.wait()
        while not run.controller._recorder._ready:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        raise ReplicaFailed("the last generator was given up, as told")

    writer.append = append_and_answer_late

    def start_as_told(group):
        start(group)
        run.controller._fleet._tasks["told"] = group.create_task(gives_up())

    run.controller._fleet.start = start_as_told
    with pytest.raises(ReplicaFailed, match="as told"):
        await run.controller.run()
    assert not run.controller._recorder._ready
    run.writer.release(run.controller.charged_tokens())
    assert what_was_found(tmp_path / "run").keys() == appended
    second = LocalRun(tmp_path / "run", problems(200), partial(majority, limits=LIMITS, num_samples=4))
    await second.run()
    assert len(what_was_found(tmp_path / "run")) == 200


async def test_another_strategy_is_refused_and_nothing_is_lost(tmp_path):
    await crash(tmp_path / "run", after=50)
    before = read_log(LocalStore(tmp_path / "run"))
    other = LocalRun(tmp_path / "run", problems(COUNT), partial(majority, limits=LIMITS, num_samples=4))
    with pytest.raises(RunMismatch, match="asks for something else"):
        await other.run()
    after = read_log(LocalStore(tmp_path / "run"))
    assert (after.parts, after.open_problems) == (before.parts, before.open_problems)


def open_problem(problem_id: str) -> ProblemRecord:
    """A problem of four requests, one step of five tokens each."""
    record = builders.record(problem_id, num_steps=NUM_REQUESTS)
    steps = tuple(replace(step, request=step.node_id - 1) for step in record.steps)
    requests = tuple(
        replace(record.requests[0], request=number, child_ids=(number + 1,)) for number in range(NUM_REQUESTS)
    )
    return replace(record, steps=steps, requests=requests)


def piece(record: ProblemRecord, first: int, last: int) -> OpenRecord:
    problem_id = record.problem.problem_id
    return OpenRecord(problem_id=problem_id, steps=record.steps[first:last], requests=record.requests[first:last])


PROBLEMS = {f"p{index}": open_problem(f"p{index}") for index in range(3)}
ACTIONS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(sorted(PROBLEMS)), st.integers(1, 2)),
    st.tuples(st.just("end"), st.sampled_from(sorted(PROBLEMS)), st.just(0)),
    st.tuples(st.just("flush"), st.just(""), st.just(0)),
    st.tuples(st.just("crash"), st.just(""), st.just(0)),
)


@given(actions=st.lists(ACTIONS, max_size=25))
@settings(max_examples=some_of(60))
def test_the_log_says_of_open_problems_what_the_tables_hold(tmp_path_factory, actions):
    folder = tmp_path_factory.mktemp("run")
    store = LocalStore(folder / "run")
    writer, state = None, None
    given_up_to: dict[str, int] = {}
    ended: set[str] = set()
    batch = 0
    for action, problem_id, count in [("crash", "", 0), *actions, ("flush", "", 0), ("crash", "", 0)]:
        if action == "crash":
            writer = Writer(store, folder / "spool")
            state = writer.open(builders.manifest(), this_process(), take_over=True)
            journals = read_journals(store, state.open_problems)
            given_up_to = {name: len(rows.requests) for name, rows in journals.items()}
            ended = set(state.done)
            batch = state.next_batch
            for name, rows in journals.items():
                assert rows == piece(PROBLEMS[name], 0, given_up_to[name])
        elif action == "flush":
            writer.flush()
        elif problem_id not in ended:
            record, first = PROBLEMS[problem_id], given_up_to.get(problem_id, 0)
            if action == "end":
                tail = replace(record, steps=record.steps[first:], requests=record.requests[first:])
                writer.append(batch, *packed_rows([tail]))
                ended.add(problem_id)
            else:
                last = min(NUM_REQUESTS, first + count)
                writer.append(batch, *packed_rows([], [piece(record, first, last)]))
                given_up_to[problem_id] = last
            batch += 1
        run = read_run(folder / "run")
        steps = run.steps().to_pylist()
        with_row = set(run.problems()["problem_id"].to_pylist())
        tokens = dict.fromkeys(PROBLEMS, 0)
        for step in steps:
            tokens[step["problem_id"]] += step["generated_tokens"]
        assert len({(step["problem_id"], step["node_id"]) for step in steps}) == len(steps)
        assert run.totals.generated_tokens == sum(tokens[name] for name in with_row)
        assert run.log.open_tokens == sum(tokens[name] for name in tokens.keys() - with_row)
        opened = {name: problem.generated_tokens for name, problem in run.log.open_problems.items()}
        assert opened == {name: tokens[name] for name in tokens.keys() - with_row if tokens[name]}


def test_rows_that_are_gone_or_do_not_add_up_are_a_failure(tmp_path):
    store = MemoryStore()
    writer = Writer(store, tmp_path)
    writer.open(builders.manifest(), this_process())
    writer.append(0, *packed_rows([], [piece(PROBLEMS["p0"], 0, 2)]))
    writer.flush()
    [problem] = read_log(store).open_problems.values()
    assert problem.generated_tokens == 10
    with pytest.raises(StoreFailed, match=r"'p0' has steps .* with 10 tokens, and 11 by its commits"):
        read_journals(store, [replace(problem, generated_tokens=11)])
    store.delete(problem.parts[0])
    with pytest.raises(StoreFailed, match="is gone"):
        read_journals(store, [problem])


def test_rows_of_a_problem_that_has_its_row_are_refused(tmp_path):
    writer = Writer(MemoryStore(), tmp_path)
    writer.open(builders.manifest(), this_process())
    writer.append(0, *packed_rows([PROBLEMS["p0"]]))
    with pytest.raises(AssertionError, match="'p0' has a row, and is not open"):
        writer.append(1, *packed_rows([], [piece(PROBLEMS["p0"], 0, 1)]))
    with pytest.raises(AssertionError, match="holds rows of 'p1'"):
        writer.append(2, *packed_rows([], [replace(piece(PROBLEMS["p1"], 0, 1), problem_id="p2")]))
