"""What a writer was given and has not put into parts yet, and the guard against a problem that comes twice."""

from collections.abc import Collection, Iterable, Sequence

from records.rows import OpenRecord, ProblemRecord, RequestRow, StepRow
from records.run_folder.commits import OpenRows


class Buffer:
    """Rows on their way to the next commit.

    Args:
        done: ids of the problems that have a visible row.
        batches: numbers of the visible batches.
    """

    def __init__(self, done: Iterable[str], batches: Iterable[int]) -> None:
        self._ids = set(done)
        self._batches = set(batches)
        self._waiting: list[int] = []
        self.records: list[ProblemRecord] = []
        self.opened: list[OpenRecord] = []

    def __len__(self) -> int:
        """Finished problems that wait."""
        return len(self.records)

    @property
    def empty(self) -> bool:
        """Whether no row waits."""
        return not self.records and not self.opened

    @property
    def batches(self) -> tuple[int, ...]:
        """Numbers of the batches of rows that wait."""
        return tuple(self._waiting)

    @property
    def open_rows(self) -> tuple[OpenRows, ...]:
        """The problems among `opened` that do not end in `records`, with the tokens that wait of each."""
        ended = {record.problem.problem_id for record in self.records}
        tokens: dict[str, int] = {}
        for record in self.opened:
            if record.problem_id not in ended:
                tokens[record.problem_id] = tokens.get(record.problem_id, 0) + record.generated_tokens
        return tuple(OpenRows(problem_id, number) for problem_id, number in tokens.items())

    def append(self, batch: int, records: Sequence[ProblemRecord], opened: Sequence[OpenRecord] = ()) -> None:
        """Take a batch in: problems that ended, and rows of problems that have not. A known number is ignored.

        Raises:
            AssertionError: a problem has a row already, a record holds another problem's rows, or the known batch held
                other problems: a bug of the caller that must not reach the tables.
        """
        ids = [record.problem.problem_id for record in records]
        if batch in self._batches:
            if not self._ids.issuperset(ids):
                raise AssertionError(f"batch {batch} was appended before, with other problems")
            return
        for record in opened:
            _check_owner(record.problem_id, [*record.steps, *record.requests])
            if record.problem_id in self._ids:
                raise AssertionError(f"batch {batch}: problem {record.problem_id!r} has a row, and is not open")
        fresh: set[str] = set()
        for ended, problem_id in zip(records, ids, strict=True):
            _check_owner(problem_id, [*ended.steps, *ended.requests])
            if problem_id in self._ids or problem_id in fresh:
                raise AssertionError(f"batch {batch}: problem {problem_id!r} has a row already")
            fresh.add(problem_id)
        self._ids |= fresh
        self._batches.add(batch)
        self.records.extend(records)
        self.opened.extend(opened)
        self._waiting.append(batch)

    def clear(self) -> None:
        """Forget what waits, now that it is in parts."""
        self.records, self.opened, self._waiting = [], [], []

    def check_complete(self, problem_ids: Collection[str]) -> None:
        """Raises `AssertionError` unless each of `problem_ids`, and nothing else, was taken in or done before."""
        wanted = set(problem_ids)
        if len(wanted) != len(problem_ids):
            raise AssertionError(f"{len(problem_ids) - len(wanted)} problem ids of the input come twice")
        for what, ids in (("has no row", wanted - self._ids), ("is not in the input", self._ids - wanted)):
            if ids:
                raise AssertionError(f"problem {min(ids)!r} {what}, like {len(ids) - 1} others")


def _check_owner(problem_id: str, rows: Sequence[StepRow | RequestRow]) -> None:
    strays = {row.problem_id for row in rows} - {problem_id}
    if strays:
        raise AssertionError(f"the record of problem {problem_id!r} holds rows of {min(strays)!r}")
