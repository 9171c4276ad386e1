"""Whole samples in other orders than they were drawn in, and under a cap that all problems share.

Both are for runs that sampled nothing but whole solutions of the bare question: `scaling.stored.sample_player`
plays on those.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from actors.grading.verdicts import Verdicts
from jobs.comparison.stored_samples import problem_of
from records.failure import StrategyFailed
from records.rows import ProblemRecord, Status
from scaling.answers.classes import AnswerClasses
from scaling.search.accounting import Models, flops
from scaling.stored.problem import NotStored, StoredProblem, check_whole_samples, stored_problem
from scaling.stored.sample_player import Outcome, play
from scaling.stored.shared_cap import play_together
from scaling.strategy import StrategyFactory

Numbers = Mapping[str, float | bool | None]


def whole_samples(record: ProblemRecord, answers: AnswerClasses) -> StoredProblem:
    """The samples of a problem, not graded yet; `answers` is how they are read.

    Raises:
        InvalidInput: the run searched by steps, so its samples have no order, or cancelled some.
    """
    check_whole_samples(
        record,
        "only whole samples of the bare question can be taken in other orders (--orders) and shared out anew",
    )
    return stored_problem(problem_of(record.problem), record.steps, record.requests, answers=answers)


def over_orders(
    strategy: StrategyFactory,
    record: ProblemRecord,
    verdicts: Verdicts,
    models: Models,
    *,
    seed: int,
    num_orders: int,
    answers: AnswerClasses,
) -> Numbers:
    """What a strategy comes to, on average over orders named by the run's seed.

    Raises:
        NotStored: in some order it asks for more than is stored, or the run's cap cut the samples.
        StrategyFailed: a strategy of the user's own failed.
    """
    stored = replace(_uncut(record, answers), verdicts=verdicts)
    outcomes = [play(strategy, stored, stored.order(seed, number)) for number in range(num_orders)]
    columns = [numbers_of(outcome, models) for outcome in outcomes]
    return {name: _mean([numbers[name] for numbers in columns]) for name in columns[0]}


def shared_out(
    strategy: StrategyFactory,
    records: Sequence[StoredProblem],
    total_tokens: int | None,
) -> list[Outcome] | str:
    """What a strategy comes to on all problems side by side under a cap; or why that is unknown, for all of them."""
    orders = [list(range(len(stored.samples))) for stored in records]
    try:
        return play_together(strategy, records, orders, total_tokens)
    except NotStored as left:
        return f"under a cap that all share, one problem that leaves the tree makes all unknown: {left}"
    except StrategyFailed as failed:
        return f"failed: {failed}"


def uncut_or_why(record: ProblemRecord, answers: AnswerClasses) -> StoredProblem | str:
    """The samples of a problem; or why they are no use under other settings."""
    try:
        return _uncut(record, answers)
    except NotStored as left:
        return str(left)


def numbers_of(outcome: Outcome, models: Models) -> Numbers:
    """The columns of an outcome; those that it does not have are left out."""
    cost = outcome.cost
    computed = cost.generated_tokens + cost.prompt_tokens - cost.cached_tokens
    return {
        "correct": outcome.right,
        "covered": outcome.covered,
        "answer_p_median": outcome.answer_p,
        "num_samples": outcome.num_samples,
        "pruned_tokens": outcome.pruned_tokens,
        "generated_tokens": cost.generated_tokens,
        "thinking_tokens": cost.thinking_tokens,
        "prompt_tokens": cost.prompt_tokens,
        "cached_tokens": cost.cached_tokens,
        "prm_tokens": cost.prm_tokens,
        "prm_cached_tokens": cost.prm_cached_tokens,
        "flops": flops(models, computed, cost.prm_tokens - cost.prm_cached_tokens),
    }


def _uncut(record: ProblemRecord, answers: AnswerClasses) -> StoredProblem:
    if record.problem.status is not Status.SUCCEEDED:
        raise NotStored(f"problem {record.problem.problem_id!r}: the run's cap cut its samples")
    return whole_samples(record, answers)


def _mean(values: Sequence[float | bool | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
