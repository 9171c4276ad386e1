"""Every strategy, by its name in a recipe, through driver, controller and writer to rows; Ray's part is its journey."""

import pickle

import pytest

from jobs.recipes.section import PLUGIN
from jobs.recipes.strategies.registry import STRATEGIES
from tests.support.run_drivers import Stage

pytestmark = pytest.mark.slow

SMALLER = {
    "deepconf-online": ("strategy.num_warmup=4", "strategy.window=16"),
    "deepconf-offline": ("strategy.window=16",),
}
"""Strategies whose defaults are above so small a size, or for longer solutions."""


@pytest.mark.parametrize("name", sorted(STRATEGIES.keys() - {PLUGIN, "rollout", "question-score"}))
@pytest.mark.ci
def test_every_strategy_scores_with_its_defaults(tmp_path, name):
    chosen = (f"strategy.name={name}", "strategy.num_samples=8" * (name != "sample"), *SMALLER.get(name, ()))
    stage = Stage(tmp_path / "run", count=8, overrides=tuple(filter(None, chosen)))
    summary = stage.score()
    assert summary.finished
    assert summary.problems["succeeded"] == 8
    rows = stage.check_books().problems().to_pylist()
    assert {row["strategy"] for row in rows} == {name}
    assert all(row["answer"] is not None for row in rows)
    assert pickle.loads(pickle.dumps(stage.plan().strategy))  # noqa: S301 (our own): it travels to the controller
