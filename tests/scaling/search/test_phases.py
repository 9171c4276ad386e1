"""Thought and answer in a search: what is extracted, what the PRM reads, what stands in rows, and after a resume."""

from dataclasses import replace
from functools import partial

from records.calls import Sampled, SampledStep, Scored
from records.path import FinishReason, Phases, PrmScore
from records.problem import Problem
from records.request import Until
from records.rows import OpenRecord, StepRow
from records.schemas import to_rows, to_table
from scaling.answers.classes import AnswerPolicy
from scaling.answers.extract import Extraction
from scaling.answers.stated import answer_of
from scaling.search.accounting import Models, problem_record
from scaling.search.problem_search import ProblemSearch
from scaling.search.tasks import SampleTask, ScoreTask
from scaling.stored.problem import finished_answers
from scaling.stored.tree import StoredChild, stored_tree
from scaling.strategies.majority import majority
from scaling.strategy import SearchLimits
from scaling.uncertainty.aggregation import Aggregation
from tests.records import builders
from tests.support.world import NOTHING

POLICY = AnswerPolicy(Extraction(has_thoughts=False))
LIMITS = SearchLimits(max_tokens=40, max_step_tokens=8)
PROBLEM = Problem("p", "What?", "12")


def step(text: str, reason: FinishReason, phases: Phases, *, tokens: int = 4) -> SampledStep:
    return SampledStep(text, tuple(range(tokens)), reason, -1.0, phases=phases)


THINKS = step("Is it \\boxed{13}?\n\n", FinishReason.SEPARATOR, Phases(4, 19, is_open=True))
TURNS = step("No.\n</t>It is \\boxed{12}.", FinishReason.EOS, Phases(3, 8, is_open=False))
CLOSED = step("</t>It is \\boxed{12}.", FinishReason.EOS, Phases(2, 4, is_open=False, is_closed=True, num_prolonged=2))
CUT = step("Hmm, \\boxed{13}", FinishReason.UNFINISHED_THOUGHT, Phases(4, 15, is_open=True))


def sampled(task: SampleTask, *steps: SampledStep) -> Sampled:
    return Sampled(task.key, steps, 5, 0, 0.0, 0.1)


def run(search: ProblemSearch, samples: list[tuple[SampledStep, ...]]) -> None:
    tasks = [task for task in search.begin() if isinstance(task, SampleTask)]
    for task, steps in zip(tasks, samples, strict=True):
        search.sampled(task, sampled(task, *steps), granted_tokens=40, replica="g")


def voted() -> ProblemSearch:
    search = ProblemSearch(PROBLEM, partial(majority, limits=LIMITS, num_samples=4), run_seed=1, policy=POLICY)
    run(search, [(THINKS, TURNS), (THINKS, CUT), (THINKS, CUT), (CLOSED,)])
    return search


def test_answers_are_of_what_follows_the_thought_and_an_unfinished_thought_has_none():
    search = voted()
    assert search.choice is not None
    assert search.choice.answer == "12"
    assert [row.answer for row in search.steps] == [None, "12", None, "", None, "", "12"]
    assert [answer_of(path) for path in search.choice.candidates] == ["12", None, None, "12"]
    assert [path.thinking_tokens for path in search.choice.candidates] == [7, 8, 8, 2]


def test_rows_say_which_tokens_were_thought_and_what_became_of_it():
    search = voted()
    columns = [(row.thinking_tokens, row.answer_tokens, row.thought_chars, row.thought_open) for row in search.steps]
    cut = [(4, 0, 19, True), (4, 0, 15, True)]
    assert columns == [(4, 0, 19, True), (3, 1, 8, False), *cut, *cut, (2, 2, 4, False)]
    row = problem_row(search)
    assert (row.thinking_tokens, row.answer_tokens, row.generated_tokens) == (25, 3, 28)
    assert (row.num_unfinished_thoughts, row.num_closed_thoughts, row.num_prolonged_thoughts) == (2, 1, 1)
    assert (row.num_finished, row.num_unanswered) == (4, 2)


def problem_row(search: ProblemSearch):
    models = Models(1, None, None)
    record = problem_record(search, correct=None, models=models, strategy="s", wall_seconds=1.0, share=NOTHING)
    return record.problem


def test_a_run_that_does_not_tell_says_null():
    search = ProblemSearch(PROBLEM, partial(majority, limits=LIMITS, num_samples=1), run_seed=1)
    run(search, [(replace(TURNS, phases=None),)])
    assert {search.steps[0].thinking_tokens, search.steps[0].answer_tokens, search.steps[0].thought_open} == {None}
    row = problem_row(search)
    assert {row.thinking_tokens, row.answer_tokens, row.num_unfinished_thoughts} == {None}


def test_another_process_reads_the_same_from_the_rows():
    search = voted()
    steps = tuple(to_rows(StepRow, to_table("steps", search.steps)))
    again = ProblemSearch(PROBLEM, partial(majority, limits=LIMITS, num_samples=4), run_seed=1, policy=POLICY)
    assert again.restore(OpenRecord(problem_id="p", steps=steps, requests=tuple(search.requests))) == []
    assert again.choice is not None
    assert again.choice.answer == "12"
    assert problem_row(again) == problem_row(search)
    assert finished_answers(PROBLEM, steps, POLICY) == ["12", None, None, "12"]
    record = problem_record(
        search, correct=None, models=Models(1, None, None), strategy="s", wall_seconds=1.0, share=NOTHING
    )
    tree = stored_tree(record, top_logprobs=0, policy=POLICY)
    assert [tree.answer_of(leaf) for leaf in tree.finished] == ["12", None, None, "12"]


def scoring(policy: AnswerPolicy) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The texts that the PRM is given of a sample, and of it as a prefix."""
    strategy = partial(majority, limits=LIMITS, num_samples=1, weight_by=Aggregation.LAST)
    search = ProblemSearch(PROBLEM, strategy, run_seed=1, policy=policy)
    [task] = search.begin()
    assert isinstance(task, SampleTask)
    [score] = search.sampled(task, sampled(task, THINKS, TURNS), granted_tokens=40, replica="g")
    assert isinstance(score, ScoreTask)
    search.scored(score, Scored(score.key, (PrmScore(0.1, 0.2, 0.3),), 3, 0, False, 0.0, 0.0), replica="p")
    assert search.choice is not None
    assert search.choice.path is not None
    leaf = search.choice.path
    ids = [search.locality.prm(node).prefix_id for node in (leaf.root, *leaf.lineage)]
    return score.steps, tuple(ids)


def test_the_prm_reads_thought_and_answer_or_the_answer_only():
    whole, ids = scoring(POLICY)
    assert whole == (THINKS.text, TURNS.text)
    answers, other_ids = scoring(replace(POLICY, prm_reads_thoughts=False))
    assert answers == ("", "It is \\boxed{12}.")
    assert ids[0] == other_ids[0]
    assert ids[1:] != other_ids[1:]


def test_a_step_of_a_thought_that_was_cut_by_its_own_bound_is_the_same_under_another_one():
    row = replace(builders.step("p", 1, 5), finish_reason="tokens")
    step, asked = (StoredChild(until, None, 9, "", (row,), 0) for until in (Until.STEP, Until.TOKENS))
    assert [step.is_what(most) for most in (4, 5, 512)] == [False, True, True]
    assert [asked.is_what(most) for most in (4, 5, 512)] == [False, True, False]
