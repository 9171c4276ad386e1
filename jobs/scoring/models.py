"""The models of a run before anything is loaded: where they lie, whether they fit, what a manifest says of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from actors.engines.adapter import adapter_files_of, num_multiplied_parameters
from actors.engines.model_files import TOKENIZER_FILE, identity_files, sha256_of, weight_files
from actors.engines.prm.trained_for import generator_warnings, read_trained_for, sampling_warnings
from actors.engines.settings import EngineSettings
from actors.replicas.preflight import check_generator, check_logit_bias, check_prm
from cluster.hub import is_hub_name, pinned_hub_name
from cluster.staging import stage_folder, stage_outline
from jobs.recipes.builtin_models import provide
from jobs.recipes.engines import SCRIPTED
from jobs.recipes.sections import MODELS, Recipe
from jobs.recipes.settings import prm_settings, sampling
from jobs.scoring.scripted import informed_generator_settings, scripted_identity
from jobs.scoring.staged_replica import folders_of
from records.failure import InvalidInput
from records.run_folder.manifest import ModelIdentity

_SettingsT = TypeVar("_SettingsT", bound=EngineSettings)

MAX_HASHED_BYTES = 4 * 2**30
"""Weights above this (a few seconds of reading) are hashed by the replicas that load them, not by every command."""


def check_models(recipe: Recipe) -> dict[str, ModelIdentity]:
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


def pinned(recipe: Recipe) -> Recipe:
    """The recipe with the commits of models that are named as on a hub."""
    for key in MODELS:
        role, _, name = key.partition(".")
        section = getattr(recipe, role)
        model = getattr(section, name, None)
        if model is not None and section.kind != SCRIPTED and is_hub_name(model):
            pinned = section.model_copy(update={name: _pinned_name(key, model)})
            recipe = recipe.model_copy(update={role: pinned})
    return recipe


def _pinned_name(key: str, model: str) -> str:
    try:
        return pinned_hub_name(model)
    except InvalidInput as error:
        raise InvalidInput(f"{key}: {error}") from error


def code_warnings(recipe: Recipe) -> tuple[str, ...]:
    """What the user should be told of code that models bring along, a sentence each."""
    return tuple(
        f"{role}.trust_remote_code: Python code in {section.model} runs with your rights on every replica"
        for role, section in (("generator", recipe.generator), ("prm", recipe.prm))
        if section is not None and section.trust_remote_code
    )


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
    folders = {"model": str(model)} | {
        name: str(stage_folder(folder)) for name, folder in folders_of(settings).items() if name != "model"
    }
    local: _SettingsT = replace(settings, **folders)  # type: ignore[arg-type]
    try:
        check(local)
    except InvalidInput as error:
        raise InvalidInput(_by_address(str(error), folders, settings)) from error
    tokenizer_sha256 = sha256_of([model / TOKENIZER_FILE])
    model_sha256 = sha256_of([*identity_files(model), *adapter_files_of(local)]) if small else None
    return ModelIdentity(settings.model, model_sha256, tokenizer_sha256, num_multiplied_parameters(local))


def _by_address(text: str, local: Mapping[str, str], settings: EngineSettings) -> str:
    """A text about folders here, with what the user calls them."""
    for name, address in folders_of(settings).items():
        text = text.replace(local[name], address)
    return text


def _local(model: str) -> tuple[Path, bool]:
    """Where a model's files are to be read, and whether the weights are few enough to be read as a whole."""
    outline = stage_outline(model)
    small = sum(file.stat().st_size for file in weight_files(outline)) <= MAX_HASHED_BYTES
    return (stage_folder(model) if small else outline), small
