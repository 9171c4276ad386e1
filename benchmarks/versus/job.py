"""What one method is compared on: its recipe, its problems, and the settings that every side reads from the recipe."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from actors.engines.model_files import TOKENIZER_FILE
from actors.engines.settings import GeneratorSettings, PrmSettings
from actors.engines.text import TextTokenizer, read_tokenizer
from benchmarks.versus.watch import Watch
from examples.arithmetic.common import Problem, is_right
from jobs.command_line.score import ScoreOptions
from jobs.recipes.sections import Recipe
from jobs.recipes.settings import generator_settings, prm_settings
from jobs.scoring.plan import Plan, make_plan
from records.failure import InvalidInput

EXAMPLE = Path(__file__).parents[2] / "examples" / "arithmetic"
HERE = Path(__file__).parent
RECIPES = {
    "self-consistency": EXAMPLE / "majority.toml",
    "best-of-n": EXAMPLE / "best-of-16.toml",
    "beam-search": EXAMPLE / "beam-16.toml",
    "particle-filtering": HERE / "particle-16.toml",
}
"""Method -> recipe: all with 16 samples at temperature 0.7."""
WARM_UP_PROBLEMS = 8


@dataclass(frozen=True)
class Job:
    """One method on one list of problems.

    Attributes:
        problems_file: the same problems, for `score`.
        folder: for runs and logs.
        overrides: of the recipe, for all sides.
        watch: of the processes of both sides.
    """

    method: str
    problems: Sequence[Problem]
    problems_file: Path
    folder: Path
    overrides: tuple[str, ...] = ()
    watch: Watch = field(default_factory=Watch)

    def plan(self, name: str, seed: int, num_problems: int | None = None) -> Plan:
        """A run of ours."""
        return make_plan(
            ScoreOptions(
                problems=str(self.problems_file),
                recipe=RECIPES[self.method],
                output=str(self.folder / name),
                overrides=(*self.overrides, f"seed={seed}"),
                limit=num_problems or len(self.problems),
            )
        )

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe with its overrides."""
        return self.plan("none", 0).recipe

    @cached_property
    def generator(self) -> GeneratorSettings:
        """How the generator is built, on every side."""
        settings = generator_settings(self.recipe)
        if settings.chat:
            raise InvalidInput("the peers are given the text of a plain prompt: set generator.chat to false")
        return settings

    @cached_property
    def prm(self) -> PrmSettings | None:
        """How the PRM is built, on every side; None where the strategy asks for no scores."""
        return prm_settings(self.recipe) if self.recipe.strategy.needs_prm else None

    @cached_property
    def tokenizer(self) -> TextTokenizer:
        """The generator's."""
        return read_tokenizer(Path(self.generator.model) / TOKENIZER_FILE)

    def prompt_ids(self, question: str) -> tuple[int, ...]:
        """What our generator is given for a question."""
        return self.tokenizer.encode(self.generator.prompt_template.replace("{question}", question))

    @property
    def warm_up_problems(self) -> Sequence[Problem]:
        """Those of a pass that nobody times."""
        return self.problems[:WARM_UP_PROBLEMS]

    def accuracy(self, solutions: Sequence[str | None]) -> float:
        """Share of the first problems whose solution's boxed answer is right; None is wrong."""
        asked = self.problems[: len(solutions)]
        right = [
            text is not None and is_right(text, problem.answer) for problem, text in zip(asked, solutions, strict=True)
        ]
        return sum(right) / len(right)
