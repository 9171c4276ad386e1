"""Keys that had another name: the old one works wherever a key may stand, says so, and runs begun with it go on."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from actors.writer.run_state import agree_on_manifest
from cluster.store import open_store
from jobs import replay
from jobs.cli import main
from jobs.command_line.replay import ReplayOptions
from jobs.comparison.runs import alone
from jobs.comparison.settings import comparison_settings
from jobs.recipes import renamed
from jobs.recipes.load import load_recipe
from jobs.recipes.recorded import recorded_recipe
from jobs.recipes.renamed import under_first_names
from jobs.recipes.resume import as_json, decides_results, operational_keys
from jobs.recipes.strategies.registry import STRATEGIES
from records.failure import InvalidInput, RunMismatch
from records.jsonio import encode, flat
from records.run_folder import layout
from records.run_folder.manifest import ADDED_SETTINGS, RENAMED_SETTINGS, Manifest
from records.run_folder.reader import read_run
from tests.records import builders
from tests.support.stored_runs import stored_run

RECIPE = Path(__file__).parents[3] / "examples/arithmetic/best-of-16.toml"
BEAM = "strategy.name=adaptive-beam-search"
NOTE = "parsimony: strategy.adapt_first is now strategy.adapt_root\n"
PLAYED = ["problem_id", "answer", "num_samples", "generated_tokens"]
SEARCH = "strategy={name='adaptive-best-of-n', num_samples=8, min_upper_quantile=0.1}"


@pytest.fixture(autouse=True)
def _nothing_said_yet() -> None:
    renamed._say_once.cache_clear()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A recipe with the old key."""
    path = tmp_path / "old.toml"
    path.write_text(
        '[generator]\nmodel = "g"\n[prm]\nmodel = "p"\n[strategy]\nname = "adaptive-beam-search"\nadapt_first = true\n'
    )
    return path


def as_before(manifest: Manifest) -> Manifest:
    """The manifest as the version with the old keys wrote it, which lacked some of today's."""
    recipe = json.loads(json.dumps(manifest.recipe))
    old = {new.rpartition(".")[2]: first.rpartition(".")[2] for first, new in RENAMED_SETTINGS.items()}
    recipe["strategy"] = {old.get(key, key): value for key, value in recipe["strategy"].items()}
    for key, value in ADDED_SETTINGS.items():
        section, _, name = key.partition(".")
        assert recipe[section].pop(name) == value, "whoever resumes an older run has what it had"
    return replace(manifest, recipe=recipe)


def test_new_names_are_options_and_old_ones_are_none() -> None:
    options = {f"strategy.{key}" for row in STRATEGIES.values() for key in row.options.model_fields}
    assert set(RENAMED_SETTINGS.values()) <= options
    assert not set(RENAMED_SETTINGS) & options


def test_an_old_key_in_a_file_is_read_as_the_new_one_and_said_once(written, capsys) -> None:
    for _ in range(2):
        recipe = load_recipe(written)
        assert recipe.strategy.arguments["adapt_root"] is True
        assert "adapt_first" not in as_json(recipe)["strategy"]
    assert capsys.readouterr().err == NOTE


@pytest.mark.parametrize(
    "overrides",
    [
        (BEAM, "strategy.adapt_first=true"),
        ("strategy.adapt_first=true", BEAM),
        ("strategy={name='adaptive-beam-search', adapt_first=true}",),
    ],
)
def test_an_old_key_of_an_override_is_read_as_the_new_one(overrides, capsys) -> None:
    strategy = load_recipe(RECIPE, overrides).strategy
    assert (strategy.name, strategy.arguments["adapt_root"]) == ("adaptive-beam-search", True)
    assert capsys.readouterr().err == NOTE


def test_an_override_by_either_name_has_the_last_word_over_the_file(written) -> None:
    assert load_recipe(written, ["strategy.adapt_root=false"]).strategy.arguments["adapt_root"] is False
    assert load_recipe(written, ["strategy.adapt_first="]).strategy.arguments["adapt_root"] is False


def test_both_names_at_once_are_refused(written) -> None:
    written.write_text(f"{written.read_text()}adapt_root = true\n")
    with pytest.raises(InvalidInput, match=r"old\.toml: strategy\.adapt_first is the old name of strategy\.adapt_root"):
        load_recipe(written)
    with pytest.raises(InvalidInput, match=r"--set: strategy\.adapt_first is the old name"):
        load_recipe(RECIPE, [BEAM, "strategy.adapt_root=true", "strategy.adapt_first=true"])


def test_a_mistake_under_the_old_name_is_said_of_the_new_one() -> None:
    with pytest.raises(InvalidInput, match=r"--set strategy\.adapt_root = 3: must be a valid boolean"):
        load_recipe(RECIPE, [BEAM, "strategy.adapt_first=3"])


def test_a_plugin_may_have_an_option_of_that_name(capsys) -> None:
    recipe = load_recipe(RECIPE, ["strategy.name=my.module:search", "strategy.options.adapt_first=3"])
    assert recipe.strategy.arguments == {"adapt_first": 3}
    assert capsys.readouterr().err == ""


def test_a_comparison_takes_both_names_and_finds_the_runs_of_before() -> None:
    entries = ["adaptive-beam-search:adapt_first=true", "adaptive-beam-search:adapt_root=true", "adaptive-beam-search"]
    old, new, other = comparison_settings([RECIPE], entries, [])
    assert old.recipe == new.recipe != other.recipe
    assert alone(old).name == alone(new).name != alone(other).name
    named = under_first_names(decides_results(new.recipe))
    assert (named["strategy"]["adapt_first"], "adapt_root" in named["strategy"]) == (True, False)


def test_a_run_that_was_begun_with_the_old_key_goes_on(tmp_path, capsys) -> None:
    def manifest(value: float) -> Manifest:
        overrides = ["strategy.name=adaptive-best-of-n", f"strategy.min_upper_quantile={value}"]
        return builders.manifest(recipe=as_json(load_recipe(RECIPE, overrides)))

    store = open_store(str(tmp_path / "run"))
    before = as_before(manifest(0.2))
    assert "strategy.hopeless_below" in flat(before.recipe)
    assert store.create(layout.MANIFEST, encode(before))
    assert agree_on_manifest(store, manifest(0.2), operational_keys()) == ()
    with pytest.raises(RunMismatch, match=r"recipe\.strategy\.min_upper_quantile: was 0\.2, is 0\.3"):
        agree_on_manifest(store, manifest(0.3), operational_keys())
    assert recorded_recipe(before) == recorded_recipe(manifest(0.2))
    assert capsys.readouterr().err == ""


def test_a_run_of_before_is_replayed_swept_and_reported(tmp_path, capsys) -> None:
    run = stored_run(tmp_path / "run", SEARCH, num_problems=6)
    (tmp_path / "run" / layout.MANIFEST).write_bytes(encode(as_before(run.manifest)))
    assert "strategy.hopeless_below" in flat(read_run(run.uri).manifest.recipe)
    rows = {}
    for key in ("min_upper_quantile", "hopeless_below"):
        output = tmp_path / key
        sweeps = (f"strategy.{key}=0.0,0.1,0.9",)
        assert replay.run(ReplayOptions(run=run.uri, output=str(output), overrides=(), sweeps=sweeps)) == 0
        rows[key] = pq.read_table(output / "replay.parquet").select(PLAYED).to_pylist()
    assert rows["min_upper_quantile"] == rows["hopeless_below"]
    assert capsys.readouterr().err.count("is now") == 1
    assert main(["report", run.uri, "--output", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "this version cannot read the run" not in page
    assert main(["status", run.uri]) == 0
