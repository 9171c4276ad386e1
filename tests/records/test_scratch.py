"""Temporary files of the dead are removed by whoever comes next; those of the living are left alone."""

import os
import subprocess
import sys
from pathlib import Path

from cluster.store import LocalStore
from records.scratch import SCRATCH_PREFIX, remove_abandoned, scratch_folder, scratch_name

MAKES_AND_DIES = """
import os, signal, sys
from pathlib import Path
from records.scratch import scratch_folder, scratch_name
where = Path(sys.argv[1])
(where / scratch_name()).write_text("half a file")
with scratch_folder(where) as folder:
    (folder / "rows").write_text("some")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def dies(where: Path) -> None:
    """A process that leaves a file and a folder behind."""
    where.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-c", MAKES_AND_DIES, str(where)], check=False)
    assert len(list(where.iterdir())) == 2


def test_the_next_folder_removes_those_of_the_dead(tmp_path):
    dies(tmp_path)
    foreign = tmp_path / f"{SCRATCH_PREFIX}00000000-1-1-0123456789ab"  # of another machine
    foreign.mkdir()
    strange = tmp_path / f"{SCRATCH_PREFIX}mine"
    strange.write_text("no scratch name")
    with scratch_folder(tmp_path) as first, scratch_folder(tmp_path) as second:
        assert {path for path in tmp_path.iterdir() if path.name.startswith(SCRATCH_PREFIX)} == {
            *(first, second),
            *(foreign, strange),
        }
        assert first.stat().st_mode & 0o777 == 0o700
    assert not first.exists()
    assert not second.exists()


def test_the_living_and_what_cannot_be_told_are_left_alone(tmp_path):
    dies(tmp_path)
    [dead] = [path for path in tmp_path.iterdir() if not path.name.startswith(SCRATCH_PREFIX)]
    machine = dead.name.partition("-")[0]
    kept = {scratch_name(), f"{machine}-{os.getpid()}-0-0123456789ab", "short", f"{machine}-{2**22 + 1}-5-x"}
    for name in kept:
        (tmp_path / name).write_text("")
    remove_abandoned(tmp_path)
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(SCRATCH_PREFIX)} == kept


def test_nothing_is_removed_where_nothing_is(tmp_path):
    remove_abandoned(tmp_path / "none")


def test_a_store_removes_what_a_killed_writer_has_left(tmp_path):
    dies(tmp_path / "run/.tmp")
    store = LocalStore(tmp_path / "run")
    store.replace("name", b"data")
    assert [path.name for path in (tmp_path / "run/.tmp").iterdir() if not path.name.startswith(SCRATCH_PREFIX)] == []
    assert store.list("") == ["name"]
