"""What a strategy concluded from a problem's recorded replies: the path that it chose, and those that competed.

No column says so, and none has to: a strategy is a function of its replies, so it is fed those that it got. Each
request's hash is checked; where the code has changed since the run, the choice is unknown, never guessed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.recipes.recorded import recorded_recipe
from jobs.recipes.section import is_plugin
from jobs.recipes.sections import Recipe
from jobs.recipes.settings import recorded_policy
from jobs.recipes.strategy_factory import strategy_factory
from records.failure import InvalidInput, RunMismatch, StrategyFailed
from records.problem import Problem
from records.rows import OpenRecord, RequestRow, StepRow
from records.run_folder.manifest import Manifest
from scaling.answers.classes import AnswerPolicy
from scaling.search.problem_search import ProblemSearch
from scaling.strategy import Choice, StrategyFactory


@dataclass(frozen=True, slots=True)
class Replayer:
    """The strategy of a run, to be fed recorded replies.

    Attributes:
        recipe: of the run; None where this version cannot read it.
        strategy: begins a search; None where the run's cannot be had.
        why_not: a sentence; None where `strategy` is there.
        seed: of the run.
    """

    recipe: Recipe | None
    strategy: StrategyFactory | None
    why_not: str | None
    seed: int

    @classmethod
    def of(cls, manifest: Manifest) -> "Replayer":
        """The strategy that the manifest's recipe names.

        A strategy of the user's own (`module:function`) is not loaded: reading a run executes nothing that it names.
        """
        try:
            recipe = recorded_recipe(manifest)
        except InvalidInput as error:
            return cls(None, None, f"this version cannot read the run's recipe: {error}", manifest.seed)
        if is_plugin(recipe.strategy.name):
            why = f"{recipe.strategy.name} is code of its own, which a report does not run"
            return cls(recipe, None, why, manifest.seed)
        return cls(recipe, strategy_factory(recipe), None, manifest.seed)

    @property
    def policy(self) -> AnswerPolicy:
        """How the run's answers are read."""
        return AnswerPolicy() if self.recipe is None else recorded_policy(self.recipe)

    def choice(self, problem: Problem, steps: Sequence[StepRow], requests: Sequence[RequestRow]) -> Choice | None:
        """What the strategy concludes; None where it is not at its end, or asks otherwise than the rows say.

        Args:
            problem: whose rows they are.
            steps: by node.
            requests: by number, none of them failed.
        """
        if self.strategy is None or not requests:
            return None
        search = ProblemSearch(problem, self.strategy, run_seed=self.seed, policy=self.policy)
        record = OpenRecord(problem_id=problem.problem_id, steps=tuple(steps), requests=tuple(requests))
        try:
            search.restore(record)
        except (RunMismatch, StrategyFailed):
            return None
        return search.choice
