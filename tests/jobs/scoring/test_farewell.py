"""What an interrupted run says last."""

from pathlib import Path

import pytest

from cluster.store import LocalStore
from jobs.scoring.farewell import farewell
from tests.support.stored_runs import stored_run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    """A run of which two problems are owed."""
    folder = tmp_path_factory.mktemp("farewell") / "run"
    stored_run(folder, "strategy={name='majority', num_samples=2}", num_problems=5, num_owed=2)
    return LocalStore(folder)


@pytest.mark.parametrize(
    ("argv", "goes_on"),
    [
        (
            ["/home/me/.venv/bin/parsimony", "score", "my problems.jsonl"],
            "To go on: parsimony score 'my problems.jsonl'",
        ),
        (["/home/me/parsimony/jobs/compare.py", "x"], "To go on: python -m jobs.compare x"),
        (["/usr/lib/ipykernel_launcher.py", "-f"], "The same call goes on with it."),
    ],
)
def test_it_says_what_is_kept_and_what_goes_on(store: LocalStore, argv: list[str], goes_on: str) -> None:
    said = farewell(store, argv)
    assert said.startswith(f"stopped; kept in {store.uri}: 5 of 7 problems with ")
    assert said.endswith(goes_on)


def test_a_run_that_never_began_is_no_second_error(tmp_path: Path) -> None:
    said = farewell(LocalStore(tmp_path / "none"), ["parsimony", "score"])
    assert "cannot be told" in said
    assert said.endswith("To go on: parsimony score")
