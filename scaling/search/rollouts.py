"""From a problem's graded continuations to its rows of the table `rollouts`."""

import json
from collections.abc import Callable, Sequence

from records.calls import Sampling
from records.path import FinishReason, Path
from records.rows import RolloutRow, StepRow
from scaling.answers.stated import answer_of
from scaling.search.problem_search import ProblemSearch
from scaling.search.texts import scored_text
from scaling.strategy import PrefixTrials

_CUT = (FinishReason.LENGTH, FinishReason.UNFINISHED_THOUGHT)


def answers_of(prefixes: Sequence[PrefixTrials]) -> dict[Path, str | None]:
    """The final answer of each continuation; None where it states none."""
    return {path: answer_of(path) for prefix in prefixes for path in prefix.continuations}


def rollout_rows(
    search: ProblemSearch,
    prefixes: Sequence[PrefixTrials],
    verdict: Callable[[Path], bool | None],
    *,
    generator: str | None,
    sampling: Sampling,
) -> tuple[RolloutRow, ...]:
    """One row per prefix of which a continuation was graded.

    Args:
        search: of the problem.
        prefixes: distinct.
        verdict: on a continuation; None where nobody could grade it, which is no trial.
        generator: sha256 of its weights.
        sampling: of the samples.
    """
    steps = {step.node_id: step for step in search.steps}
    rows = []
    for prefix in prefixes:
        graded = [path for path in prefix.continuations if verdict(path) is not None]
        if not graded:
            continue
        path = prefix.path
        sampled = [] if path.finished else [_sampled(steps, path, leaf) for leaf in prefix.continuations]
        own = [step for sample in sampled for step in sample]
        rows.append(
            RolloutRow(
                problem_id=search.problem.problem_id,
                node_id=path.node_id,
                question=search.problem.question,
                steps=tuple(scored_text(node, thoughts=search.locality.thoughts) for node in path.lineage),
                token_ids=path.solution_token_ids,
                depth=path.depth,
                terminal=path.finished,
                num_trajectories=prefix.num_trajectories,
                successes=sum(verdict(leaf) is True for leaf in graded),
                trials=len(graded),
                cut_trials=sum(leaf.finish_reason in _CUT for leaf in graded),
                generator=generator,
                temperature=sampling.temperature,
                sampling=json.dumps(sampling.beside_temperature, sort_keys=True),
                generated_tokens=sum(step.generated_tokens for step in own),
                prompt_tokens=sum(step.prompt_tokens for step in own),
                cached_tokens=sum(step.cached_tokens for step in own),
            )
        )
    return tuple(rows)


def _sampled(steps: dict[int, StepRow], prefix: Path, leaf: Path) -> list[StepRow]:
    """The rows of the steps that a continuation added to its prefix."""
    return [steps[node.node_id] for node in leaf.lineage[prefix.depth :]]
