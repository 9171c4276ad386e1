"""Answers that only the grader can tell apart: a reply waits for it, votes count classes, and a journal keeps them."""

import random
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.calls import SampleCall, Sampled, SampledStep
from records.path import FinishReason, Path
from records.problem import Problem
from records.request import Expand, Until
from records.rows import OpenRecord
from records.schemas import to_rows, to_table
from scaling.answers.classes import AnswerPolicy
from scaling.answers.equivalence import same_answer
from scaling.scheduler.open_search import Concluded
from scaling.search.accounting import Models, problem_record
from scaling.search.problem_search import ProblemSearch
from scaling.search.tasks import CompareTask, SampleTask
from scaling.strategies.majority import majority
from scaling.strategy import Choice, SearchLimits, Strategy
from tests.support.world import NOTHING, World, problems, scheduler_for

LIMITS = SearchLimits(max_tokens=40, max_step_tokens=8)
SAID = ["(x+1)^2", "x^2+2x+1", "(1+x)(1+x)", "x^2+3", "x^2+3", r"\frac{x}{2}", "no idea"]
VOTE = partial(majority, limits=LIMITS, num_samples=len(SAID))


def saying(call: SampleCall) -> list[SampledStep]:
    """One of `SAID`, by the seed: three ways of writing one answer, and others."""
    text = SAID[call.seed % len(SAID)]
    said = f"The answer is {text}." if text != "no idea" else "I cannot tell."
    return [SampledStep(said, (1, 2, 3), FinishReason.EOS, -1.0, None, None)]


def concluded(seed: int) -> list[Concluded]:
    world = World(scheduler_for(VOTE), random.Random(seed), steps=saying)
    world.run(problems(3))
    return sorted(world.concluded, key=lambda one: one.search.problem.problem_id)


@given(st.integers(0, 2**32))
def test_the_order_in_which_things_arrive_changes_no_class(seed: int) -> None:
    for one, other in zip(concluded(0), concluded(seed), strict=True):
        mine, theirs = one.search, other.search
        assert [(row.answer, row.answer_class) for row in mine.steps] == [
            (row.answer, row.answer_class) for row in theirs.steps
        ]
        assert mine.choice is not None
        assert theirs.choice is not None
        assert mine.choice.answer == theirs.choice.answer


def test_a_finished_sample_is_read_once_for_the_grader_the_vote_and_its_row() -> None:
    read: list[str] = []

    def extractor(solution: str) -> str:
        read.append(solution)
        return "1"

    policy = AnswerPolicy(extractor=extractor)
    search = ProblemSearch(Problem("p", "question", "1"), partial(rollouts, num_samples=3), run_seed=1, policy=policy)
    for task in search.begin():
        assert isinstance(task, SampleTask)
        sampled = Sampled(task.key, (SampledStep(f"{task.child}", (1,), FinishReason.EOS, None),), 1, 0, 0.0, 0.0)
        search.sampled(task, sampled, granted_tokens=40, replica="g")
    assert read == ["0", "1", "2"]
    assert [(row.answer, row.answer_class) for row in search.steps] == [("1", "1")] * 3


def rollouts(root: Path, *, num_samples: int) -> Strategy:
    """Samples that nobody but the search reads."""
    reply = yield Expand(((root, num_samples),), Until.END, 40)
    return Choice(reply.paths[0], "1", reply.paths)


def test_rows_say_what_was_stated_and_how_it_was_counted() -> None:
    for one in concluded(3):
        by_class: dict[str, set[str]] = {}
        for row in one.search.steps:
            assert row.answer is not None
            if row.answer:
                assert row.answer_class is not None
                by_class.setdefault(row.answer_class, set()).add(row.answer)
            else:
                assert row.answer_class is None
        for own in by_class.values():
            assert all(same_answer(left, right) for left in own for right in own)
        names = list(by_class)
        assert not any(same_answer(left, right) for left in names for right in names if left != right)
        record = problem_record(
            one.search, correct=None, models=Models(1, None, None), strategy="majority", wall_seconds=1.0, share=NOTHING
        )
        silent = sum(row.answer == "" for row in one.search.steps)
        assert (record.problem.num_finished, record.problem.num_unanswered) == (len(SAID), silent)


def search_of(answers: list[str]) -> tuple[ProblemSearch, list[CompareTask]]:
    """A vote over these answers, up to where the grader is asked."""
    strategy = partial(majority, limits=LIMITS, num_samples=len(answers))
    search = ProblemSearch(Problem("p", "q", None), strategy, run_seed=0)
    tasks = []
    for task, answer in zip(search.begin(), answers, strict=True):
        assert isinstance(task, SampleTask)
        step = SampledStep(f"The answer is {answer}.", (1,), FinishReason.EOS, -1.0, None, None)
        tasks += search.sampled(task, sampled_of(task.key, step), granted_tokens=5, replica="g")
    return search, [task for task in tasks if isinstance(task, CompareTask)]


def sampled_of(key: str, step: SampledStep) -> Sampled:
    return Sampled(key, (step,), 3, 0, 0.1, 0.1)


def test_a_reply_waits_for_the_grader_and_votes_count_what_it_says() -> None:
    answers = ["x^2+3", "x^2+3", "(x+1)^2", "x^2+2x+1", "(1+x)(1+x)"]
    search, [task] = search_of(answers)
    assert not search.finished
    assert search.compared(task, {pair: same_answer(*pair) for pair in task.pairs}) == []
    assert search.choice is not None
    assert search.choice.answer == "(x+1)^2", "three against two"


def test_without_a_verdict_answers_are_different() -> None:
    search, [task] = search_of(["x^2+3", "x^2+3", "(x+1)^2", "x^2+2x+1", "(1+x)(1+x)"])
    search.compared(task, {})
    assert search.choice is not None
    assert search.choice.answer == "x^2+3"
    with pytest.raises(ValueError, match="does not wait for a comparison"):
        search.compared(replace(task, request=7), {})


def test_numbers_and_letters_wait_for_nobody() -> None:
    search, tasks = search_of(["18", r"18\text{ dollars}", "19", "B", "(B)"])
    assert tasks == []
    assert search.choice is not None
    assert search.choice.answer == "18"


def test_a_restored_search_counts_as_the_first_one_did() -> None:
    search, [task] = search_of(["x^2+3", "x^2+3", "(x+1)^2", "x^2+2x+1", "(1+x)(1+x)"])
    search.compared(task, {pair: same_answer(*pair) for pair in task.pairs})
    steps = tuple(to_rows(type(search.steps[0]), to_table("steps", search.steps)))
    record = OpenRecord(problem_id="p", steps=steps, requests=tuple(search.requests))
    again = ProblemSearch(Problem("p", "q", None), partial(majority, limits=LIMITS, num_samples=5), run_seed=0)
    assert again.restore(record) == [], "nobody is asked again"
    assert again.choice is not None
    assert again.choice.answer == "(x+1)^2"
