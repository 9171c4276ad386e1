"""The commit log: which part files a reader sees, in which order, whoever wrote them.

    commit     1     2     3     4     5     6
    epoch      1     1     2     1     2     2
    parts      a     b     -     c     d     e
                           ^     ^
             fence of epoch 2    void: epoch 1 after epoch 2 was here

Commits are numbered from 1 without gaps, and never change: each is created, if absent, after the writer has read all
before it. A new epoch begins with a commit that holds no parts (its fence). A commit of an epoch lower than one before
it is void for every reader (the fencing rule), so what readers see only ever grows, and an old controller that wakes up
adds nothing. Each commit carries the run's totals up to and including itself, so the last visible one says it all.

Steps and requests of a problem may become visible before its row: they are its journal, from which another controller
goes on. A commit says whose they are (`opened`), and which problems with such rows end with it (`closed`).

Tokens: `leased_tokens` is a ceiling committed ahead of the spending. Of it, `totals.generated_tokens` belong to
problems with a row and `open_tokens` to steps of problems without one yet; `lost_tokens` were leased by controllers
that died before they could say what they spent. All three count as spent.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from records.jsonio import added
from records.rows import ProblemRow, Status
from records.run_folder.layout import TABLES, is_part_name
from records.usage import Usage


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file: its table, its name in the run, its rows, its size and hash as written."""

    table: str
    name: str
    rows: int
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        """Refuse a name that is not a part's: a reader opens whatever stands here."""
        if self.table not in TABLES or not self.name.startswith(f"{self.table}/") or not is_part_name(self.name):
            raise ValueError(f"{self.name!r} is no part of table {self.table!r}")


