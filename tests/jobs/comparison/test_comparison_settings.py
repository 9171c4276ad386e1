"""What `parsimony compare` compares, and which settings can share samples."""

from pathlib import Path

import pytest

from jobs.cli import parse
from jobs.command_line.compare import CompareOptions
from jobs.comparison.runs import shared_runs
from jobs.comparison.settings import Setting, capped, comparison_settings
from jobs.recipes.load import load_recipe
from jobs.recipes.strategies.base import StrategyOptions
from records.failure import InvalidInput

ARITHMETIC = Path(__file__).resolve().parents[3] / "examples" / "arithmetic"
BEST, BEAM = ARITHMETIC / "best-of-16.toml", ARITHMETIC / "beam-16.toml"


def settings(*strategies: str, recipes: tuple[Path, ...] = (BEST,), overrides: tuple[str, ...] = ()) -> list[Setting]:
    return list(comparison_settings(recipes, strategies, overrides))


def mistake(*strategies: str, recipes: tuple[Path, ...] = (BEST,), overrides: tuple[str, ...] = ()) -> str:
    with pytest.raises(InvalidInput) as caught:
        settings(*strategies, recipes=recipes, overrides=overrides)
    return str(caught.value)


def test_an_entry_is_a_strategy_with_options_of_its_own() -> None:
    plain, few, other = settings("best-of-n", "best-of-n:num_samples=4:aggregation=min", "majority")
    assert (plain.label, plain.recipe.strategy.name) == ("best-of-n", "best-of-n")
    assert few.label == "best-of-n:num_samples=4:aggregation=min"
    assert few.recipe == load_recipe(BEST, ["strategy.num_samples=4", "strategy.aggregation=min"])
    assert other.recipe.strategy.name == "majority"
    assert other.recipe.strategy.most_samples == 16  # the recipe's own


def test_an_option_with_a_dot_is_any_of_the_recipe_and_values_may_hold_colons() -> None:
    [setting] = settings("best-of-n:prm.model=s3://bucket/prm:num_samples=2:generator.temperature=0.3")
    assert setting.recipe.prm is not None
    assert setting.recipe.prm.model == "s3://bucket/prm"
    assert (setting.recipe.generator.temperature, setting.recipe.strategy.most_samples) == (0.3, 2)


def test_set_changes_every_entry_and_an_entry_has_the_last_word() -> None:
    first, second = settings("majority", "best-of-n:num_samples=2", overrides=("strategy.num_samples=5",))
    assert [item.recipe.strategy.most_samples for item in (first, second)] == [5, 2]


def test_recipes_have_names_and_an_entry_may_name_one() -> None:
    both = (BEST, BEAM)
    every = settings("majority", "beam-16@sample", recipes=both)
    assert [item.label for item in every] == ["best-of-16@majority", "beam-16@majority", "beam-16@sample"]
    assert [item.recipe_name for item in every] == ["best-of-16", "beam-16", "beam-16"]


def test_mistakes_name_the_entry() -> None:
    assert "--strategies best-of-m: " in mistake("best-of-m")
    assert "did you mean strategy.num_samples" in mistake("best-of-n:num_sample=3")
    assert "no --recipe is called 'small'" in mistake("small@majority")
    assert "majority is there twice" in mistake("majority", "majority")
    assert "[RECIPE@]STRATEGY" in mistake("=3")
    assert "two recipes are called 'best-of-16'" in mistake("majority", recipes=(BEST, BEST))
    assert "[budget]" in mistake("majority", overrides=("budget.total_tokens=100",))
    assert "[budget]" in mistake("majority:budget.deadline_s=5")
    assert "percentage" in mistake("majority:budget.total_tokens=x%")
    assert "[budget]" in mistake("beam-search:budget.total_tokens=50%")
    assert "not run for its answers" in mistake("rollout")


def test_settings_share_samples_where_they_can() -> None:
    runs = shared_runs(
        settings(
            "best-of-n:num_samples=4",
            "adaptive-best-of-n:num_samples=64",
            "majority",
            "beam-search",
            "best-of-n:aggregation=min",
            "best-of-n:generator.temperature=0.5",
            "sample",
        )
    )
    shared = [[item.label.partition(":")[2] or item.label for item in run.settings] for run in runs]
    assert shared == [
        ["num_samples=4", "num_samples=64", "majority", "sample"],
        ["beam-search"],
        ["aggregation=min"],
        ["generator.temperature=0.5"],
    ]
    assert [run.stored for run in runs] == [True, False, True, True]
    strategies = [load_recipe(run.path, run.overrides).strategy for run in runs]
    assert [item.name for item in strategies] == ["best-of-n", "beam-search", "best-of-n", "best-of-n"]
    assert [item.most_samples for item in strategies] == [64, None, 16, 16]  # as many as the greediest takes
    assert len({run.name for run in runs}) == 4


