"""Recipes: what ships is valid, every field explains itself, and every mistake is named where it was made."""

from dataclasses import fields
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from actors.engines.settings import EngineSettings
from jobs.problems.columns import PRESETS
from jobs.recipes.engines import EngineSection
from jobs.recipes.load import load_recipe
from jobs.recipes.resume import TOLD_BY_CONTENT, as_json, decides_results, operational_keys
from jobs.recipes.section import Section
from jobs.recipes.sections import SECTIONS, Recipe
from jobs.recipes.settings import generator_settings, prm_settings, sampling, search_limits
from jobs.recipes.strategies.registry import STRATEGIES
from jobs.scoring.placement import replica_demands
from records.failure import InvalidInput
from records.jsonio import flat

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = sorted(path for folder in ("examples", "jobs") for path in (ROOT / folder).rglob("*.toml"))
ARITHMETIC = ROOT / "examples" / "arithmetic"

SMALL = """\
[generator]
model = "generator"

[strategy]
name = "sample"
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def mistake(path: Path, *overrides: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        load_recipe(path, overrides)
    return str(caught.value)


@pytest.mark.parametrize("path", SHIPPED, ids=[str(path.relative_to(ROOT)) for path in SHIPPED])
def test_shipped_recipes_are_valid(path: Path) -> None:
    recipe = load_recipe(path)
    assert Recipe.model_validate(as_json(recipe)) == recipe


def test_arithmetic_recipes_are_shipped() -> None:
    assert {path.stem for path in SHIPPED} >= {"sample", "majority", "best-of-16", "beam-16"}


def every_field() -> list[tuple[str, FieldInfo]]:
    options = {name: row.options for name, row in STRATEGIES.items()}
    models: dict[str, type[Section]] = {"recipe": Recipe, **SECTIONS, **options}
    return [
        (f"{section}.{name}", field) for section, model in models.items() for name, field in model.model_fields.items()
    ]


@pytest.mark.parametrize(("name", "field"), every_field())
def test_every_field_is_described(name: str, field: FieldInfo) -> None:
    assert field.description
    assert field.description.endswith(".")


def test_engine_settings_and_recipe_sections_have_the_same_fields() -> None:
    placement = {"num_replicas", "min_replicas", "node_resource", "node_labels", "placement", "gpu_fraction"}
    settings = {field.name for field in fields(EngineSettings)} - {"script"}  # of a section of its own
    assert set(EngineSection.model_fields) == settings | placement


def test_settings_carry_what_the_recipe_says() -> None:
    recipe = load_recipe(ARITHMETIC / "beam-16.toml")
    generator, prm = generator_settings(recipe), prm_settings(recipe)
    assert (generator.dtype, generator.max_model_len, generator.kv_cache_gib) == ("float32", 512, 0.5)
    assert prm is not None
    assert (prm.overlong, prm.block_size) == ("keep_tail", 32)
    assert (sampling(recipe).temperature, search_limits(recipe).max_step_tokens) == (0.7, 96)


def test_a_recipe_needs_no_prm_for_a_strategy_without_scores(small: Path) -> None:
    recipe = load_recipe(small)
    assert recipe.prm is None
    assert prm_settings(recipe) is None


@pytest.mark.parametrize(
    "override", ["strategy.name=best-of-n", "strategy.name=beam-search", 'strategy={name="majority", weight_by="last"}']
)
def test_a_strategy_with_scores_needs_a_prm(small: Path, override: str) -> None:
    assert "add a [prm] section" in mistake(small, override)


def test_model_paths_are_relative_to_the_recipe(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_recipe(small).generator.model == str(tmp_path / "generator")


def test_model_paths_of_overrides_are_relative_to_the_current_folder(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    recipe = load_recipe(small, ["generator.model=./mine", "prm.model=prm"])
    assert recipe.generator.model == str(tmp_path / "elsewhere" / "mine")
    assert recipe.prm is not None
    assert recipe.prm.model == str(tmp_path / "elsewhere" / "prm")


def test_names_on_the_hub_stay_as_they_are_unless_a_folder_is_there(small: Path, tmp_path: Path) -> None:
    small.write_text(SMALL.replace('"generator"', '"owner/model-7B"'))
    assert load_recipe(small).generator.model == "owner/model-7B"
    (tmp_path / "owner" / "model-7B").mkdir(parents=True)
    assert load_recipe(small).generator.model == str(tmp_path / "owner" / "model-7B")


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("generator.temperature=1", 1.0),
        ("generator.temperature = 0.25", 0.25),
        ("generator.chat=true", True),
        ("generator.dtype=bfloat16", "bfloat16"),
        ('generator.dtype="bfloat16"', "bfloat16"),
        ("generator.max_tokens=4_096", 4096),
        ("generator.prompt_template={question} =", "{question} ="),
    ],
)
def test_overrides_are_toml_values_or_bare_strings(small: Path, override: str, value: object) -> None:
    name = override.partition("=")[0].strip().removeprefix("generator.")
    found = getattr(load_recipe(small, [override]).generator, name)
    assert (found, type(found)) == (value, type(value))


def test_a_value_cannot_smuggle_in_other_keys(small: Path) -> None:
    assert 'seed = "1\nextra = 2"' in mistake(small, "seed=1\nextra = 2")


def test_the_last_override_wins_and_an_empty_one_restores_the_default(small: Path) -> None:
    assert load_recipe(small, ["seed=1", "seed=2"]).seed == 2
    assert load_recipe(small, ["budget.total_tokens=5", "budget.total_tokens="]).budget.total_tokens is None


def test_another_strategy_keeps_the_options_that_it_knows() -> None:
    strategy = load_recipe(ARITHMETIC / "beam-16.toml", ["strategy.name=majority"]).strategy
    assert strategy.name == "majority"
    assert strategy.arguments == {"num_samples": 16, "weight_by": None}


def test_a_plugin_gets_its_options_and_the_prm_if_there_is_one(small: Path) -> None:
    recipe = load_recipe(small, ["strategy.name=my.module:search", "strategy.options.depth=3"])
    assert (recipe.strategy.name, recipe.strategy.arguments) == ("my.module:search", {"depth": 3})
    assert recipe.strategy.needs_prm
    assert recipe.prm is None


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("generator.temprature=1", ["--set", "generator.temprature", "did you mean generator.temperature?"]),
        ("sampling.top_p=1", ["--set", "sampling.top_p", "did you mean generator.top_p?"]),
        ("max_tokens=1", ["did you mean generator.max_tokens?"]),
        ("strategy.nam=x", ["did you mean strategy.name?"]),
        ("prn.weights=1", ["did you mean [prm]?"]),
        ("xyzzy.q=1", ["known are", "generator", "strategy"]),
        ("cluster.q=1", ["known are", "address"]),
        ("generator.temperature=-1", ["--set", "generator.temperature = -1", "greater than or equal to 0"]),
        ("generator.top_p=1.5", ["generator.top_p = 1.5", "less than or equal to 1"]),
        ("generator.max_tokens=many", ['generator.max_tokens = "many"', "integer"]),
        ("generator.max_tokens=4.0", ["generator.max_tokens = 4.0", "integer"]),
        ("generator.temperature=inf", ["generator.temperature = inf", "finite"]),
        ("generator.chat=1", ["generator.chat = 1", "boolean"]),
        ("generator.dtype=fp8", ['generator.dtype = "fp8"', "bfloat16"]),
        ("generator.prompt_template=Solve it", ["generator.prompt_template", "{question}"]),
        ("generator.system_prompt=Be brief", ["[generator]", "chat = true"]),
        ("generator.max_step_tokens=4096", ["max_step_tokens (4096)", "max_tokens (2048)"]),
        ("generator.model=", ["generator.model is missing"]),
        ("generator=3", ["generator = 3", "section"]),
        ("strategy.name=best-of", ['strategy.name = "best-of"', "did you mean best-of-n?"]),
        ("strategy.name=", ["strategy.name is missing"]),
        ("strategy=majority", ["must be a section"]),
        ("grader.kind=sympy", ['grader.kind = "sympy"', "math-verify"]),
        ("seed=-1", ["seed = -1"]),
        ("seed.deep=1", ["seed"]),
        ("no equals sign", ["section.key=value"]),
        ("=3", ["section.key=value"]),
    ],
)
def test_mistakes_are_named(small: Path, override: str, words: list[str]) -> None:
    message = mistake(small, override)
    assert [word for word in words if word not in message] == []


def test_beam_widths_divide() -> None:
    message = mistake(ARITHMETIC / "beam-16.toml", "strategy.beam_width=3")
    assert "num_samples (16) must be a multiple of beam_width (3)" in message


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ('{name="adaptive-best-of-n", min_samples=9, num_samples=8}', ["min_samples (9)", "num_samples (8)"]),
        ('{name="adaptive-best-of-n", confidence=1.0}', ["strategy.confidence = 1.0", "less than 1"]),
        ('{name="adaptive-best-of-n", estimate="q10"}', ['strategy.estimate = "q10"', "lower"]),
        ('{name="adaptive-beam-search", num_samples=9, beam_width=2}', ["num_samples (9)", "beam_width (2)"]),
        ('{name="adaptive-beam-search", adapt="width"}', ['strategy.adapt = "width"', "beams"]),
        ('{name="sequential", threshold=0.0}', ["strategy.threshold = 0.0", "greater than 0"]),
        ('{name="sequential", selection="vote"}', ['strategy.selection = "vote"', "majority"]),
    ],
)
def test_mistakes_of_adaptive_budgets_are_named(override: str, words: list[str]) -> None:
    message = mistake(ARITHMETIC / "best-of-16.toml", f"strategy={override}")
    assert [word for word in words if word not in message] == []


def test_mistakes_in_the_file_name_the_file_and_all_are_told(small: Path) -> None:
    small.write_text(SMALL + "beam = 1\n[output]\nflush_problems = 0\n")
    lines = mistake(small).splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{small}: ") for line in lines)


def test_files_that_are_no_recipes_are_refused(tmp_path: Path) -> None:
    assert "cannot be read" in mistake(tmp_path / "missing.toml")
    assert "cannot be read" in mistake(tmp_path)
    broken = tmp_path / "broken.toml"
    broken.write_text("[generator\n")
    assert "is not TOML" in mistake(broken)
    broken.write_bytes(b"\xff\xfe")
    assert "is not TOML" in mistake(broken)


def test_what_decides_results_leaves_out_what_a_resume_may_change(small: Path) -> None:
    before = decides_results(load_recipe(small))
    free = ["budget.total_tokens=7", "generator.num_replicas=3", "generator.max_num_seqs=8", "output.flush_problems=1"]
    assert decides_results(load_recipe(small, [*free, "cluster.num_cpus=2", "grader.num_workers=4"])) == before
    for deciding in ("seed=1", "generator.temperature=0", "generator.max_tokens=1024", "grader.kind=exact"):
        assert decides_results(load_recipe(small, [deciding])) != before


def test_a_moved_model_is_the_same_model(small: Path, tmp_path: Path) -> None:
    moved = decides_results(load_recipe(small, [f"generator.model={tmp_path}/other/generator"]))
    assert moved == decides_results(load_recipe(small))


def test_operational_keys_are_all_that_does_not_decide() -> None:
    recipe = load_recipe(ARITHMETIC / "best-of-16.toml")
    free = operational_keys()
    everything = {key for key in flat(as_json(recipe)) if not key.startswith(free)}
    deciding = set(flat(decides_results(recipe)))
    assert set(TOLD_BY_CONTENT) < deciding
    assert everything == deciding - set(TOLD_BY_CONTENT)


@pytest.mark.parametrize(("override", "read"), [("none", "none"), ('""', ""), ("gold", "gold"), ("", "auto")])
def test_an_answer_key_can_be_named_or_left_unread(small: Path, override: str, read: str) -> None:
    recipe = load_recipe(small, [f"problems.reference={override}"])
    assert recipe.problems.reference == read


def test_every_preset_and_grader_is_one_that_there_is(small: Path) -> None:
    for preset in PRESETS:
        assert load_recipe(small, [f"problems.preset={preset}"]).problems.preset == preset
    assert "problems.preset" in mistake(small, "problems.preset=mmlu")
    assert "multiple-choice" in mistake(small, "grader.kind=letters")


def test_a_number_of_replicas_may_be_a_range(small: Path) -> None:
    fixed = load_recipe(small, ["generator.num_replicas=3"]).generator
    assert (fixed.first_replicas, fixed.num_replicas) == (3, 3)
    ranged = load_recipe(small, ["generator.num_replicas={min = 2, max = 8}"])
    assert (ranged.generator.first_replicas, ranged.generator.num_replicas) == (2, 8)
    again = load_recipe(small, ["generator.num_replicas={min = 2, max = 8}", "generator.num_replicas.max=4"]).generator
    assert (again.first_replicas, again.num_replicas) == (2, 4)
    assert len(replica_demands(ranged, on_gpus=False)) == 8
    assert len(replica_demands(ranged, on_gpus=False, first=True)) == 2


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{min = 3, max = 2}", r"min_replicas \(3\) must not be above num_replicas \(2\)"),
        ("{min = 3}", "must be a number, or { min = 1, max = 8 }: max is wrong or missing"),
        ("{min = 1, max = 2, most = 3}", "most is wrong or missing"),
        ("{min = 0, max = 2}", "min_replicas"),
        ("{min = 1, max = 5000}", "num_replicas"),
    ],
)
def test_a_range_that_holds_no_number_is_refused(small: Path, value: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        load_recipe(small, [f"generator.num_replicas={value}"])