@dataclass(frozen=True, slots=True)
class Compaction:
    """One part in the place of several.

    Attributes:
        part: holds the rows of these, one after another, in their order.
        replaces: names of parts of the same table that are visible before the commit, neighbours in commit order.
    """

    part: Part
    replaces: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse names of other files: a writer deletes them one day."""
        strays = [
            name for name in self.replaces if not name.startswith(f"{self.part.table}/") or not is_part_name(name)
        ]
        if strays or not self.replaces:
            raise ValueError(f"{self.part.name!r} replaces {strays or 'nothing'}")


@dataclass(frozen=True, slots=True)
class OpenRows:
    """A problem without a row whose steps and requests are among a commit's parts, and the tokens of those steps."""

    problem_id: str
    generated_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What the problem rows of a run add up to.

    Attributes:
        succeeded: problems of each status, likewise `failed`, `budget_exhausted`, `cancelled`.
        correct: of the graded ones.
        graded: problems whose `correct` is not null.
        generated_tokens: the columns of the same names, summed; likewise the token columns after it and `flops`.
        wall_seconds: time that controllers have held the run, up to the last commit of each.
        generator_seconds: replica-seconds, likewise `prm_seconds`; `gpu_seconds` and `usd` null where no row has them.
        finished_samples: that came to their end; `unanswered_samples`: of these, those that state no answer.
        thinking_tokens: of thoughts, a part of `generated_tokens`; null where no row tells.
        unfinished_thoughts: samples that ended within their thought, likewise those of which a budget closed or
            prolonged one (`closed_thoughts`, `prolonged_thoughts`).
    """

    succeeded: int = 0
    failed: int = 0
    budget_exhausted: int = 0
    cancelled: int = 0
    correct: int = 0
    graded: int = 0
    generated_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    pruned_tokens: int = 0
    prm_tokens: int = 0
    prm_cached_tokens: int = 0
    flops: float = 0.0
    wall_seconds: float = 0.0
    generator_seconds: float = 0.0
    prm_seconds: float = 0.0
    gpu_seconds: float | None = None
    usd: float | None = None
    finished_samples: int = added(2, 0)
    unanswered_samples: int = added(2, 0)
    thinking_tokens: int | None = added(2, None)
    unfinished_thoughts: int = added(2, 0)
    closed_thoughts: int = added(2, 0)
    prolonged_thoughts: int = added(2, 0)

    def __post_init__(self) -> None:
        """Refuse what no sum of rows is: negative, NaN, infinite."""
        for counter in fields(self):
            total = getattr(self, counter.name)
            if total is not None and not 0 <= total < math.inf:
                raise ValueError(f"totals.{counter.name} is {total}")

    @property
    def problems(self) -> int:
        """Number of problems that have a row."""
        return self.succeeded + self.failed + self.budget_exhausted + self.cancelled

    def plus(self, rows: Iterable[ProblemRow], *, wall_seconds: float = 0.0) -> "Totals":
        """These totals with `rows` and `wall_seconds` added."""
        sums = {counter.name: getattr(self, counter.name) for counter in fields(self)}
        for row in rows:
            sums[Status(row.status).value] += 1
            sums["graded"] += row.correct is not None
            sums["correct"] += row.correct is True
            sums["finished_samples"] += row.num_finished or 0
            sums["unanswered_samples"] += row.num_unanswered or 0
            sums["unfinished_thoughts"] += row.num_unfinished_thoughts or 0
            sums["closed_thoughts"] += row.num_closed_thoughts or 0
            sums["prolonged_thoughts"] += row.num_prolonged_thoughts or 0
            for column in _SUMMED:
                sums[column] += getattr(row, column)
            for column in _SUMMED_IF_KNOWN:
                value = getattr(row, column)
                sums[column] = sums[column] if value is None else (sums[column] or 0) + value
        return replace(Totals(**sums), wall_seconds=self.wall_seconds + wall_seconds)


_SUMMED = (
    "generated_tokens", "prompt_tokens", "cached_tokens", "pruned_tokens", "prm_tokens", "prm_cached_tokens", "flops",
    "generator_seconds", "prm_seconds",
)  # fmt: skip
_SUMMED_IF_KNOWN = ("gpu_seconds", "usd", "thinking_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit.

    Attributes:
        number: from 1, without gaps.
        epoch: of the controller that made it.
        writer: token of the writer that made it, unique to that object.
        parts: the files that it makes visible.
        batches: the writer's batches whose rows these are; numbers are unique in the run.
        opened: problems without a row that have steps or requests in these parts.
        closed: problems that were open in a commit before this one and have their row here.
        totals: of the run, this commit included.
        open_tokens: generated tokens in the steps of all problems without a row, likewise.
        lost_tokens: leased by dead controllers and never accounted for.
        leased_tokens: ceiling on what the run has spent until the next commit; at least accounted + open + lost.
        usage: of the replicas in this epoch so far; None where the controller has not said, as in a fence.
        created_at: UTC, ISO 8601.
        compactions: parts that take the place of others from this commit on; none of them adds a row.
        removed: earlier commits, by number: the parts that their compactions had replaced are deleted.
    """

    number: int
    epoch: int
    writer: str
    parts: tuple[Part, ...]
    batches: tuple[int, ...]
    opened: tuple[OpenRows, ...]
    closed: tuple[str, ...]
    totals: Totals
    open_tokens: int
    lost_tokens: int
    leased_tokens: int
    usage: Usage | None
    created_at: str
    compactions: tuple[Compaction, ...] = added(2, ())
    removed: tuple[int, ...] = added(2, ())

    def __post_init__(self) -> None:
        """Refuse what no writer makes."""
        if self.number < 1 or self.epoch < 1:
            raise ValueError(f"commit {self.number} of epoch {self.epoch}: both count from 1")
        if self.lost_tokens < 0 or self.open_tokens < 0:
            raise ValueError("lost_tokens or open_tokens is negative")
        if self.leased_tokens < self.totals.generated_tokens + self.open_tokens + self.lost_tokens:
            raise ValueError("leased_tokens is less than what is accounted for and lost")


def visible(commits: Iterable[Commit]) -> list[Commit]:
    """The commits that count, given all of them in order: those of no epoch lower than one before them."""
    seen: list[Commit] = []
    epoch = 0
    for commit in commits:
        if commit.epoch >= epoch:
            seen.append(commit)
        epoch = max(epoch, commit.epoch)
    return seen
