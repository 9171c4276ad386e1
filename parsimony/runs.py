"""A run's folder as tables and numbers: `open_run`."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

from records.failure import InvalidInput
from records.run_folder.layout import Table
from records.run_folder.manifest import Manifest
from records.run_folder.reader import Run, read_run

if TYPE_CHECKING:
    from jobs.scoring.summary import Summary

As = Literal["arrow", "pandas", "polars"]
"""Whose table: `pyarrow.Table`, `pandas.DataFrame` or `polars.DataFrame`; the latter two have to be installed."""


class StoredRun:
    """A run as it stood when it was opened: finished, stopped or under way.

    Rows are in the order of their commits. Every column is in `docs/tables.md`; tokens are counts, times seconds, and
    what is unknown is null.

    Attributes:
        uri: its folder or s3:// prefix, as given.
    """

    def __init__(self, run: Run) -> None:
        """Of a reader's `run`; `open_run` makes them."""
        self._run = run
        self.uri = run.uri

    def __repr__(self) -> str:
        """Where it is and how far."""
        state = "finished" if self.finished else f"{self._run.totals.problems} of {self.num_problems} problems"
        return f"<StoredRun {self.uri}: {state}>"

    @property
    def finished(self) -> bool:
        """Every problem of the input has exactly one row."""
        return self._run.finished

    @property
    def num_problems(self) -> int:
        """Problems of the input."""
        return self._run.manifest.num_problems

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The recipe that the run was begun with: section -> setting -> value."""
        return self._run.manifest.recipe

    @property
    def manifest(self) -> Manifest:
        """All that the run was begun with: recipe, versions, models with their hashes, seed."""
        return self._run.manifest

    def summary(self) -> "Summary":
        """What the rows come to: accuracy with its 95% interval, tokens by kind, FLOPs, cost, commonest failures.

        Raises:
            StoreFailed: the run's folder is damaged or cannot be read.
        """
        from cluster.store import open_store
        from jobs.scoring.run_status import read_status

        store = open_store(self.uri)
        return read_status(store, now_s=store.now_s()).summary

    def problems(self, as_: As = "arrow", columns: Sequence[str] | None = None) -> Any:
        """One row per problem that has ended: status, answer, `correct` (null without a verdict), tokens, times.

        Args:
            as_: whose table.
            columns: only these; None for all.

        Raises:
            InvalidInput: a column or kind of table that there is not.
            StoreFailed: a part of the run is gone or damaged.
        """
        return self.table("problems", as_, columns)

    def steps(self, as_: As = "arrow", columns: Sequence[str] | None = None) -> Any:
        """One row per sampled step: its text, token ids, parent, and the PRM's quantiles. As `problems`."""
        return self.table("steps", as_, columns)

    def requests(self, as_: As = "arrow", columns: Sequence[str] | None = None) -> Any:
        """One row per request of a strategy and its reply. As `problems`."""
        return self.table("requests", as_, columns)

    def rollouts(self, as_: As = "arrow", columns: Sequence[str] | None = None) -> Any:
        """One row per prefix whose continuations were counted, of a run of `parsimony rollout`. As `problems`."""
        return self.table("rollouts", as_, columns)

    def table(self, name: Table, as_: As = "arrow", columns: Sequence[str] | None = None) -> Any:
        """One of the run's tables by its name. As `problems`."""
        if as_ not in ("arrow", "pandas", "polars"):
            raise InvalidInput(f"as_={as_!r}: must be arrow, pandas or polars")
        readers = {
            "problems": self._run.problems,
            "steps": self._run.steps,
            "requests": self._run.requests,
            "rollouts": self._run.rollouts,
        }
        if name not in readers:
            raise InvalidInput(f"{name}: must be one of {', '.join(readers)}")
        rows = readers[name]()
        if columns is not None:
            unknown = [column for column in columns if column not in rows.column_names]
            if unknown:
                raise InvalidInput(
                    f"columns: {name} has no {', '.join(unknown)}; it has {', '.join(rows.column_names)}"
                )
            rows = rows.select(list(columns))
        return _converted(rows, as_)


def open_run(run: str | PathLike[str]) -> StoredRun:
    """Open a run's folder or s3:// prefix for reading, whatever state it is in. Open again to see what came since.

    >>> open_run("runs/first").problems(as_="polars")  # doctest: +SKIP

    Raises:
        InvalidInput: there is no run.
        StoreFailed: its folder is damaged or cannot be read.
    """
    return StoredRun(read_run(str(run)))


def _converted(rows: Any, as_: As) -> Any:
    try:
        if as_ == "pandas":
            return rows.to_pandas()
        if as_ == "polars":
            import polars

            return polars.from_arrow(rows)
    except ImportError as error:
        raise InvalidInput(f"as_={as_!r}: {as_} is not installed; pip install {as_}") from error
    return rows
