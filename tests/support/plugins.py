"""Strategies and PRM families as a user would write them, right and wrong."""

from dataclasses import replace
from pathlib import Path as FolderPath

from actors.engines.prm.families import FAMILIES, Family
from records.path import Path
from records.request import Expand, Score, Until
from scaling.strategy import SearchLimits, Strategy
from scaling.uncertainty.selection import choose_by_vote


def first_of(root: Path, *, limits: SearchLimits, num_samples: int) -> Strategy:
    reply = yield Expand(((root, num_samples),), Until.END, limits.max_tokens)
    return choose_by_vote(reply.paths[:1], None)


def raises(root: Path, *, limits: SearchLimits) -> Strategy:
    yield Expand(((root, 1),), Until.END, limits.max_tokens)
    raise KeyError("a user's mistake")


def returns_nothing(root: Path, *, limits: SearchLimits):
    yield Expand(((root, 1),), Until.END, limits.max_tokens)


def asks_for_scores(root: Path, *, limits: SearchLimits) -> Strategy:
    reply = yield Score((root,))
    return choose_by_vote(reply.paths, None)


def reasoneval_by_another_name(model: FolderPath) -> Family:
    return replace(FAMILIES["reasoneval"], name="mine")


def no_family(model: FolderPath) -> str:
    return "reasoneval"


def no_grader(answer: str, reference: str) -> bool:
    raise LookupError("no such answer")
