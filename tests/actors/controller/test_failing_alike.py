"""A strategy or grader that fails is told while the run goes on, and a run whose first problems fail alike stops."""

from functools import partial
from typing import Any

import pytest

from actors.grading.grader import Grader
from cluster.store import LocalStore
from jobs.scoring.run_status import read_status
from records.failure import FailedAlike
from records.path import Path
from records.reasons import FailureReasons, reason_of
from records.request import Expand, Until
from records.run_folder.reader import read_run
from scaling.answers.classes import AnswerPolicy
from scaling.guarded import guarded
from scaling.strategy import Strategy
from scaling.uncertainty.selection import choose_by_vote
from tests.support.local import LIMITS, ExactGrader, LocalRun, problems

pytestmark = pytest.mark.slow

COUNT = 40


def breaking(root: Path, *, good: frozenset[str] = frozenset()) -> Strategy:
    """Fails on all questions but some, each with a message of its own."""
    reply = yield Expand(((root, 1),), Until.END, LIMITS.max_tokens)
    if root.text not in good:
        raise LookupError(f"no such thing in {root.text!r}")
    return choose_by_vote(reply.paths, None)


def begin(**options: Any):
    return partial(guarded, breaking, "my:own", **options)


async def test_the_first_problems_that_fail_alike_end_the_run_and_keep_their_rows(tmp_path):
    run = LocalRun(tmp_path / "run", problems(COUNT), begin(), stop_on_failures=8)
    with pytest.raises(FailedAlike, match=r"first 8 problems all failed alike.*my:own raised LookupError"):
        await run.controller.run()
    run.writer.release(run.controller.charged_tokens())
    rows = read_run(tmp_path / "run").problems().to_pylist()
    assert [row["status"] for row in rows] == ["failed"] * 8
    notes = run.controller.take_notes()
    told = [note for note in notes if "failed: my:own raised LookupError: no such thing in" in note]
    assert len(told) == 1, "the first error of a reason is told, and no other"
    status = read_status(LocalStore(tmp_path / "run"), now_s=0.0)
    [reason] = status.summary.failures
    assert (reason.problems, reason.example[:31]) == (8, "my:own raised LookupError: no s")


async def test_a_later_run_with_the_rule_off_goes_on(tmp_path):
    with pytest.raises(FailedAlike):
        await LocalRun(tmp_path / "run", problems(COUNT), begin(), stop_on_failures=3).controller.run()
    await LocalRun(tmp_path / "run", problems(COUNT), begin()).run()
    rows = read_run(tmp_path / "run").problems().to_pylist()
    assert sorted(row["problem_id"] for row in rows) == sorted(f"p{index}" for index in range(COUNT))
    assert {row["status"] for row in rows} == {"failed"}


@pytest.mark.parametrize(
    ("num_problems", "stop_on_failures", "good"),
    [(12, None, 0), (4, 4, 0), (12, 4, 1)],
    ids=["off", "these are all", "one is well"],
)
async def test_other_runs_come_to_their_end(tmp_path, num_problems, stop_on_failures, good):
    well = frozenset(f"question {index}" for index in range(good))
    run = LocalRun(
        tmp_path / "run", problems(num_problems), begin(good=well), stop_on_failures=stop_on_failures,
        max_open_problems=1,
    )  # fmt: skip
    await run.run()
    assert read_run(tmp_path / "run").totals.failed == num_problems - good


async def test_a_run_in_which_something_went_well_before_does_not_stop(tmp_path):
    first = LocalRun(tmp_path / "run", problems(10), begin(good=frozenset({"question 0"})), stop_on_failures=4)
    first.controller._problems = first.problems[:1]
    await first.controller.run()
    first.writer.release(first.controller.charged_tokens())
    await LocalRun(tmp_path / "run", problems(10), begin(), stop_on_failures=4).run()
    totals = read_run(tmp_path / "run").totals
    assert (totals.succeeded, totals.failed) == (1, 9)


class Raising(ExactGrader):
    """A grader of the user's own that raises."""

    async def grade(self, requests):
        async with Grader("tests.support.plugins:no_grader", num_workers=1, timeout_s=30) as grader:
            verdicts = await grader.grade(requests)
            self.first_errors |= grader.first_errors
            return verdicts


async def test_a_grader_that_raises_is_told_at_once_and_once(tmp_path):
    own = AnswerPolicy(grader="my:own")
    run = LocalRun(tmp_path / "run", problems(3), policy=own, grader=Raising())
    await run.run()
    told = [note for note in run.controller.take_notes() if "has no verdict" in note]
    assert told == [
        (
            "warning: an answer has no verdict, because the grader raised: LookupError: no such answer "
            "(`correct` is null there)"
        )
    ]
    assert read_run(tmp_path / "run").problems()["correct"].to_pylist() == [None] * 3


def test_a_reason_leaves_out_names_and_numbers():
    assert reason_of("problem 'p7': 2100 tokens do not fit into 2048\nand more") == reason_of(
        'problem "a\'b": 7 tokens do not fit into 1.5'
    )
    assert reason_of("KeyError: 'x'") != reason_of("LookupError: 'x'")
    reasons = FailureReasons()
    reasons.add(["b 1", "a 1", "a 2", "c"])
    assert [(one.problems, one.example) for one in reasons.commonest(2)] == [(2, "a 1"), (1, "b 1")]
