"""The runs behind an estimate: the PRM's view of every question, and a pilot of each strategy.

    questions/      a run of `question-score` over all problems: prefill only; there if the recipe has a PRM
    runs/NAME/      the strategy's real run, begun with the pilot's problems; `parsimony score` goes on with it

Each run has engines of its own, so that none finds another's prefixes in a cache and costs less than it will alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from actors.writer.run_state import agree_on_manifest
from jobs.command_line.estimate import EstimateOptions
from jobs.command_line.score import ScoreOptions
from jobs.comparison.runs import alone
from jobs.comparison.settings import Setting, comparison_settings
from jobs.recipes.load import load_recipe
from jobs.recipes.resume import operational_keys
from jobs.recipes.sections import NO_ABSTAINING, NO_CAPS, Recipe
from jobs.recipes.strategy_factory import strategy_factory
from jobs.score import carry_out
from jobs.scoring.plan import Plan, make_plan
from records.failure import InvalidInput, StrategyFailed
from records.path import Path, PrmScore
from records.problem import Problem
from records.request import Expand, Reply, ReplyKind, Score
from records.run_folder import layout
from records.run_folder.reader import read_run
from scaling.estimation.prediction import Population, stratified
from scaling.strategy import StrategyFactory


@dataclass(frozen=True, slots=True)
class Pilot:
    """One strategy.

    Attributes:
        setting: the strategy with its recipe.
        plan: of the run, over all problems.
    """

    setting: Setting
    plan: Plan


def plan_pilots(options: EstimateOptions) -> tuple[Plan | None, list[Pilot]]:
    """Check everything about all runs that can be checked without a model; the run of question scores, and the pilots.

    Raises:
        InvalidInput: file, line or field, and what to do.
    """
    strategies = options.strategies or (load_recipe(options.recipe, options.overrides).strategy.name,)
    settings = comparison_settings((options.recipe,), strategies, (*options.overrides, *NO_CAPS))
    pilots = [Pilot(setting, _plan(options, f"runs/{alone(setting).name}", setting.overrides)) for setting in settings]
    if settings[0].recipe.prm is None:
        return None, pilots
    asked = (*options.overrides, *NO_CAPS, "strategy={name='question-score'}", *NO_ABSTAINING)
    return _plan(options, "questions", (*asked, "problems.reference=none")), pilots


def question_scores(plan: Plan | None, problems: Sequence[Problem]) -> list[PrmScore | None]:
    """How every question looks to the PRM, in the input's order; None where nobody can say.

    Raises:
        Failure: what ended the run early; the same command goes on with it.
    """
    if plan is None:
        return [None] * len(problems)
    carry_out(plan)
    table = read_run(plan.store.uri).problems().select(["problem_id", "p_lower", "p_median", "p_upper"])
    scores = {
        row["problem_id"]: PrmScore(row["p_lower"], row["p_median"], row["p_upper"])
        for row in table.to_pylist()
        if row["p_median"] is not None
    }
    return [scores.get(problem.problem_id) for problem in problems]


def carry_out_pilot(pilot: Pilot, chosen: frozenset[str]) -> None:
    """Run the chosen problems of a strategy's run, if some are not done yet. Raises as `score` does."""
    plan = pilot.plan
    if plan.store.read(layout.MANIFEST) is not None:
        agree_on_manifest(plan.store, plan.manifest, operational_keys())
        if chosen <= set(read_run(plan.store.uri).problems()["problem_id"].to_pylist()):
            return
    carry_out(plan if len(chosen) == plan.problems.num_problems else replace(plan, only=chosen))


def choose(problems: Sequence[Problem], scores: Sequence[PrmScore | None], num_wanted: int, seed: int) -> list[int]:
    """Positions of the pilot's problems, of every difficulty: by the PRM's view, or by length where there is none."""
    known = [score.median for score in scores if score is not None]
    middle = float(np.median(known)) if known else 0.0
    difficulty = [
        -(score.median if score is not None else middle) if known else float(len(problem.question))
        for problem, score in zip(problems, scores, strict=True)
    ]
    return stratified(difficulty, num_wanted, run_seed=seed)


def population(recipe: Recipe, problems: Sequence[Problem], scores: Sequence[PrmScore | None]) -> Population:
    """What is known of every problem before a strategy is run on it."""
    factory = strategy_factory(recipe)
    filled = _filled(scores)
    planned = np.asarray([planned_samples(factory, *one) for one in zip(problems, filled, strict=True)])
    lengths = np.asarray([len(problem.question) for problem in problems], dtype=np.float64)
    known = [score for score in filled if score is not None]
    if not known:
        return Population(lengths[:, np.newaxis], planned)
    medians = np.asarray([score.median for score in known])
    spreads = np.asarray([score.upper - score.lower for score in known])
    return Population(np.stack([medians, lengths, spreads], axis=1), planned)


def planned_samples(factory: StrategyFactory, problem: Problem, score: PrmScore | None) -> float:
    """Samples that a strategy asks for first, when it is told how the question looks; 1 where that cannot be told."""
    root = Path(0, None, problem.question)
    search = factory(root)
    try:
        request = next(search)
        if isinstance(request, Score):
            if score is None:
                return 1.0
            request = search.send(Reply(ReplyKind.FULL, tuple(replace(path, score=score) for path in request.paths)))
        search.close()
    except (StopIteration, StrategyFailed):  # it ends at once, or fails: its pilot will show it
        return 1.0
    return max(1.0, float(sum(count for _, count in request.parents))) if isinstance(request, Expand) else 1.0


def _filled(scores: Sequence[PrmScore | None]) -> list[PrmScore | None]:
    """A question without a score has the middle of the others, where there are others."""
    known = [score for score in scores if score is not None]
    if not known:
        return list(scores)
    middle = PrmScore(
        *(float(np.median([getattr(score, name) for score in known])) for name in ("lower", "median", "upper"))
    )
    return [score or middle for score in scores]


def _plan(options: EstimateOptions, name: str, overrides: Sequence[str]) -> Plan:
    plan = make_plan(
        ScoreOptions(
            problems=options.problems,
            recipe=options.recipe,
            output=f"{options.output.rstrip('/')}/{name}",
            overrides=tuple(overrides),
            limit=options.limit,
            take_over=options.take_over,
            single_writer=options.single_writer,
        )
    )
    if plan.recipe.strategy.allocates and plan.recipe.budget.total_tokens is None:
        raise InvalidInput(
            f"{plan.recipe.strategy.name} shares a cap out, and its cost is that cap: give it one, as "
            f"--strategies {plan.recipe.strategy.name}:budget.total_tokens=N"
        )
    return plan
