"""The way back from a manifest to a recipe: the same recipe, or with settings changed, and mistakes named."""

import json
from pathlib import Path

import pytest

from jobs.recipes.load import load_recipe
from jobs.recipes.recorded import recorded_recipe
from jobs.recipes.resume import as_json
from jobs.recipes.section import PLUGIN
from jobs.recipes.strategies.registry import STRATEGIES
from records.failure import InvalidInput
from records.jsonio import decode, encode
from records.run_folder.manifest import Manifest
from tests.records import builders

EXAMPLE = Path(__file__).parents[3] / "examples/arithmetic"
SHIPPED = sorted(EXAMPLE.glob("*.toml"))


def manifest_of(path: Path, *overrides: str) -> Manifest:
    """Of a run of that recipe, as it reads back from its file."""
    manifest = builders.manifest(recipe=as_json(load_recipe(path, overrides)))
    return decode(Manifest, encode(manifest), "_manifest.json")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_recipe_comes_back(path):
    assert recorded_recipe(manifest_of(path)) == load_recipe(path)


@pytest.mark.parametrize("name", [*sorted(STRATEGIES.keys() - {PLUGIN}), "my.package:search"])
def test_every_strategy_comes_back(name):
    override = f"strategy={{name='{name}'}}"
    recipe = load_recipe(EXAMPLE / "best-of-16.toml", [override])
    assert recorded_recipe(manifest_of(EXAMPLE / "best-of-16.toml", override)) == recipe


def test_settings_change():
    manifest = manifest_of(EXAMPLE / "beam-16.toml")
    changed = recorded_recipe(manifest, ["strategy.beam_width=2", "grader.kind=exact", "answer.abstain_below=0.5"])
    assert (changed.strategy.beam_width, changed.grader.kind, changed.answer.abstain_below) == (2, "exact", 0.5)
    assert recorded_recipe(manifest, ["budget.total_tokens="]) == recorded_recipe(manifest)


def test_another_strategy_begins_with_its_own_defaults():
    """Its choice of the answer is its own, although the manifest spells out that of the run's strategy."""
    many = "strategy.num_samples=64"
    changed = recorded_recipe(manifest_of(EXAMPLE / "best-of-16.toml", many), ["strategy.name=sequential"])
    assert changed == load_recipe(EXAMPLE / "best-of-16.toml", [many, "strategy.name=sequential"])
    assert changed.strategy.selection is None
    beam = manifest_of(EXAMPLE / "beam-16.toml")
    adaptive = recorded_recipe(beam, ["strategy.name=adaptive-beam-search"]).strategy
    assert (adaptive.num_samples, adaptive.beam_width, adaptive.max_steps, adaptive.frequency) == (16, 4, 16, 1)
    kept = manifest_of(EXAMPLE / "best-of-16.toml", "strategy.aggregation=min")
    assert recorded_recipe(kept, ["strategy.name=sequential"]).strategy.aggregation == "min"


def test_mistakes_are_named():
    manifest = manifest_of(EXAMPLE / "best-of-16.toml")
    with pytest.raises(InvalidInput, match=r"--set strategy.confidense is not a known key"):
        recorded_recipe(manifest, ["strategy.name=adaptive-best-of-n", "strategy.confidense=0.9"])
    with pytest.raises(InvalidInput, match="must be section"):
        recorded_recipe(manifest, ["confidence"])
    other = builders.manifest(recipe={**json.loads(json.dumps(manifest.recipe)), "colour": {"shade": 3}})
    with pytest.raises(InvalidInput, match=r"_manifest\.json: colour"):
        recorded_recipe(other)
