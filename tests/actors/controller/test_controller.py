"""The controller in one process, with the real writer, store, mailboxes and links, and fake engines."""

import asyncio
from functools import partial
from itertools import count
from operator import itemgetter

import pytest

from actors.controller.replica_client import MAX_FAILED_STARTS
from records.failure import ReplicaDied, ReplicaFailed
from records.problem import Problem
from records.run_folder.reader import read_run
from scaling.answers.classes import AnswerPolicy
from scaling.strategies.beam_search import beam_search
from scaling.strategies.best_of_n import best_of_n
from scaling.strategies.majority import majority
from scaling.strategies.marginal import marginal
from scaling.strategies.rollout import rollout
from tests.support.fakes import FakeGeneratorEngine, Faults, deaths, fake_generator, fake_prm
from tests.support.local import LIMITS, ExactGrader, LocalRun, problems

pytestmark = pytest.mark.slow

STRATEGIES = {
    "majority": partial(majority, limits=LIMITS, num_samples=4),
    "best-of-n": partial(best_of_n, limits=LIMITS, num_samples=4),
    "beam": partial(beam_search, limits=LIMITS, num_samples=4, beam_width=2, max_steps=10),
    "rollout": partial(rollout, limits=LIMITS, num_trajectories=2, num_continuations=3),
}
COUNT = 30
ALL_IDS = sorted(f"p{index}" for index in range(COUNT))


def what_was_found(folder) -> dict[str, tuple[object, ...]]:
    rows = read_run(folder).problems().to_pylist()
    assert len({row["problem_id"] for row in rows}) == len(rows)
    return {
        row["problem_id"]: (row["status"], row["answer"], row["correct"], row["generated_tokens"], row["p_median"])
        for row in rows
    }


@pytest.mark.parametrize("name", STRATEGIES)
async def test_a_run_gives_every_problem_one_row(tmp_path, name):
    run = LocalRun(tmp_path / "run", problems(COUNT), STRATEGIES[name])
    await run.run()
    found = read_run(tmp_path / "run")
    rows = found.problems().to_pylist()
    assert found.finished
    assert sorted(row["problem_id"] for row in rows) == ALL_IDS
    assert {row["status"] for row in rows} == {"succeeded"}
    assert 0 < sum(row["correct"] for row in rows) < COUNT
    steps, requests = found.steps(), found.requests()
    assert (
        found.totals.generated_tokens == sum(row["generated_tokens"] for row in rows) == run.controller.charged_tokens()
    )
    assert sum(steps["generated_tokens"].to_pylist()) == found.totals.generated_tokens
    assert set(requests["problem_id"].to_pylist()) == set(ALL_IDS)


