import json
from typing import Any

import pytest

from records.failure import StoreFailed
from records.jsonio import decode, encode
from records.replica import ReplicaInfo
from records.run_folder.manifest import Manifest, ModelIdentity, differences, drift, replica_differences
from records.schemas import SCHEMA_VERSION
from tests.records.builders import manifest


def recipe(**changes: Any) -> dict[str, Any]:
    sections: dict[str, Any] = {
        "strategy": {"name": "best_of_n", "limits": {"max_tokens": 10}},
        "budget": {"total_tokens": 1000},
        "generator": {"model": "g", "num_replicas": 1},
        "prm": None,
    }
    return sections | changes


def test_it_survives_the_trip_through_json() -> None:
    written = manifest(recipe=recipe(), git_revision="abc")
    assert decode(Manifest, encode(written), "_manifest.json") == written


def test_a_broken_one_is_refused() -> None:
    data = json.loads(encode(manifest()))
    data["models"]["generator"]["model"] = 3
    with pytest.raises(StoreFailed, match=r"_manifest\.json .*models\.generator\.model must be str, not 3"):
        decode(Manifest, json.dumps(data).encode(), "_manifest.json")


def test_the_same_twice_differs_in_nothing() -> None:
    assert differences(manifest(), manifest(created_at="2027-01-01T00:00:00+00:00")) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"budget": {"total_tokens": 2000}},
        {"budget": None},
        {"cluster": {"num_nodes": 3, "prices": {"gpu": 2.5}}},
        {"generator": {"model": "g", "num_replicas": 8}},
    ],
)
def test_caps_and_counts_may_change(changes: dict[str, Any]) -> None:
    assert differences(manifest(recipe=recipe()), manifest(recipe=recipe(**changes))) == []


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"seed": 8}, "seed: was 7, is 8"),
        ({"num_problems": 5}, "num_problems: was 6, is 5"),
        ({"input_fingerprint": "00"}, 'input_fingerprint: was "ff", is "00"'),
        ({"schema_version": SCHEMA_VERSION + 1}, f"schema_version: was {SCHEMA_VERSION}, is {SCHEMA_VERSION + 1}"),
        ({"recipe": recipe(prm={"model": "p"})}, 'recipe.prm.model: was not set, is "p"'),
        (
            {"recipe": recipe(strategy={"name": "best_of_n", "limits": {"max_tokens": 11}})},
            "recipe.strategy.limits.max_tokens: was 10, is 11",
        ),
        (
            {"recipe": recipe(budgets={"total": 1})},
            "recipe.budgets.total: was not set, is 1",
        ),
        (
            {"models": {"generator": ModelIdentity("g", "cc", "bb")}},
            "models.generator.model_sha256: was aa, is cc",
        ),
        ({"models": {}}, "models.generator: was g, is not set"),
    ],
)
def test_what_decides_results_may_not_change(changes: dict[str, Any], line: str) -> None:
    assert line in differences(manifest(recipe=recipe()), manifest(**({"recipe": recipe()} | changes)))


def test_the_caller_says_which_settings_are_free() -> None:
    old = manifest(recipe=recipe())
    new = manifest(recipe=recipe(generator={"model": "h", "num_replicas": 2}))
    assert differences(old, new, free=("generator.model", "generator.num_replicas")) == []
    assert differences(old, new, free=("generator.",)) == []
    assert len(differences(old, new, free=("generator.mod",))) == 2


def test_known_hashes_decide_and_names_stand_in_for_unknown_ones() -> None:
    def between(old: ModelIdentity, new: ModelIdentity) -> list[str]:
        return differences(manifest(models={"prm": old}), manifest(models={"prm": new}))

    assert between(ModelIdentity("/a/m", "aa", "bb"), ModelIdentity("/b/other", "aa", "bb")) == []
    assert between(ModelIdentity("/a/m", None, "bb"), ModelIdentity("/b/m", "aa", None)) == []
    assert between(ModelIdentity("/a/m", None, "bb"), ModelIdentity("/b/n", "aa", "bb")) == [
        "models.prm.model: was /a/m, is /b/n"
    ]


def test_versions_drift_without_harm() -> None:
    old, new = manifest(git_revision="abc"), manifest(versions={"vllm": "0.33.0", "ray": "2.60"}, git_revision="def")
    assert differences(old, new) == []
    assert drift(old, new) == [
        'git_revision: was "abc", is "def"',
        'versions.ray: was not set, is "2.60"',
        'versions.vllm: was "0.32.0", is "0.33.0"',
    ]


def test_a_replica_must_have_loaded_what_the_manifest_names() -> None:
    def info(role: str, model_sha256: str | None) -> ReplicaInfo:
        return ReplicaInfo(
            incarnation="i", role=role, model="/cache/g", model_sha256=model_sha256, tokenizer_sha256="bb",
            num_parameters=1, max_model_len=1, max_concurrency=1, device="cpu",
        )  # fmt: skip

    assert replica_differences(manifest(), info("generator", "aa")) == []
    assert replica_differences(manifest(), info("generator", None)) == []
    assert replica_differences(manifest(), info("generator", "cc")) == ["models.generator.model_sha256: was aa, is cc"]
    assert replica_differences(manifest(), info("prm", "aa")) == ["models.prm: was not set, is g"]
