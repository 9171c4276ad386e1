"""From a finished search to its problem row: what it cost, how it ended, what it answers.

FLOPs are 2 x parameters x computed tokens, of generator and PRM (Kaplan et al., arXiv 2001.08361, forward pass only);
tokens found in a prefix cache are not computed. Parameters are those that a token is multiplied with
(`actors.engines.model_size`). Attention to what came before, which grows with the context (for a model of 1.5B 11% more
at 2,000 tokens, 45% at 8,000), is not counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from records.rows import ProblemRecord, ProblemRow, RequestRow, Status, StepRow
from records.usage import Role
from scaling.budget.metering import ReplicaRate, Share, cost_of
from scaling.search.journal import CANCEL
from scaling.search.phases import phase_columns
from scaling.search.probes import passing_probes
from scaling.search.problem_search import ProblemSearch
from scaling.strategy import Choice
from scaling.uncertainty.abstention import Abstention

TokensT = TypeVar("TokensT", float, NDArray[np.float64])


@dataclass(frozen=True, slots=True)
class Models:
    """The models that a run uses.

    Attributes:
        num_generator_parameters: of the generator.
        num_prm_parameters: of the PRM; None where there is none.
        generator_sha256: of the generator's weights; None where it has none.
    """

    num_generator_parameters: int
    num_prm_parameters: int | None
    generator_sha256: str | None


def problem_record(
    search: ProblemSearch,
    *,
    correct: bool | None,
    models: Models,
    strategy: str,
    wall_seconds: float,
    share: Share,
    abstention: Abstention | None = None,
) -> ProblemRecord:
    """All rows of a finished search.

    Args:
        search: that has ended.
        correct: the grader's verdict.
        models: that served it.
        strategy: its name.
        wall_seconds: from admission to the end.
        share: of the replicas' time, so far (`with_share`).
        abstention: when the answer is not stood by; None: it always is.
    """
    choice, root = search.choice, search.root_score
    path = choice.path if choice else None
    score = (choice.answer_p if choice else None) or (path.score if path else None)
    answer = choice.answer if choice else None
    generated, prompt, cached = _generator_tokens(search)
    prm, prm_cached = _prm_tokens(search)
    problem = ProblemRow(
        problem_id=search.problem.problem_id,
        status=_status(search),
        error=search.error,
        answer=answer,
        correct=correct,
        answer_p_lower=score.lower if score else None,
        answer_p_median=score.median if score else None,
        answer_p_upper=score.upper if score else None,
        num_samples=_num_samples(search),
        num_steps=len(search.steps),
        generated_tokens=generated,
        prompt_tokens=prompt,
        cached_tokens=cached,
        pruned_tokens=pruned_tokens_of(choice, generated),
        prm_tokens=prm,
        prm_cached_tokens=prm_cached,
        flops=flops(models, generated + prompt - cached, prm - prm_cached),
        gpu_seconds=None,
        usd=None,
        p_lower=root.lower if root else None,
        p_median=root.median if root else None,
        p_upper=root.upper if root else None,
        wall_seconds=wall_seconds,
        strategy=strategy,
        abstained=None if abstention is None else abstention.abstains(answer, score),
        question=search.problem.question,
        reference=search.problem.reference,
        generator_seconds=share.generator_s,
        prm_seconds=share.prm_s,
        **_told(search),
    )
    return ProblemRecord(problem=problem, steps=tuple(search.steps), requests=tuple(search.requests))


def _num_samples(search: ProblemSearch) -> int:
    """Children of all requests but those that probed."""
    probing = {row.request for row in search.requests if row.forced_text is not None}
    leaves = (leaf for row in search.requests for leaf in row.child_ids)
    return sum(search.steps[leaf - 1].request not in probing for leaf in leaves)  # node ids count the step rows from 1


def _told(search: ProblemSearch) -> dict[str, Any]:
    """Samples that came to their end or were cancelled, what they state, and what the row carries of the input."""
    passing = passing_probes(search.steps)
    stated = [step.answer for step in search.steps if step.answer is not None and step.node_id not in passing]
    number, tokens = cancelled_samples(search.requests, search.steps)
    return {
        "num_finished": len(stated),
        "num_unanswered": stated.count(""),
        "columns": search.problem.columns or None,
        "num_cancelled": number,
        "cancelled_tokens": tokens,
        **phase_columns(search.steps, passing),
    }


def cancelled_samples(requests: Sequence[RequestRow], steps: Sequence[StepRow]) -> tuple[int, int]:
    """How many samples of a problem no reply delivered, and the tokens that were generated for them.

    Args:
        requests: of the problem, in order.
        steps: likewise, by node.
    """
    number = tokens = node = 0
    for row in requests:
        before, node = node, max([node, *row.child_ids])
        if row.kind == CANCEL:
            number += len(row.child_ids)
            tokens += sum(step.generated_tokens for step in steps[before:node])  # node ids count the step rows from 1
    return number, tokens


def with_share(row: ProblemRow, share: Share, rates: Mapping[Role, ReplicaRate]) -> ProblemRow:
    """A problem's row with its part of the replicas' time, and what that costs (`cost_of`)."""
    seconds: dict[Role, float] = {"generator": share.generator_s, "prm": share.prm_s}
    gpu_seconds, usd = cost_of(seconds, rates)
    return replace(row, generator_seconds=share.generator_s, prm_seconds=share.prm_s, gpu_seconds=gpu_seconds, usd=usd)


def flops(models: Models, generator_tokens: TokensT, prm_tokens: TokensT) -> TokensT:
    """Of so many computed tokens: a number, or one of each problem."""
    return 2.0 * (models.num_generator_parameters * generator_tokens + (models.num_prm_parameters or 0) * prm_tokens)


def _status(search: ProblemSearch) -> Status:
    if search.error is not None:
        return Status.FAILED
    return Status.BUDGET_EXHAUSTED if search.cut else Status.SUCCEEDED


def _generator_tokens(search: ProblemSearch) -> tuple[int, int, int]:
    """Generated, prompt, and of those cached."""
    steps = search.steps
    generated = sum(step.generated_tokens for step in steps)
    return generated, sum(step.prompt_tokens for step in steps), sum(step.cached_tokens for step in steps)


def _prm_tokens(search: ProblemSearch) -> tuple[int, int]:
    """Read by the PRM, and of those cached."""
    scorings: list[StepRow | RequestRow] = [*search.steps, *search.requests]
    return sum(row.prm_tokens for row in scorings), sum(row.prm_cached_tokens for row in scorings)


def pruned_tokens_of(choice: Choice | None, generated_tokens: int) -> int:
    """Generated tokens that no candidate for the answer contains."""
    candidates = choice.candidates if choice else ()
    kept = {node.node_id: node.sampled_tokens for path in candidates for node in path.lineage}
    return generated_tokens - sum(kept.values())