def test_votes_join_the_samples_that_are_there_whatever_a_search_beside_them_scores() -> None:
    runs = shared_runs(settings("beam-search", "majority", "best-of-n:aggregation=min"))
    assert [len(run.settings) for run in runs] == [1, 2]


def test_two_models_of_one_name_are_two_models() -> None:
    runs = shared_runs(
        settings(*(f"{name}:prm.model=/m/{at}/final" for name in ("best-of-n", "beam-search") for at in "ab"))
    )
    assert len({run.name for run in runs}) == len(runs) == 4


def test_shared_samples_have_no_cap_and_nothing_of_the_recipe_s_own_strategy(tmp_path: Path) -> None:
    text = (
        BEST.read_text().replace('model = "', f'model = "{ARITHMETIC}/').replace("num_samples = 16", "num_samples = 9")
    )
    (tmp_path / "r.toml").write_text(text + "[budget]\ntotal_tokens = 1000\n[answer]\nabstain_below = 0.5\n")
    entries = ("best-of-n:budget.total_tokens=", "marginal:selection=majority")
    [run] = shared_runs(comparison_settings([tmp_path / "r.toml"], entries, ()))
    recipe = load_recipe(run.path, run.overrides)
    assert recipe.budget.total_tokens is None
    assert recipe.answer.abstain_below is None
    assert recipe.strategy == load_recipe(BEST, ["strategy.num_samples=9"]).strategy


def test_without_scores_no_prm_is_needed() -> None:
    [run] = shared_runs(settings("majority", "sample", "adaptive-consistency"))
    assert not load_recipe(run.path, run.overrides).strategy.needs_prm


def test_samples_come_with_confidences_where_one_setting_reads_them() -> None:
    def strategy(*entries: str) -> StrategyOptions:
        [run] = shared_runs(settings(*entries))
        return load_recipe(run.path, run.overrides).strategy

    assert strategy("best-of-n", "deepconf-offline").num_logprobs == 20
    assert strategy("majority", "deepconf-offline").num_logprobs == 20
    assert strategy("majority", "best-of-n").num_logprobs == 0
    assert not strategy("majority", "deepconf-offline").needs_prm
    apart = shared_runs(settings("majority", "deepconf-offline:top_logprobs=5"))
    assert [run.stored for run in apart] == [True, False]


def test_names_of_runs_say_what_decides_them() -> None:
    def names(*strategies: str, overrides: tuple[str, ...] = ()) -> list[str]:
        return [run.name for run in shared_runs(settings(*strategies, overrides=overrides))]

    assert names("best-of-n", "majority") == names("majority", "best-of-n")
    assert names("best-of-n") == names("best-of-n", overrides=("cluster.num_cpus=2",))
    assert names("best-of-n") != names("best-of-n", overrides=("seed=5",))
    assert names("beam-search") != names("beam-search:max_steps=9")


def test_a_cap_may_be_a_share_of_what_the_baseline_takes() -> None:
    plain, half, own = settings(
        "majority", "marginal:budget.total_tokens=50%", "marginal:budget.total_tokens=70:wave_size=2"
    )
    assert capped(plain, 1000.0) is plain
    assert half.recipe.budget.total_tokens is None
    assert capped(half, 1000.0).recipe.budget.total_tokens == 500
    assert capped(own, 1000.0).recipe.budget.total_tokens == 70


def test_the_command_line_takes_commas_and_spaces() -> None:
    words = ["compare", "p.jsonl", "--recipe", "a.toml", "--recipe", "b.toml", "--output", "o", "--margin", "0.02"]
    name, options = parse(
        [*words, "--strategies", "best-of-n,majority:generator.separator=,;", "b@sample", "--orders", "3"]
    )
    assert name == "compare"
    assert isinstance(options, CompareOptions)
    assert options.strategies == ("best-of-n", "majority:generator.separator=,;", "b@sample")
    assert options.recipes == (Path("a.toml"), Path("b.toml"))
    assert (options.margin, options.num_orders, options.baseline) == (0.02, 3, None)
    with pytest.raises(SystemExit):
        parse([*words, "--strategies", "a", "--margin", "3"])