class Lenient(ExactGrader):
    """Finds numbers of one parity the same; says what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str]] = []

    async def same(self, pairs):
        self.asked += pairs
        await asyncio.sleep(0)
        return [int(left) % 2 == int(right) % 2 for left, right in pairs]


async def test_votes_count_what_the_grader_calls_the_same(tmp_path):
    own = AnswerPolicy(grader="my:own")
    grader = Lenient()
    for name, asked in (("strict", ExactGrader()), ("mild", grader)):
        await LocalRun(tmp_path / name, problems(COUNT), STRATEGIES["majority"], policy=own, grader=asked).run()
    assert grader.asked
    strict, mild = (read_run(tmp_path / name).steps().to_pylist() for name in ("strict", "mild"))
    key = itemgetter("problem_id", "node_id")
    for one, other in zip(sorted(strict, key=key), sorted(mild, key=key), strict=True):
        assert one["answer"] == other["answer"]
        assert one["answer_class"] == (one["answer"] or None), "nothing is the same but itself"
        if other["answer"]:
            assert int(other["answer_class"]) % 2 == int(other["answer"]) % 2
    classes = {(row["problem_id"], row["answer_class"]) for row in mild if row["answer"]}
    assert len(classes) <= 2 * COUNT < len({(row["problem_id"], row["answer"]) for row in strict if row["answer"]})


async def test_samples_without_an_answer_are_counted_and_told_once(tmp_path):
    silent = AnswerPolicy(extractor=lambda text: None if len(text) % 2 else text[-3:])
    run = LocalRun(tmp_path / "run", problems(COUNT), STRATEGIES["majority"], policy=silent)
    await run.run()
    found = read_run(tmp_path / "run")
    rows, steps = found.problems().to_pylist(), found.steps().to_pylist()
    stated = [step["answer"] for step in steps if step["answer"] is not None]
    assert sum(row["num_finished"] for row in rows) == len(stated) == found.totals.finished_samples
    assert sum(row["num_unanswered"] for row in rows) == stated.count("") == found.totals.unanswered_samples > 0
    told = [note for note in run.controller.take_notes() if "state no answer" in note]
    assert len(told) == (found.totals.unanswered_samples > 0.2 * len(stated))
    assert (run.controller.progress().finished_samples, len(told)) == (len(stated), 1)


async def test_problems_that_compete_share_the_cap_window_by_window(tmp_path):
    strategy = partial(marginal, limits=LIMITS, num_samples=8)
    await LocalRun(tmp_path / "whole", problems(COUNT), strategy).run()
    needed = read_run(tmp_path / "whole").totals.generated_tokens
    run = LocalRun(
        tmp_path / "run", problems(COUNT), strategy, total_tokens=needed // 2, max_open_problems=10, competing=True,
        num_generators=2, num_prms=2,
    )  # fmt: skip
    most_open = 0

    def watch() -> None:
        nonlocal most_open
        most_open = max(most_open, run.controller.scheduler.num_open)

    run.on_visible = watch
    await run.run()
    found = read_run(tmp_path / "run")
    rows = {row["problem_id"]: row for row in found.problems().to_pylist()}
    assert sorted(rows) == ALL_IDS
    assert 0.95 * (needed // 2) < found.totals.generated_tokens <= needed // 2
    left, windows = needed // 2, [[f"p{index}" for index in range(begin, begin + 10)] for begin in (0, 10, 20)]
    for number, window in enumerate(windows):
        spent = sum(rows[name]["generated_tokens"] for name in window)
        assert spent <= left // (len(windows) - number)
        assert any(rows[name]["status"] == "budget_exhausted" for name in window)
        left -= spent
    assert most_open <= 10
    worths = [row["worth"] for row in found.requests().to_pylist() if row["kind"] == "expand"]
    assert all(worth is not None for worth in worths)


async def test_memory_that_is_full_opens_no_more_and_stops_nothing(tmp_path):
    """With room for one step, problems are opened only while none is held, and what is held is written at once."""
    await LocalRun(tmp_path / "free", problems(COUNT), STRATEGIES["beam"]).run()
    full = LocalRun(tmp_path / "full", problems(COUNT), STRATEGIES["beam"], max_open_paths=1)
    held: list[int] = []
    scheduler, recorder = full.controller.scheduler, full.controller._recorder
    opening = scheduler.open

    def open_and_tell(*args, **kwargs) -> None:
        held.append(scheduler.num_paths + recorder.num_paths)
        opening(*args, **kwargs)

    scheduler.open = open_and_tell
    await full.run()
    assert what_was_found(tmp_path / "full") == what_was_found(tmp_path / "free")
    assert held == [0] * COUNT
    assert recorder.num_paths == scheduler.num_paths == 0


async def test_replica_count_death_and_forgotten_prefixes_change_no_result(tmp_path):
    await LocalRun(tmp_path / "calm", problems(COUNT), STRATEGIES["beam"]).run()
    lives = count()
    rough = LocalRun(
        tmp_path / "rough",
        problems(COUNT),
        STRATEGIES["beam"],
        make_generator=lambda: fake_generator(
            faults=Faults(die_at=40 if next(lives) < 3 else None, lose_at={7}), max_prefix_tokens=0
        ),
        make_prm=lambda: fake_prm(faults=Faults(die_at=90 if next(lives) < 5 else None)),
        num_generators=2,
        num_prms=2,
    )
    await rough.run()
    assert sum(handle.num_made for handle in [*rough.generators, *rough.prms]) > 4
    assert rough.controller.progress().replicas_lost > 0
    assert any("is gone" in note for note in rough.controller.take_notes())
    assert what_was_found(tmp_path / "rough") == what_was_found(tmp_path / "calm")
    steps = read_run(tmp_path / "rough").steps()
    assert set(steps["replica"].to_pylist()) == {"generator-0", "generator-1"}
    assert set(steps["prm_replica"].to_pylist()) >= {"prm-0", "prm-1"}


async def test_the_cap_holds_and_a_later_run_goes_on_under_a_higher_one(tmp_path):
    capped = LocalRun(tmp_path / "run", problems(COUNT), STRATEGIES["best-of-n"], total_tokens=2_000)
    await capped.run()
    run = read_run(tmp_path / "run")
    statuses = run.problems()["status"].to_pylist()
    assert sorted(run.problems()["problem_id"].to_pylist()) == ALL_IDS
    assert "budget_exhausted" in statuses
    assert "succeeded" in statuses
    assert 1_500 < run.totals.generated_tokens <= 2_000
    assert run.log.leased_tokens <= 2_000


async def test_stop_keeps_what_concluded_and_the_same_run_goes_on(tmp_path):
    gate, some_done = asyncio.Event(), asyncio.Event()
    gate.set()
    first = LocalRun(tmp_path / "run", problems(COUNT), make_generator=lambda: fake_generator(faults=Faults(gate=gate)))
    first.on_rows = some_done.set
    running = asyncio.create_task(first.controller.run())
    await some_done.wait()
    gate.clear()
    await first.controller.stop()
    assert await running is False
    first.writer.release(first.controller.charged_tokens())
    done = set(what_was_found(tmp_path / "run"))
    assert 0 < len(done) < COUNT
    second = LocalRun(tmp_path / "run", problems(COUNT))
    assert second.state.done == done
    await second.run()
    assert sorted(what_was_found(tmp_path / "run")) == ALL_IDS
    await LocalRun(tmp_path / "whole", problems(COUNT)).run()
    assert what_was_found(tmp_path / "run") == what_was_found(tmp_path / "whole")


async def test_stop_while_problems_conclude_and_a_flush_is_under_way(tmp_path):
    run = LocalRun(tmp_path / "run", problems(300), STRATEGIES["majority"], flush_s=0.02)
    some_done = asyncio.Event()
    run.on_rows = some_done.set
    running = asyncio.create_task(run.controller.run())
    await some_done.wait()
    await run.controller.stop()
    assert await running is False
    run.writer.release(run.controller.charged_tokens())
    run.writer.release(run.controller.charged_tokens())
    first = set(what_was_found(tmp_path / "run"))
    assert 0 < len(first) < 300
    await LocalRun(tmp_path / "run", problems(300), STRATEGIES["majority"]).run()
    assert len(what_was_found(tmp_path / "run")) == 300


async def test_with_the_budget_gone_the_rest_is_opened_no_faster_than_it_is_written(tmp_path):
    run = LocalRun(tmp_path / "run", problems(1_000), STRATEGIES["majority"], total_tokens=100)
    most = 0

    def look() -> None:
        nonlocal most
        most = max(most, run.controller.progress().open_problems)

    run.on_visible = look
    await run.run()
    assert most <= 80
    statuses = read_run(tmp_path / "run").problems()["status"].to_pylist()
    assert len(statuses) == 1_000
    assert statuses.count("budget_exhausted") > 990


async def test_an_over_long_question_is_one_failed_row(tmp_path):
    poisoned = [*problems(5), Problem("long", "x" * 2_000, "1")]
    await LocalRun(tmp_path / "run", poisoned, STRATEGIES["majority"]).run()
    rows = {row["problem_id"]: row for row in read_run(tmp_path / "run").problems().to_pylist()}
    assert rows["long"]["status"] == "failed"
    assert "context" in rows["long"]["error"]
    assert rows["long"]["correct"] is None
    assert {row["status"] for name, row in rows.items() if name != "long"} == {"succeeded"}


async def test_a_replica_that_never_serves_ends_the_run_with_its_cause(tmp_path):
    run = LocalRun(tmp_path / "run", problems(COUNT), make_generator=lambda: fake_generator(faults=Faults(die_at=1)))
    with pytest.raises(ReplicaFailed, match=r"given up after 5 starts.*died, as told"):
        await run.run()
    assert run.generators[0].num_made == MAX_FAILED_STARTS


async def test_a_hanging_engine_is_found_by_its_canary_and_replaced(tmp_path):
    lives = count()

    def make():
        stuck = asyncio.Event() if next(lives) == 0 else None
        return fake_generator(faults=Faults(gate=stuck))

    run = LocalRun(tmp_path / "run", problems(4), make_generator=make)
    run.generators[0].replica.check_health = partial(hangs, run.generators[0].replica)
    await run.run()
    assert run.generators[0].num_made == 2
    assert len(what_was_found(tmp_path / "run")) == 4


async def hangs(replica, _deadline_s):
    assert not deaths(replica)
    raise ReplicaDied("the engine did not answer in time")


class Slow(FakeGeneratorEngine):
    """Has made 33 tokens of each sample that is held up."""

    @property
    def flying_tokens(self) -> int:
        gate = self.faults.gate
        return 0 if gate is None or gate.is_set() else 33


async def test_tokens_in_flight_are_told_before_any_sample_ends(tmp_path):
    gate = asyncio.Event()
    run = LocalRun(
        tmp_path / "run", problems(4),
        make_generator=lambda: fake_generator(faults=Faults(gate=gate), engine=Slow), num_generators=2,
    )  # fmt: skip
    running = asyncio.create_task(run.run())
    while run.controller.progress().flying_tokens != 66:  # noqa: ASYNC110 (what changes it is a poll)
        await asyncio.sleep(0.02)
    assert (run.controller.progress().generated_tokens, run.controller.progress().made_tokens) == (0, 66)
    gate.set()
    await running
    progress = run.controller.progress()
    assert (progress.flying_tokens, progress.made_tokens) == (0, read_run(tmp_path / "run").totals.generated_tokens)
