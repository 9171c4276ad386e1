"""A run read problem by problem holds what its tables hold, also where steps became visible before their problem."""

from dataclasses import replace
from pathlib import Path

import pytest

from actors.writer.lease import this_process
from actors.writer.writer import Writer
from cluster.store import LocalStore
from records.failure import StoreFailed
from records.packing import packed_rows
from records.rows import OpenRecord
from records.run_folder.by_problem import records_of
from records.run_folder.reader import read_run
from tests.records import builders


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Three problems; most rows of the last one come two commits before its own."""
    writer = Writer(LocalStore(tmp_path / "run"), tmp_path / "spool")
    writer.open(builders.manifest(), this_process())
    early = builders.record("late", num_steps=5)
    opened = OpenRecord(problem_id="late", steps=early.steps[:3], requests=early.requests[:1])
    writer.append(0, *packed_rows([builders.record("first", num_steps=2)], [opened]))
    writer.flush()
    writer.append(1, *packed_rows([builders.record("second", num_steps=0)]))
    writer.flush()
    writer.append(2, *packed_rows([replace(early, steps=early.steps[3:], requests=early.requests[1:])]))
    writer.flush()
    return tmp_path / "run"


def test_each_problem_comes_with_all_its_rows(run_folder):
    found = list(records_of(read_run(run_folder)))
    wanted = [builders.record(name, num_steps=count) for name, count in (("first", 2), ("second", 0), ("late", 5))]
    assert found == wanted


def test_a_damaged_part_is_said(run_folder):
    next((run_folder / "steps").iterdir()).unlink()
    with pytest.raises(StoreFailed, match="a part of steps is gone"):
        list(records_of(read_run(run_folder)))
