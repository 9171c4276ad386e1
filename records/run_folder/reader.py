"""Reading a run: the parts that its commits name, and nothing else in its folder.

`read_run` takes a snapshot: what was visible when it was called. A run that is being written can be read at any moment;
a later call sees at least as much. Parts of the snapshot may be replaced by larger ones and deleted meanwhile: then the
commits are read again, and the same rows come from where they are now. Works wherever `pyarrow.fs` does: local folders,
`file://`, `s3://` (with the AWS settings of `records.run_folder.object_store`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from records.failure import Damaged, InvalidInput
from records.jsonio import decode
from records.row_checks import check_rows
from records.run_folder import layout
from records.run_folder.checkpoints import read_log
from records.run_folder.commits import Part, Totals
from records.run_folder.epochs import Lease
from records.run_folder.layout import Table
from records.run_folder.log import Log, Success
from records.run_folder.manifest import Manifest
from records.run_folder.prediction import ESTIMATE, Prediction
from records.run_folder.run_files import RunFiles, open_files
from records.run_folder.segments import by_segment, segments_of
from records.schemas import SCHEMAS, conformed

BATCH_ROWS = 4096
"""Of a batch, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as it stood when it was read.

    Attributes:
        uri: as given.
        manifest: what it was begun with.
        success: `_SUCCESS`; None while inputs are owed.
        lease: of the newest epoch, with its heartbeat and progress; None before the first.
        log: what the commits add up to.
    """

    uri: str
    manifest: Manifest
    success: Success | None
    lease: Lease | None
    log: Log
    _files: RunFiles

    @property
    def finished(self) -> bool:
        """Every input has exactly one row."""
        return self.success is not None

    @property
    def totals(self) -> Totals:
        """What the rows add up to."""
        return self.log.totals

    @property
    def lost_tokens(self) -> int:
        """Tokens that count as spent and stand in no row."""
        return self.log.lost_tokens

    def problems(self) -> pa.Table:
        """One row per problem that has ended."""
        return self._table("problems")

    def steps(self) -> pa.Table:
        """One row per sampled step."""
        return self._table("steps")

    def requests(self) -> pa.Table:
        """One row per strategy request and its reply."""
        return self._table("requests")

    def rollouts(self) -> pa.Table:
        """One row per prefix, of a run of `parsimony rollout`; of any other there is none."""
        return self._table("rollouts")

    def prediction(self) -> Prediction | None:
        """What the run was predicted to take; None for one that was no pilot of `parsimony estimate`.

        Raises:
            StoreFailed: the store cannot be read, or what stands there is no prediction.
        """
        data = self._files.read(ESTIMATE)
        return decode(Prediction, data, ESTIMATE) if data is not None else None

    def dataset(self, table: Table) -> ds.Dataset:
        """The same rows as `problems()` and its siblings, to scan in batches, as long as these parts are there."""
        return self._dataset(table, self.log.parts_of(table))

    def batches(self, table: Table, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The same rows a few thousand at a time, in commit order: a table of any size in little memory.

        Raises:
            StoreFailed: a part is gone or damaged; what came before is to be thrown away.
        """
        for _, batch in self.batches_by_commit(table, columns):
            yield batch

    def batches_by_commit(self, table: Table, columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The same with the commit that the rows of each batch came with. Raises as `batches`."""
        parts = self.log.parts_of(table)
        wanted = sum(part.rows for part in parts)
        seen = 0
        while seen < wanted:
            try:
                for commit, batch in self._from_row(table, parts, columns, seen):
                    self._check(table, batch)
                    wanted_of_it = batch.slice(0, wanted - seen)
                    seen += wanted_of_it.num_rows
                    yield commit, wanted_of_it
                    if seen == wanted:
                        return
                raise Damaged(f"{self.uri}: {table} holds {seen} rows, and {wanted} by commits before the last one")
            except (OSError, pa.ArrowException) as error:
                parts = self._where_now(table, parts, error)

    def part_paths(self, table: Table) -> list[str]:
        """Addresses of the visible parts, in commit order, for other readers: `duckdb.read_parquet(paths)`.

        They stay good for an hour: later one may be gone, because a larger one holds its rows. Then read the run again.
        """
        return [self._files.address(part.name) for part in self.log.parts_of(table)]

    def _table(self, table: Table) -> pa.Table:
        parts = self.log.parts_of(table)
        if not parts:
            return SCHEMAS[table].empty_table()
        wanted = sum(part.rows for part in parts)
        while True:
            try:
                rows = self._dataset(table, parts).to_table()
            except (OSError, pa.ArrowException) as error:
                parts = self._where_now(table, parts, error)
                continue
            if rows.num_rows != sum(part.rows for part in parts):
                raise Damaged(f"{self.uri}: {table} holds {rows.num_rows} rows, not what its commits say")
            self._check(table, rows)
            return rows.slice(0, wanted)

    def _check(self, table: Table, rows: pa.RecordBatch | pa.Table) -> None:
        try:
            check_rows(table, rows)
        except ValueError as error:
            raise Damaged(f"{self.uri}: {error}") from error

    def _dataset(self, table: Table, parts: Sequence[Part]) -> ds.Dataset:
        for part in parts:
            self._files.check_part(part)
        paths = [self._files.path(part.name) for part in parts]
        return ds.dataset(paths, schema=SCHEMAS[table], format="parquet", filesystem=self._files.filesystem)

    def _where_now(self, table: Table, parts: Sequence[Part], error: Exception) -> list[Part]:
        """The parts that hold the snapshot's rows by the newest commits: these rows first, and then others.

        Raises:
            StoreFailed: they are the `parts` that could not be read, so one of these is gone or damaged.
        """
        wanted = sum(part.rows for part in self.log.parts_of(table))
        newest = read_log(self._files).parts_of(table)
        ends = accumulate(part.rows for part in newest)
        now = newest[: 1 + sum(end < wanted for end in ends)]
        if now == list(parts):
            raise self._files.failure(f"{self.uri}: a part of {table} is gone or damaged", error) from error
        return now

    def _from_row(
        self, table: Table, parts: Sequence[Part], columns: Sequence[str], first: int
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The rows of `parts` from number `first` on, each batch of one commit's."""
        start = 0
        for part in parts:
            if start + part.rows > first:
                yield from _beyond(self._rows_of(table, part, columns), max(0, first - start))
            start += part.rows

    def _rows_of(self, table: Table, part: Part, columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
        self._files.check_part(part)
        with pq.ParquetFile(self._files.path(part.name), filesystem=self._files.filesystem, pre_buffer=True) as file:
            if file.metadata.num_rows != part.rows:
                raise Damaged(f"{self.uri}: {part.name} holds {file.metadata.num_rows} rows, not what its commits say")
            known = [name for name in columns if name in file.schema_arrow.names]
            batches = file.iter_batches(batch_size=BATCH_ROWS, columns=known)
            for commit, batch in by_segment(segments_of(part, file.metadata.metadata), batches):
                yield commit, conformed(table, batch, columns)


def read_run(uri: str | Path) -> Run:
    """The run at `uri` as it stands now.

    Raises:
        InvalidInput: there is no run.
        StoreFailed: a file is missing, or is not what its name says.
    """
    files = open_files(str(uri))
    manifest = files.read(layout.MANIFEST)
    if manifest is None:
        what = "a file, and a run is a folder" if files.is_file() else f"not a run: it has no {layout.MANIFEST}"
        raise InvalidInput(f"{uri} is {what}")
    # Before the commits: what is seen to be finished is then read to its end.
    success = files.read(layout.SUCCESS)
    epochs = [epoch for name in files.list(layout.EPOCHS) if (epoch := layout.epoch_number(name)) is not None]
    lease_name = layout.epoch_name(max(epochs, default=0))
    lease = files.read(lease_name)
    return Run(
        uri=str(uri),
        manifest=decode(Manifest, manifest, layout.MANIFEST),
        success=decode(Success, success, layout.SUCCESS) if success is not None else None,
        lease=decode(Lease, lease, lease_name) if lease is not None else None,
        log=read_log(files),
        _files=files,
    )


def _beyond(batches: Iterator[tuple[int, pa.RecordBatch]], num_rows: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """All but the first so many rows."""
    for commit, batch in batches:
        if num_rows < batch.num_rows:
            yield commit, batch.slice(num_rows)
        num_rows = max(0, num_rows - batch.num_rows)
