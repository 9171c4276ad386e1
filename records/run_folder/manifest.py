"""`_manifest.json`: what a run was begun with.

It is created once, before anything is spent, and never changes; so it holds what is known offline. A model's hashes are
those of its files as the caller reads them, None where it cannot (a name that only the replicas can resolve). Once the
replicas have said hello, `replica_differences` compares what they loaded with what stands here.

What decides results may not differ on resume: recipe (without caps, replica counts and flush settings), models, seed,
input, schema. Package versions and the git revision are recorded and shown when they drift, and refuse nothing:
sampling does not repeat bit by bit anyway, and a fixed bug must not orphan a long run.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from records.jsonio import flat
from records.replica import ReplicaInfo

FREE_SETTINGS = (
    "budget.", "cluster.", "cost.", "output.", "generator.num_replicas", "prm.num_replicas", "problems.preset",
    "problems.problem_id", "problems.question", "problems.reference",
)  # fmt: skip
"""Recipe keys that may change between the epochs of one run; a whole section ends in a dot. What the columns of the
problems hold is in the fingerprint, whatever they are called."""
RENAMED_SETTINGS = {
    "strategy.adapt_first": "strategy.adapt_root",
    "strategy.hopeless_below": "strategy.min_upper_quantile",
}
"""Recipe keys that had another name once -> the present one. A manifest may have either, a recipe as it is read too."""
ADDED_SETTINGS: dict[str, object] = {"generator.seeded": True, "generator.logprobs": True}
"""Recipe keys that manifests of older versions lack -> how it was then."""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """A model or adapter: path or name as in the recipe, and what `ReplicaInfo` says of it (None: unknown)."""

    model: str
    model_sha256: str | None
    tokenizer_sha256: str | None
    num_parameters: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a run was begun with.

    Attributes:
        schema_version: of the tables.
        created_at: UTC, ISO 8601.
        recipe: resolved, as JSON: every setting with its value.
        versions: package -> version.
        git_revision: of this code; None outside a checkout.
        models: role ("generator", "prm", ...) -> identity.
        seed: of the run.
        input_fingerprint: of all problems in order (`jobs.problems.problem_set`).
        num_problems: of the input.
        warnings: what the user was told before anything was loaded, a sentence each. A resume may differ in it.
    """

    schema_version: int
    created_at: str
    recipe: dict[str, object]
    versions: dict[str, str]
    git_revision: str | None
    models: dict[str, ModelIdentity]
    seed: int
    input_fingerprint: str
    num_problems: int
    warnings: tuple[str, ...] = ()


def differences(old: Manifest, new: Manifest, free: tuple[str, ...] = FREE_SETTINGS) -> list[str]:
    """One line for each thing that decides results and differs; empty if `new` may go on where `old` began.

    Args:
        old: as the run was begun.
        new: as it would go on.
        free: recipe keys that may change; one that ends in a dot means the whole section.
    """
    changes = _changes(_deciding(old), _deciding(new))
    lines = [line for key, line in changes if not _is_free(key.removeprefix("recipe."), free)]
    for role in sorted(old.models.keys() | new.models.keys()):
        lines += _model_changes(role, old.models.get(role), new.models.get(role))
    return lines


def drift(old: Manifest, new: Manifest) -> list[str]:
    """One line for each package version, and the git revision, that differ: worth showing, no reason to refuse."""
    before, after = ({"versions": m.versions, "git_revision": m.git_revision} for m in (old, new))
    return [line for _, line in _changes(flat(before), flat(after))]


def replica_differences(manifest: Manifest, info: ReplicaInfo) -> list[str]:
    """One line for each way in which the model that a replica loaded is not the manifest's."""
    found = ModelIdentity(info.model, info.model_sha256, info.tokenizer_sha256)
    return _model_changes(info.role, manifest.models.get(info.role), found)


def _deciding(manifest: Manifest) -> dict[str, object]:
    scalars: dict[str, object] = {
        "schema_version": manifest.schema_version,
        "seed": manifest.seed,
        "num_problems": manifest.num_problems,
        "input_fingerprint": manifest.input_fingerprint,
    }
    written = {RENAMED_SETTINGS.get(key, key): value for key, value in flat(manifest.recipe).items()}
    settings = ADDED_SETTINGS | written
    return scalars | {f"recipe.{key}": value for key, value in settings.items()}


def _is_free(key: str, free: tuple[str, ...]) -> bool:
    return any(f"{key}.".startswith(name) if name.endswith(".") else key == name for name in free)


def _model_changes(role: str, old: ModelIdentity | None, new: ModelIdentity | None) -> list[str]:
    """Differing hashes. Where one is unknown, the last part of the name stands for the weights."""
    if old is None or new is None:
        return [] if old == new else [f"models.{role}: was {_name(old)}, is {_name(new)}"]
    hashes = {
        f"models.{role}.model_sha256": (old.model_sha256, new.model_sha256),
        f"models.{role}.tokenizer_sha256": (old.tokenizer_sha256, new.tokenizer_sha256),
    }
    lines = [f"{key}: was {was}, is {now}" for key, (was, now) in hashes.items() if was and now and was != now]
    if not (old.model_sha256 and new.model_sha256) and _name(old) != _name(new):
        lines.append(f"models.{role}.model: was {old.model}, is {new.model}")
    return lines


def _name(model: ModelIdentity | None) -> str:
    return PurePath(model.model).name if model else "not set"


def _changes(old: Mapping[str, object], new: Mapping[str, object]) -> list[tuple[str, str]]:
    """(key, line) of all that differs."""
    changes = []
    for key in sorted(old.keys() | new.keys()):
        before, after = (json.dumps(side[key], sort_keys=True) if key in side else "not set" for side in (old, new))
        if before != after:
            changes.append((key, f"{key}: was {before}, is {after}"))
    return changes
