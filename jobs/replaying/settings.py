"""What `parsimony replay` tries: the run's own recipe with `--set`, once for every combination of `--sweep` values.

A key that decides what is sampled is refused: of other samples nothing is stored.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from jobs.command_line.replay import ReplayOptions
from jobs.recipes.builtin_models import folder_of
from jobs.recipes.load import parse_override
from jobs.recipes.recorded import recorded_recipe
from jobs.recipes.sections import Recipe
from jobs.recipes.trust import refuse_unnamed_code, refuse_unnamed_remote_code
from records.failure import InvalidInput
from records.run_folder.manifest import Manifest

AS_RECORDED = "as recorded"
"""Label of the one setting that changes nothing."""

SCORED_ANEW = "scored anew"
"""Label of the one that changes nothing but the PRM."""

_DECIDES = ("strategy", "answer", "grader")
_OF_THE_PRM = ("prm", "cluster")
_COMMA = re.compile(r",(?=(?:[^\"'\[\]{}]|\"[^\"]*\"|'[^']*'|\[[^\]]*\]|\{[^}]*\})*$)")
"""A comma between two values, not one inside quotes or brackets."""


@dataclass(frozen=True, slots=True)
class ReplaySetting:
    """One way to decide again.

    Attributes:
        label: unlike any other's.
        swept: key -> value, of every `--sweep`.
        recipe: resolved.
        keeps_cap: its budget is the run's, so what the run's cap cut may hold.
        shares_cap: it has a cap of its own, which its problems share as they would in a run.
    """

    label: str
    swept: Mapping[str, Any]
    recipe: Recipe
    keeps_cap: bool
    shares_cap: bool


def replay_settings(manifest: Manifest, options: ReplayOptions) -> list[ReplaySetting]:
    """All settings, in the order of the sweeps, the last one running fastest.

    Raises:
        InvalidInput: names the key, and what to do.
    """
    base = recorded_recipe(manifest)
    if not base.strategy.answers:
        raise InvalidInput(
            f"{options.run}: {base.strategy.name} is not run for its answers; there is nothing to decide"
        )
    sweeps = [_parsed_sweep(sweep) for sweep in options.sweeps]
    keys = [key for key, _ in sweeps]
    if len(set(keys)) < len(keys):
        raise InvalidInput(f"--sweep {next(key for key in keys if keys.count(key) > 1)}: is there twice")
    for flag, key in [
        *(("--set", parse_override(text)[0]) for text in options.overrides),
        *(("--sweep", k) for k in keys),
    ]:
        _check_key(flag, key, has_prm=options.prm is not None)
    own = [
        *options.overrides,
        *(["prm.kind=vllm", f"prm.model={_address(options.prm)}"] if options.prm is not None else []),
    ]
    settings = [
        _setting(manifest, base, own, dict(zip(keys, values, strict=True)), options)
        for values in product(*(values for _, values in sweeps))
    ]
    typed = [*options.overrides, *(f"{key}={value}" for key, values in sweeps for value in values)]
    # Answers are read as the run recorded them, or by what the user names; a PRM's family is of one that is loaded.
    code = {"strategy.name", "grader.kind", *(("prm.family",) if options.prm is not None else ())}
    for setting in settings:
        if options.prm is not None:
            refuse_unnamed_remote_code(setting.recipe, options.overrides, run=options.run)
        refuse_unnamed_code(setting.recipe, typed, run=options.run, flag="--set {key}={name}", keys=code)
    labels = [setting.label for setting in settings]
    if len(set(labels)) < len(labels):
        raise InvalidInput(f"--sweep: {next(label for label in labels if labels.count(label) > 1)} is there twice")
    return settings


def _setting(
    manifest: Manifest, base: Recipe, overrides: Sequence[str], swept: Mapping[str, str], options: ReplayOptions
) -> ReplaySetting:
    typed = [*overrides, *(f"{key}={value}" for key, value in swept.items())]
    recipe = recorded_recipe(manifest, typed, places=False)
    label = ", ".join(f"{_short(key, swept)}={value}" for key, value in swept.items())
    if not swept:
        label = ", ".join(options.overrides) or (AS_RECORDED if options.prm is None else SCORED_ANEW)
    if not recipe.strategy.answers:
        raise InvalidInput(f"{label}: {recipe.strategy.name} is not run for its answers")
    keeps_cap = recipe.budget == base.budget
    shares_cap = not keeps_cap and recipe.budget.total_tokens is not None
    whole = recipe.strategy.most_samples is not None
    if shares_cap and not (recipe.strategy.allocates and whole):
        raise InvalidInput(
            f"{label}: budget.total_tokens ends problems by chance of order, which a replay cannot know; only "
            "strategies that share a cap out by priority can be replayed under another one, and "
            f"{recipe.strategy.name} does not"
        )
    for key, value in recipe.budget.time_caps.items():
        if value != base.budget.time_caps.get(key):
            raise InvalidInput(f"{label}: {key}: a replay takes no time and holds no replicas, so this caps nothing")
    if options.num_orders > 1 and not whole:
        raise InvalidInput(
            f"--orders ({label}): only whole samples have orders, and {recipe.strategy.name} takes steps"
        )
    if (options.num_orders > 1 or shares_cap) and recipe.strategy.num_logprobs not in (0, base.strategy.num_logprobs):
        raise InvalidInput(f"{label}: {recipe.strategy.name} reads confidences, which the run did not ask for")
    parsed = {key: parse_override(f"{key}={value}")[1] for key, value in swept.items()}
    return ReplaySetting(label, parsed, recipe, keeps_cap, shares_cap)


def _parsed_sweep(sweep: str) -> tuple[str, list[str]]:
    key, equals, text = sweep.partition("=")
    values = [value.strip() for value in _COMMA.split(text)]
    if not equals or not all(values):
        raise InvalidInput(f"--sweep {sweep}: must be section.key=value,value,...")
    parse_override(f"{key}={values[0]}")  # names a key that is none
    return key.strip(), values


def _check_key(flag: str, key: str, *, has_prm: bool) -> None:
    section = key.partition(".")[0]
    if section in (*_DECIDES, "budget"):
        return
    if key == "prm.model":
        raise InvalidInput(f"{flag} prm.model: the stored scores are of the run's own PRM; --prm MODEL scores anew")
    if section in _OF_THE_PRM:
        if has_prm:
            return
        raise InvalidInput(f"{flag} {key}: no model is loaded by a replay without --prm")
    if section in ("generator", "seed"):
        raise InvalidInput(
            f"{flag} {key}: it decides what is sampled, and a replay samples nothing; score a new run for it"
        )
    raise InvalidInput(f"{flag} {key}: says nothing to a replay; keys of {', '.join(_DECIDES)} and budget do")


def _short(key: str, swept: Mapping[str, str]) -> str:
    """The key without its section, where no other one is called the same."""
    name = key.rpartition(".")[2]
    return name if sum(other.rpartition(".")[2] == name for other in swept) == 1 else key


def _address(model: str) -> str:
    """Of a PRM; a folder's is absolute."""
    if model.startswith("s3://"):
        return model
    folder = folder_of(model) or Path(model).expanduser()
    if not folder.is_dir():
        raise InvalidInput(f"--prm {model}: no such folder")
    return str(folder.resolve())
