"""Runs in folders, made in milliseconds: the toy world's rows, written by the real writer.

stored_run(folder, "strategy={name='best-of-n', num_samples=64}", num_problems=20, total_tokens=None)
"""

import random
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from actors.writer.lease import this_process
from actors.writer.writer import Writer
from cluster.store import open_store
from jobs.recipes.load import load_recipe
from jobs.recipes.resume import as_json
from jobs.recipes.settings import abstention, answer_policy
from jobs.recipes.strategy_factory import strategy_factory
from records.packing import packed_rows
from records.problem import Problem
from records.rows import ProblemRecord
from records.run_folder.manifest import ModelIdentity
from records.run_folder.reader import Run, read_run
from scaling.answers.canonical import exact_equal
from scaling.search.accounting import Models, problem_record
from tests.records import builders
from tests.support.clocks import ClockedWorld
from tests.support.world import NOTHING, World, scheduler_for

RECIPE = Path(__file__).parents[2] / "examples/arithmetic/best-of-16.toml"
MODELS = Models(10, 20, None)
SMALL = ("generator.max_tokens=60", "generator.max_step_tokens=6", "grader.kind=exact")
BATCH = 5


def stored_run(
    uri: Path | str,
    *overrides: str,
    num_problems: int = 10,
    total_tokens: int | None = None,
    num_owed: int = 0,
    has_keys: bool = True,
) -> Run:
    """A run at `uri`, finished unless rows are owed; under a cap with replicas of different speeds, which cuts some."""
    budget = () if total_tokens is None else (f"budget.total_tokens={total_tokens}",)
    recipe = load_recipe(RECIPE, (*SMALL, *overrides, *budget))
    scheduler = scheduler_for(
        strategy_factory(recipe), total_tokens=total_tokens, run_seed=recipe.seed, policy=answer_policy(recipe)
    )
    problems = [
        Problem(f"p{index:02d}", f"question {index}", str(index % 4) if has_keys else None)
        for index in range(num_problems)
    ]
    world = World(scheduler, random.Random(0)) if total_tokens is None else ClockedWorld(scheduler, random.Random(0))
    world.window = num_problems if recipe.strategy.allocates else None
    world.run(problems, slots=64)
    records = [_graded(one, abstention=abstention(recipe)) for one in world.concluded]
    models = {
        "generator": ModelIdentity("g", "aa", "bb", MODELS.num_generator_parameters),
        "prm": ModelIdentity("p", "cc", "bb", MODELS.num_prm_parameters),
    }
    manifest = builders.manifest(
        recipe=as_json(recipe), seed=recipe.seed, models=models, num_problems=num_problems + num_owed
    )
    with TemporaryDirectory() as spool:
        writer = Writer(open_store(str(uri)), Path(spool))
        writer.open(manifest, this_process())
        for batch, begin in enumerate(range(0, num_problems, BATCH)):
            writer.append(batch, *packed_rows(records[begin : begin + BATCH]))
            writer.flush()
        if not num_owed:
            writer.finish([problem.problem_id for problem in problems], world.most_spent_tokens)
    return read_run(uri)


def _graded(concluded, *, abstention) -> ProblemRecord:
    search = concluded.search
    record = problem_record(
        search, correct=None, models=MODELS, strategy="s", wall_seconds=1.0, share=NOTHING, abstention=abstention
    )
    answer, reference = record.problem.answer, search.problem.reference
    correct = None if reference is None else answer is not None and exact_equal(answer, reference)
    return replace(record, problem=replace(record.problem, correct=correct))
