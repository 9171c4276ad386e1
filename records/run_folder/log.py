"""What the commits of a run add up to: the parts that a reader sees, the problems that are open, what was spent."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from records.failure import Damaged
from records.run_folder.commits import Commit, Compaction, Part, Totals
from records.run_folder.layout import JOURNAL_TABLES, Table
from records.usage import UsagePoint, add_usage

CHECKPOINT_EVERY = 100
"""Commits between two checkpoints, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenProblem:
    """A problem without a row, some of whose steps and requests are visible.

    Attributes:
        problem_id: its id.
        generated_tokens: of those steps.
        parts: names of the parts of `steps` and `requests` that hold such rows, in commit order.
    """

    problem_id: str
    generated_tokens: int
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Replaced:
    """Parts that are visible no more, and not deleted yet: those that the compactions of one commit have replaced.

    Attributes:
        commit: its number.
        at: when it was made, UTC, ISO 8601.
    """

    commit: int
    at: str


@dataclass(kw_only=True)
class Log:
    """What commits 1 to `number` add up to; grows by one commit at a time.

    Attributes:
        number: of the last commit, void ones included; 0 before the first.
        epoch: of the last visible commit; 0 before the first.
        checkpoint: number of the newest checkpoint known.
        bytes_since: of the commits after it, as they were read or written.
        parts: visible; those of one table in the order of their rows' commits.
        replaced: what has been replaced and is not removed, as far as commits say, in order.
        batches: visible.
        open_problems: by id.
        usages: of the visible commits that say it, in order; of each epoch at most `MAX_USAGES`, evenly in time, the
            first and the last among them.
    """

    number: int = 0
    epoch: int = 0
    checkpoint: int = 0
    bytes_since: int = field(default=0, compare=False)
    parts: list[Part] = field(default_factory=list)
    replaced: list[Replaced] = field(default_factory=list)
    batches: set[int] = field(default_factory=set)
    open_problems: dict[str, OpenProblem] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)
    lost_tokens: int = 0
    leased_tokens: int = 0
    usages: list[UsagePoint] = field(default_factory=list)

    @property
    def open_tokens(self) -> int:
        """Generated tokens in the steps of problems without a row."""
        return sum(problem.generated_tokens for problem in self.open_problems.values())

    @property
    def accounted_tokens(self) -> int:
        """Tokens generated according to the rows that are visible."""
        return self.totals.generated_tokens + self.open_tokens

    @property
    def spent_tokens(self) -> int:
        """Accounted for in rows, or lost."""
        return self.accounted_tokens + self.lost_tokens

    def add(self, commit: Commit) -> bool:
        """Take in the next commit. False, and only `number` changes, if it is void.

        Raises:
            ValueError: it is not the next one.
            Damaged: it replaces parts that are not there.
        """
        if commit.number != self.number + 1:
            raise ValueError(f"commit {commit.number} does not follow commit {self.number}")
        self.number = commit.number
        if commit.epoch < self.epoch:
            return False
        self.epoch = commit.epoch
        for compaction in commit.compactions:
            self._compact(compaction)
        if commit.compactions:
            self.replaced.append(Replaced(commit.number, commit.created_at))
        if commit.removed:
            self.replaced = [one for one in self.replaced if one.commit not in commit.removed]
        self.parts.extend(commit.parts)
        self.batches.update(commit.batches)
        self._move_open(commit)
        self.totals = commit.totals
        self.lost_tokens = commit.lost_tokens
        self.leased_tokens = commit.leased_tokens
        if commit.usage is not None:
            add_usage(self.usages, UsagePoint(epoch=commit.epoch, created_at=commit.created_at, usage=commit.usage))
        return True

    def _compact(self, compaction: Compaction) -> None:
        """Put one part where its rows stand in others."""
        new, names = compaction.part, compaction.replaces
        own = [part for part in self.parts if part.table == new.table]
        start = next((place for place, part in enumerate(own) if part.name == names[0]), len(own))
        old = own[start : start + len(names)]
        if tuple(part.name for part in old) != names or sum(part.rows for part in old) != new.rows:
            raise Damaged(
                f"commit {self.number} is damaged: {new.name} with {new.rows} rows replaces {len(names)} parts from "
                f"{names[0]} on, which are not there like that"
            )
        gone = set(names)
        self.parts = [
            new if part.name == names[0] else part
            for part in self.parts
            if part.name == names[0] or part.name not in gone
        ]
        if new.table in JOURNAL_TABLES:
            self.open_problems = {
                name: _moved(problem, dict.fromkeys(names, new.name)) for name, problem in self.open_problems.items()
            }

    def _move_open(self, commit: Commit) -> None:
        parts = tuple(part.name for part in commit.parts if part.table in JOURNAL_TABLES)
        for rows in commit.opened:
            before = self.open_problems.get(rows.problem_id)
            tokens, earlier = (before.generated_tokens, before.parts) if before is not None else (0, ())
            self.open_problems[rows.problem_id] = OpenProblem(
                problem_id=rows.problem_id, generated_tokens=tokens + rows.generated_tokens, parts=earlier + parts
            )
        for problem_id in commit.closed:
            self.open_problems.pop(problem_id)

    def parts_of(self, table: Table) -> list[Part]:
        """The visible parts of one table, in commit order."""
        return [part for part in self.parts if part.table == table]


def _moved(problem: OpenProblem, places: Mapping[str, str]) -> OpenProblem:
    """A problem whose rows have moved: part -> part that holds its rows now."""
    if not any(name in places for name in problem.parts):
        return problem
    return replace(problem, parts=tuple(dict.fromkeys(places.get(name, name) for name in problem.parts)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """`_SUCCESS`: every one of `num_problems` inputs has exactly one row, as of `commit`. The rest as in `Commit`."""

    commit: int
    epoch: int
    num_problems: int
    totals: Totals
    lost_tokens: int
    finished_at: str

    @classmethod
    def of(cls, log: "Log", *, finished_at: str) -> "Success":
        """The run as `log` leaves it."""
        return cls(
            commit=log.number,
            epoch=log.epoch,
            num_problems=log.totals.problems,
            totals=log.totals,
            lost_tokens=log.lost_tokens,
            finished_at=finished_at,
        )
