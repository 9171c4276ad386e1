"""Rollouts from where `parsimony rollout` left them: checked rows, of one generator at one temperature.

ROLLOUTS   a run's folder or s3://bucket/prefix, finished      or one .parquet file of the same columns
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cluster.staging import stage_file
from records.failure import InvalidInput
from records.rows import RolloutRow
from records.run_folder.reader import read_run
from records.schemas import ROLLOUTS, to_rows

_LATER = ("sampling",)
"""Columns that files of older versions lack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollouts:
    """What a PRM is fitted to, or measured on.

    Attributes:
        uri: as given.
        rows: sorted by problem and node; each has at least one trial.
        untried: rows without a trial, left out: nothing is known about them.
        missing: problems of the run without a row.
        generator: sha256 of the generator's weights; None where the rows have none.
        temperature: of all rows.
        sampling: what else decided how tokens were drawn, as JSON (`RolloutRow.sampling`); None where rows do not say.
        separator: that the generator's steps end in, by the run's recipe; None for a file.
        fingerprint: sha256 of what the rows say.
    """

    uri: str
    rows: tuple[RolloutRow, ...]
    untried: int
    missing: int
    generator: str | None
    temperature: float
    sampling: str | None
    separator: str | None
    fingerprint: str

    @property
    def trained_for(self) -> dict[str, object]:
        """What a PRM that is fitted to them says that it was made for."""
        drawn = {} if self.sampling is None else {"sampling": json.loads(self.sampling)}
        return {"generator": self.generator, "temperature": self.temperature, **drawn}

    @property
    def num_problems(self) -> int:
        """Number of problems with at least one row."""
        return len({row.problem_id for row in self.rows})


def read_rollouts(uri: str) -> Rollouts:
    """Read and check rollouts.

    Raises:
        InvalidInput: there are none, they are not finished, a row is impossible, or they are of several generators or
            temperatures.
        StoreFailed: a file is missing or damaged.
    """
    table, separator, num_problems = (_read_file(uri), None, None) if uri.endswith(".parquet") else _read_run(uri)
    rows = sorted(to_rows(RolloutRow, table), key=lambda row: (row.problem_id, row.node_id))
    if not rows:
        raise InvalidInput(f"{uri}: there are no rollouts in it; `parsimony rollout` makes them")
    _check_rows(uri, rows)
    tried = tuple(row for row in rows if row.trials)
    if not tried:
        raise InvalidInput(f"{uri}: no row has a trial: was there a grader, and an answer key?")
    (generator,) = _only(uri, "generator", rows)
    (temperature,) = _only(uri, "temperature", rows)
    (sampling,) = _only(uri, "sampling", rows)
    return Rollouts(
        uri=uri,
        rows=tried,
        untried=len(rows) - len(tried),
        missing=max(0, (num_problems or 0) - len({row.problem_id for row in rows})),
        generator=None if generator is None else str(generator),
        temperature=float(str(temperature)),
        sampling=None if sampling is None else str(sampling),
        separator=separator,
        fingerprint=_fingerprint(tried),
    )


def _read_run(uri: str) -> tuple[pa.Table, str | None, int | None]:
    """The rows of a run, the separator of its generator, and the number of its problems."""
    run = read_run(uri)
    generator, strategy = (_section(run.manifest.recipe, name) for name in ("generator", "strategy"))
    separator = generator.get("separator")
    if not run.log.parts_of("rollouts") and (run.finished or strategy.get("name") != "rollout"):
        raise InvalidInput(f"{uri}: a run without rollouts; `parsimony rollout` makes one with")
    if not run.finished:
        owed = run.manifest.num_problems - run.totals.problems
        raise InvalidInput(
            f"{uri} is not finished: {owed} of {run.manifest.num_problems} problems have no rollouts yet. Run the same "
            "`parsimony rollout` again, with --limit if fewer problems will do in a new one"
        )
    return run.rollouts(), separator if isinstance(separator, str) else None, run.manifest.num_problems


def _section(recipe: Mapping[str, object], name: str) -> Mapping[str, object]:
    section = recipe.get(name)
    return section if isinstance(section, dict) else {}


def _read_file(uri: str) -> pa.Table:
    path = stage_file(uri)
    try:
        table = pq.read_table(path)
    except OSError as error:
        raise InvalidInput(f"{uri} cannot be read: {error}") from error
    except pa.ArrowInvalid as error:
        raise InvalidInput(f"{uri} is no Parquet file: {error}") from error
    for name in set(_LATER) - set(table.column_names):
        table = table.append_column(name, pa.nulls(len(table), ROLLOUTS.field(name).type))
    missing = [name for name in ROLLOUTS.names if name not in table.column_names]
    if missing:
        raise InvalidInput(f"{uri}: no column {', '.join(missing)}; docs/tables.md says what `rollouts` has")
    columns = []
    for column in ROLLOUTS:
        try:
            values = table[column.name].cast(column.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise InvalidInput(f"{uri}: column {column.name} does not hold {column.type}: {error}") from error
        if values.null_count and not column.nullable:
            row = pc.index(values.is_null(), value=True).as_py()
            raise InvalidInput(f"{uri}: row {row + 1}: {column.name} is null")
        columns.append(values)
    return pa.Table.from_arrays(columns, schema=ROLLOUTS)


def _check_rows(uri: str, rows: Sequence[RolloutRow]) -> None:
    """Refuse what no rollout can say. Rows are sorted by problem and node."""
    for before, row in zip([None, *rows[:-1]], rows, strict=True):
        where = f"{uri}: problem {row.problem_id!r}, node {row.node_id}"
        if not 0 <= row.successes <= row.trials:
            raise InvalidInput(f"{where}: {row.successes} successes of {row.trials} trials")
        if row.depth != len(row.steps):
            raise InvalidInput(f"{where}: depth is {row.depth}, and there are {len(row.steps)} steps")
        if row.num_trajectories < 1:
            raise InvalidInput(f"{where}: {row.num_trajectories} trajectories pass through it")
        if not row.question.strip():
            raise InvalidInput(f"{where}: the question is empty")
        if before is None or before.problem_id != row.problem_id:
            continue
        if before.node_id == row.node_id:
            raise InvalidInput(f"{where} has two rows: are two runs in one file? Give their problems different names")
        if before.question != row.question:
            raise InvalidInput(f"{where}: its question is not that of node {before.node_id}: names must be unique")


def _only(uri: str, column: str, rows: Sequence[RolloutRow]) -> set[object]:
    values = {getattr(row, column) for row in rows}
    if column in _LATER:  # a run that was begun before the column, and gone on with: what later rows say holds
        values = values - {None} or values
    if len(values) > 1:
        shown = ", ".join(sorted(str(value)[:12] for value in values))
        raise InvalidInput(f"{uri}: rows of more than one {column} ({shown}): a PRM is calibrated for one; split them")
    return values


def _fingerprint(rows: Sequence[RolloutRow]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        told = (row.problem_id, row.node_id, row.question, row.steps, row.terminal, row.num_trajectories)
        drawn = [] if row.sampling is None else [row.sampling]
        counted = (row.successes, row.trials, row.generator, row.temperature)
        digest.update(json.dumps([*told, *counted, *drawn]).encode())
    return digest.hexdigest()
