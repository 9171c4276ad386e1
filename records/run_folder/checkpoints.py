"""Reading the commit log, and the checkpoints that keep that fast.

A checkpoint is `_commits/<number>.checkpoint.json`: what commits 1 to `number` add up to (all visible parts so far).
Commits never change, so anyone who writes the checkpoint of a number writes the same; it is created if absent, by the
writer's next commit after it falls due: `CHECKPOINT_EVERY` commits after the one before, and not before these commits
together are as large as it is. So all checkpoints of a run together are never larger than its commits. A reader takes
the newest one and the commits after it. It is only ever a short cut: without any, the log reads the same.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from records.failure import Damaged
from records.jsonio import added, decode, encode_small
from records.run_folder import layout
from records.run_folder.commits import Commit, Part, Totals
from records.run_folder.log import Log, OpenProblem, Replaced
from records.run_folder.parallel import in_parallel
from records.usage import UsagePoint


class Files(Protocol):
    """The half of a `Store` that a reader needs. Several threads ask at a time."""

    def read(self, name: str) -> bytes | None:
        """The content of `name`; None if there is none."""
        ...

    def list(self, prefix: str) -> list[str]:
        """All names that begin with `prefix`, sorted."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A `Log` as JSON. `batch_ranges` are pairs (first, last), ascending: batches are mostly consecutive."""

    number: int
    epoch: int
    parts: tuple[Part, ...]
    batch_ranges: tuple[tuple[int, ...], ...]
    open_problems: tuple[OpenProblem, ...]
    totals: Totals
    lost_tokens: int
    leased_tokens: int
    usages: tuple[UsagePoint, ...]
    replaced: tuple[Replaced, ...] = added(2, ())

    def __post_init__(self) -> None:
        """Refuse ranges that are not ascending pairs."""
        bounds = [bound for pair in self.batch_ranges for bound in pair]
        if any(len(pair) != 2 for pair in self.batch_ranges) or any(a > b for a, b in pairwise(bounds)):
            raise ValueError("batch_ranges are not ascending pairs")


def encode_checkpoint(log: Log) -> bytes:
    """The checkpoint of `log.number`."""
    checkpoint = Checkpoint(
        number=log.number,
        epoch=log.epoch,
        parts=tuple(log.parts),
        batch_ranges=_ranges(log.batches),
        open_problems=tuple(log.open_problems.values()),
        totals=log.totals,
        lost_tokens=log.lost_tokens,
        leased_tokens=log.leased_tokens,
        usages=tuple(log.usages),
        replaced=tuple(log.replaced),
    )
    return encode_small(checkpoint)


def decode_checkpoint(data: bytes, name: str) -> Log:
    """The log that `encode_checkpoint` was given. Raises `Damaged` if the file is not one."""
    checkpoint = decode(Checkpoint, data, name)
    return Log(
        number=checkpoint.number,
        epoch=checkpoint.epoch,
        checkpoint=checkpoint.number,
        parts=list(checkpoint.parts),
        batches={batch for first, last in checkpoint.batch_ranges for batch in range(first, last + 1)},
        open_problems={problem.problem_id: problem for problem in checkpoint.open_problems},
        totals=checkpoint.totals,
        lost_tokens=checkpoint.lost_tokens,
        leased_tokens=checkpoint.leased_tokens,
        usages=list(checkpoint.usages),
        replaced=list(checkpoint.replaced),
    )


def read_log(files: Files) -> Log:
    """The commit log as it stands.

    Raises:
        Damaged: a commit is missing, or a file is not what its name says.
    """
    names = files.list(layout.COMMITS)
    log = _newest_checkpoint(files, names)
    _add_commits(files, names, log)
    return log


def catch_up(files: Files, log: Log) -> None:
    """Take in the commits since `log` was read: what costs little to ask again and again. Raises as `read_log`."""
    _add_commits(files, files.list(layout.COMMITS), log)


def _add_commits(files: Files, names: list[str], log: Log) -> None:
    last = max((number for name in names if (number := layout.commit_number(name))), default=0)
    # Commit by commit rather than from the listing, which may show a newer name and miss an older one.
    for commit, num_bytes in in_parallel(lambda number: _read_commit(files, number), range(log.number + 1, last + 1)):
        log.add(commit)
        log.bytes_since += num_bytes


def read_commit(files: Files, number: int) -> Commit:
    """Commit `number`. Raises `Damaged` if it is missing or not one."""
    return _read_commit(files, number)[0]


def _read_commit(files: Files, number: int) -> tuple[Commit, int]:
    """A commit, and its size in bytes."""
    name = layout.commit_name(number)
    data = _existing(files, name)
    commit = decode(Commit, data, name)
    if commit.number != number:
        raise Damaged(f"{name} holds commit {commit.number}")
    return commit, len(data)


def _newest_checkpoint(files: Files, names: list[str]) -> Log:
    number = max((number for name in names if (number := layout.checkpoint_number(name))), default=0)
    if not number:
        return Log()
    name = layout.checkpoint_name(number)
    log = decode_checkpoint(_existing(files, name), name)
    if log.number != number:
        raise Damaged(f"{name} holds the checkpoint of commit {log.number}")
    return log


def _existing(files: Files, name: str) -> bytes:
    data = files.read(name)
    if data is None:
        raise Damaged(f"{name} is gone: the run is damaged")
    return data


def _ranges(numbers: set[int]) -> tuple[tuple[int, int], ...]:
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return tuple(ranges)
