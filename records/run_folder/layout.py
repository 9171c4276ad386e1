"""The names of everything in a run folder. They are a contract: other people's scripts depend on them.

    RUN/_manifest.json                          what decides results; created once
        _epochs/N.json                          lease of controller N, with its heartbeat
        problems/ steps/ requests/part-*.parquet   rows; visible only where a commit names them
        rollouts/part-*.parquet                 likewise, of `parsimony rollout`
        _commits/0000000001.json                commit 1: the parts that it makes visible
        _commits/0000000100.checkpoint.json     what commits 1 to 100 add up to
        _SUCCESS                                written once, when every input has exactly one row

Names are relative to the run, with forward slashes. Table readers that glob skip names with a leading underscore.
"""

import re
from typing import Literal, get_args

from records.bounded import MAX_JSON_BYTES

Table = Literal["problems", "steps", "requests", "rollouts"]
TABLES: tuple[Table, ...] = get_args(Table)
JOURNAL_TABLES: tuple[Table, ...] = ("steps", "requests")
"""Those that hold rows of problems without a row of their own: what a resume goes on from."""

MANIFEST = "_manifest.json"
SUCCESS = "_SUCCESS"
COMMITS = "_commits/"
EPOCHS = "_epochs/"

MAX_PART_BYTES = 512 * 2**20
"""Of a part that is held in memory; the writer's are some megabytes."""
MAX_NUMBER_DIGITS = 18
"""Of an epoch or a commit: more is no number of ours."""

_COMMIT = re.compile(r"_commits/(\d{10})\.json")
_CHECKPOINT = re.compile(r"_commits/(\d{10})\.checkpoint\.json")
_EPOCH = re.compile(r"_epochs/(\d+)\.json")
_PART = re.compile(r"(?:problems|steps|requests|rollouts)/part-[0-9a-z-]+\.parquet")


def commit_name(number: int) -> str:
    """File name of commit `number`, counted from 1."""
    return f"{COMMITS}{number:010d}.json"


def commit_number(name: str) -> int | None:
    """The number of a commit's name; None for any other name."""
    return _number(_COMMIT, name)


def checkpoint_name(number: int) -> str:
    """The checkpoint of commits 1 to `number`."""
    return f"{COMMITS}{number:010d}.checkpoint.json"


def checkpoint_number(name: str) -> int | None:
    """The last commit of a checkpoint's name; None for any other name."""
    return _number(_CHECKPOINT, name)


def epoch_name(epoch: int) -> str:
    """The lease of `epoch`, counted from 1."""
    return f"{EPOCHS}{epoch}.json"


def epoch_number(name: str) -> int | None:
    """The number of a lease's name; None for any other name."""
    return _number(_EPOCH, name)


def part_name(table: Table, epoch: int, commit: int, sha256: str) -> str:
    """A part, named after the commit it was made for and its content, so that writing it again overwrites it alike."""
    return f"{table}/part-{epoch:06d}-{commit:010d}-{sha256[:8]}.parquet"


def part_commit(name: str) -> tuple[int, int]:
    """Epoch and commit that a part was made for: parts of one commit share them."""
    _, epoch, commit, _ = name.split("-")
    return int(epoch), int(commit)


def is_part_name(name: str) -> bool:
    """Whether `name` is a part of one of the tables, and no other place."""
    return _PART.fullmatch(name) is not None


def max_bytes(name: str) -> int | None:
    """How large a file of that name may be to be read whole; others are as large as they are."""
    if name.endswith(".parquet"):
        return MAX_PART_BYTES
    return MAX_JSON_BYTES if name == SUCCESS or name.endswith(".json") else None


def _number(pattern: re.Pattern[str], name: str) -> int | None:
    match = pattern.fullmatch(name)
    return int(match[1]) if match and len(match[1]) <= MAX_NUMBER_DIGITS else None
