"""What a run of very many problems leaves, and what it takes to read and to resume it: one JSON object.

    python -m benchmarks.large_run --problems 1000000 --delay-s 0.03

The real writer writes it, commit by commit, from rows that repeat those of a small made run (`benchmarks.made_run`)
under new problem ids. At nine tenths the writer vanishes; another one resumes the run from a store that takes
`--delay-s` for every answer (and for every thousand names of a list), and goes on to the end. No engine, controller or
Ray takes part.
"""

import argparse
import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from actors.writer.lease import this_process
from actors.writer.writer import Writer
from benchmarks.made_run import made_manifest, made_problems, write_run
from cluster.store import LocalStore
from jobs.scoring.run_status import read_status
from records.packing import Columns
from records.rows import ProblemRow
from records.run_folder import layout
from records.run_folder.layout import Table
from records.run_folder.reader import read_run
from records.run_folder.store import Store
from records.schemas import to_rows
from records.usage import ReplicaUsage, Usage

T = TypeVar("T")
NAMES_A_PAGE = 1000
"""Of a list, that an object store gives in one answer."""
FIRST_MARK = 10_000
"""Problems after which memory should be flat."""


class SlowStore:
    """A store that takes a while for every answer, as one behind a network does.

    Args:
        inner: where the operations go.
        delay_s: of each answer; of a list, for each thousand names.
    """

    def __init__(self, inner: Store, delay_s: float) -> None:
        self._inner, self._delay_s = inner, delay_s
        self.num_reads = 0

    @property
    def uri(self) -> str:
        """Where it is."""
        return self._inner.uri

    def now_s(self) -> float:
        """As the store does."""
        return self._inner.now_s()

    def create(self, name: str, data: bytes) -> bool:
        """As the store does."""
        time.sleep(self._delay_s)
        return self._inner.create(name, data)

    def replace(self, name: str, data: bytes) -> None:
        """As the store does."""
        time.sleep(self._delay_s)
        self._inner.replace(name, data)

    def upload(self, name: str, file: Path) -> None:
        """As the store does."""
        time.sleep(self._delay_s)
        self._inner.upload(name, file)

    def read(self, name: str) -> bytes | None:
        """As the store does."""
        time.sleep(self._delay_s)
        self.num_reads += 1
        return self._inner.read(name)

    def list(self, prefix: str) -> "list[str]":
        """As the store does."""
        names = self._inner.list(prefix)
        time.sleep(self._delay_s * (1 + len(names) // NAMES_A_PAGE))
        return names

    def delete(self, name: str) -> None:
        """As the store does."""
        time.sleep(self._delay_s)
        self._inner.delete(name)


@dataclass(frozen=True, slots=True)
class Template:
    """The rows of a few problems, to be repeated."""

    problems: list[ProblemRow]
    columns: dict[Table, pa.Table]

    def batch(self, first: int, count: int) -> tuple[list[ProblemRow], list[Columns]]:
        """So many problems from a number on; at most as many as there are in the template."""
        ids = {row.problem_id: f"p-{first + number:09d}" for number, row in enumerate(self.problems[:count])}
        rows = [replace(row, problem_id=ids[row.problem_id]) for row in self.problems[:count]]
        old, new = pa.array(list(ids)), pa.array(list(ids.values()))
        columns = []
        for table, held in self.columns.items():
            places = pc.index_in(held.column("problem_id"), value_set=old)
            own = held.set_column(0, held.schema.field(0), new.take(places.combine_chunks()))
            own = own.filter(pc.is_valid(places)) if count < len(self.problems) else own
            columns.append(Columns(table, False, own.combine_chunks().to_batches()[0]))
        return rows, columns


def main() -> int:
    """Write, vanish, resume, finish; print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=1_000_000)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--flush-problems", type=int, default=64, help="in a commit, as output.flush_problems")
    parser.add_argument("--replicas", type=int, default=64, help="that each commit says the usage of")
    parser.add_argument("--delay-s", type=float, default=0.03)
    parser.add_argument("--keep", type=Path, help="folder to leave the run in")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found = _measured(arguments, arguments.keep or Path(temporary))
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def _measured(arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    strategy = {"name": "majority", "num_samples": arguments.samples}
    template = _template(folder / "template", strategy, arguments.flush_problems)
    manifest = made_manifest(strategy, arguments.problems, 0)
    local = LocalStore(folder / "run")
    writer = Writer(local, folder / "spool")
    writer.open(manifest, this_process())
    memory: dict[int, float] = {}
    vanish_at = int(0.9 * arguments.problems)
    started_s, started_cpu_s = time.monotonic(), time.process_time()
    batch = 0
    for batch, first in enumerate(range(0, vanish_at, arguments.flush_problems)):
        rows = template.batch(first, min(arguments.flush_problems, vanish_at - first))
        _flush(writer, batch, rows, arguments.replicas)
        if first // FIRST_MARK != (first + arguments.flush_problems) // FIRST_MARK:
            memory[first] = _resident_mb()
    written_s, written_cpu_s = time.monotonic() - started_s, time.process_time() - started_cpu_s
    del writer
    gc.collect()

    slow = SlowStore(local, arguments.delay_s)
    second = Writer(slow, folder / "spool")
    state, resume_s = _timed(lambda: second.open(manifest, this_process(), take_over=True))
    if len(state.done) != vanish_at:
        raise AssertionError(f"{len(state.done)} problems are done, not {vanish_at}")
    reads_of_resume = slow.num_reads
    second = Writer(local, folder / "spool")
    state = second.open(manifest, this_process(), take_over=True)
    for number, first in enumerate(range(vanish_at, arguments.problems, arguments.flush_problems)):
        rows = template.batch(first, min(arguments.flush_problems, arguments.problems - first))
        _flush(second, state.next_batch + number, rows, arguments.replicas)
    second.finish([f"p-{number:09d}" for number in range(arguments.problems)], state.spent_tokens)

    slow = SlowStore(local, arguments.delay_s)
    _, status_s = _timed(lambda: read_status(slow, now_s=time.time()))
    run, read_run_s = _timed(lambda: read_run(folder / "run"))
    num_rows, problems_s = _timed(lambda: run.problems().num_rows)
    marks = sorted(memory)
    return {
        "problems": num_rows,
        "commits": run.log.number,
        "visible_parts": {table: len(run.log.parts_of(table)) for table in layout.TABLES},
        "visible_parts_in_all": len(run.log.parts),
        "part_mb": {
            table: round(
                sum(part.bytes for part in run.log.parts_of(table)) / 1e6 / max(1, len(run.log.parts_of(table))), 2
            )
            for table in layout.TABLES
        },
        "table_mb": round(sum(part.bytes for part in run.log.parts) / 1e6, 1),
        "checkpoint_mb": round(_bytes(folder / "run", "*.checkpoint.json") / 1e6, 2),
        "commit_mb": round(_bytes(folder / "run", "[0-9]*[0-9].json") / 1e6, 2),
        "write_s": round(written_s, 1),
        "write_cpu_s": round(written_cpu_s, 1),
        "resident_mb_at": {mark: round(memory[mark]) for mark in marks[:1] + marks[1 :: max(1, len(marks) // 10)]},
        "resident_last_over_first": round(memory[marks[-1]] / memory[marks[0]], 3) if marks else None,
        "delay_s": arguments.delay_s,
        "resume_s": round(resume_s, 2),
        "reads_of_resume": reads_of_resume,
        "status_s": round(status_s, 2),
        "reads_of_status": slow.num_reads,
        "read_run_s": round(read_run_s, 2),
        "read_problems_s": round(problems_s, 2),
    }


def _template(folder: Path, strategy: dict[str, object], count: int) -> Template:
    if not folder.exists():
        write_run(folder, made_problems(count), strategy=strategy)
    run = read_run(folder)
    tables: dict[Table, pa.Table] = {"steps": run.steps(), "requests": run.requests()}
    return Template(to_rows(ProblemRow, run.problems()), tables)


def _flush(writer: Writer, batch: int, rows: tuple[list[ProblemRow], list[Columns]], num_replicas: int) -> None:
    writer.append(batch, *rows)
    held_s = float(batch + 1)
    replicas = tuple(
        ReplicaUsage(name=f"generator-{number}", role="generator", held_s=held_s, busy_s=held_s, call_s=held_s)
        for number in range(num_replicas)
    )
    writer.flush(usage=Usage(elapsed_s=held_s, replicas=replicas))


def _timed(action: Callable[[], T]) -> tuple[T, float]:
    started_s = time.monotonic()
    return action(), time.monotonic() - started_s


def _resident_mb() -> float:
    """Of this process now, Arrow's free memory given back."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


def _bytes(folder: Path, pattern: str) -> int:
    return sum(file.stat().st_size for file in _files(folder, pattern))


def _files(folder: Path, pattern: str) -> Iterator[Path]:
    yield from (folder / "_commits").glob(pattern)


if __name__ == "__main__":
    sys.exit(main())
