"""`_training/manifest.json`: what a calibration was begun with. What decides the model may not differ later.

It is created once and never changes, like a run's manifest; package versions and the git revision are recorded only.
"""

import json
from dataclasses import dataclass

from records.failure import RunMismatch, StoreFailed
from records.jsonio import decode, encode, flat
from records.run_folder.manifest import ModelIdentity
from records.run_folder.store import Store

MANIFEST = "manifest.json"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationManifest:
    """What a calibration was begun with.

    Attributes:
        format_version: of this file, the checkpoints and the splits.
        created_at: UTC, ISO 8601.
        settings: that decide something, of the recipe's [calibration] and [prm].
        data: fingerprints and sizes of the rollouts and of each evaluation set.
        prm: the model that is calibrated.
        versions: package -> version.
        git_revision: of this code; None outside a checkout.
    """

    format_version: int
    created_at: str
    settings: dict[str, object]
    data: dict[str, object]
    prm: ModelIdentity
    versions: dict[str, str]
    git_revision: str | None


def agree_on(store: Store, manifest: CalibrationManifest) -> None:
    """Write the manifest if there is none, and compare with the one that is there.

    Raises:
        RunMismatch: the output was begun with something else; a line for each difference.
    """
    if store.create(MANIFEST, encode(manifest)):
        return
    older = read_manifest(store)
    if older is None:
        raise StoreFailed(f"{store.uri}/{MANIFEST} exists and cannot be read")
    lines = _differences(older, manifest)
    if lines:
        raise RunMismatch(
            f"{store.uri} belongs to a calibration that was begun otherwise:\n"
            + "\n".join(lines)
            + "\nGo on with what it was begun with, or choose another --output."
        )


def read_manifest(store: Store) -> CalibrationManifest | None:
    """The manifest; None where there is none."""
    data = store.read(MANIFEST)
    return None if data is None else decode(CalibrationManifest, data, MANIFEST)


def _differences(older: CalibrationManifest, newer: CalibrationManifest) -> list[str]:
    before, after = _deciding(older), _deciding(newer)
    texts = {
        key: tuple(json.dumps(side[key], sort_keys=True) if key in side else "not set" for side in (before, after))
        for key in sorted(before.keys() | after.keys())
    }
    return [f"{key}: was {was}, is {now}" for key, (was, now) in texts.items() if was != now]


def _deciding(manifest: CalibrationManifest) -> dict[str, object]:
    prm = manifest.prm
    model = {"sha256": prm.model_sha256} if prm.model_sha256 else {"model": prm.model}
    return flat(
        {
            "format_version": manifest.format_version,
            **manifest.settings,
            "data": manifest.data,
            "prm": {**model, "tokenizer_sha256": prm.tokenizer_sha256},
        }
    )
