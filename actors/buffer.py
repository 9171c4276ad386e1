"""What a writer was given and has not put into parts yet, and the guard against a problem that comes twice."""

from collections.abc import Collection, Iterable, Sequence

from records.rows import ProblemRecord, RequestRow, StepRow


class Buffer:
    """Finished problems on their way to the next commit.

    Args:
        done: ids of the problems that have a visible row.
        batches: numbers of the visible batches.
    """

    def __init__(self, done: Iterable[str], batches: Iterable[int]) -> None:
        self._ids = set(done)
        self._batches = set(batches)
        self._records: list[ProblemRecord] = []
        self._waiting: list[int] = []

    def __len__(self) -> int:
        """Problems that wait."""
        return len(self._records)

    def append(self, batch: int, records: Sequence[ProblemRecord]) -> None:
        """Take a batch in; one whose number is known is ignored.

        Raises:
            AssertionError: a problem has a row already, a record holds another problem's rows, or the known batch held
                other problems: a bug of the caller that must not reach the tables.
        """
        ids = [record.problem.problem_id for record in records]
        if batch in self._batches:
            if not self._ids.issuperset(ids):
                raise AssertionError(f"batch {batch} was appended before, with other problems")
            return
        fresh: set[str] = set()
        for record, problem_id in zip(records, ids, strict=True):
            _check_owner(record)
            if problem_id in self._ids or problem_id in fresh:
                raise AssertionError(f"batch {batch}: problem {problem_id!r} has a row already")
            fresh.add(problem_id)
        self._ids |= fresh
        self._batches.add(batch)
        self._records.extend(records)
        self._waiting.append(batch)

    def waiting(self) -> tuple[list[ProblemRecord], tuple[int, ...]]:
        """The problems that wait, and their batches."""
        return self._records, tuple(self._waiting)

    def clear(self) -> None:
        """Forget what waits, now that it is in parts."""
        self._records, self._waiting = [], []

    def check_complete(self, problem_ids: Collection[str]) -> None:
        """Raises `AssertionError` unless each of `problem_ids`, and nothing else, was taken in or done before."""
        wanted = set(problem_ids)
        if len(wanted) != len(problem_ids):
            raise AssertionError(f"{len(problem_ids) - len(wanted)} problem ids of the input come twice")
        for what, ids in (("has no row", wanted - self._ids), ("is not in the input", self._ids - wanted)):
            if ids:
                raise AssertionError(f"problem {min(ids)!r} {what}, like {len(ids) - 1} others")


def _check_owner(record: ProblemRecord) -> None:
    problem_id = record.problem.problem_id
    rows: list[StepRow | RequestRow] = [*record.steps, *record.requests]
    strays = {row.problem_id for row in rows} - {problem_id}
    if strays:
        raise AssertionError(f"the record of problem {problem_id!r} holds rows of {min(strays)!r}")
