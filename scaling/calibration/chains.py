"""From the token ids of many prefixes to few sequences: one forward pass scores every prefix that lies on its sequence.

    q s1 s2 s3   one sequence, read at the last token of q, of q s1, of q s1 s2 and of itself
    q s1 t2      another one, read at its own end only: q and q s1 are read on the first

A model that looks back only computes the same at a place whatever follows it, so a prefix may be read on any sequence
that begins with its ids. What no other sequence begins with (a bare question with a suffix of its own) stands alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from scaling.seeds import seed_for

TRAINING, STOPPING, CONFORMAL, TEST = "training", "stopping", "conformal", "test"
"""The splits: what is fitted on, what says when to stop, what the conformal shift is fitted on, what is reported."""


@dataclass(frozen=True, slots=True)
class Chain:
    """One sequence and the rows that are read on it.

    Attributes:
        ids: token ids, at least one.
        places: indices into `ids` where scores are read, rising; rows with the same ids share one.
        rows: the row that is read at each place.
    """

    ids: tuple[int, ...]
    places: tuple[int, ...]
    rows: tuple[int, ...]


def pack(sequences: Sequence[tuple[int, ...]]) -> list[Chain]:
    """The fewest sequences on which all are read, each once.

    In lexicographic order a sequence that is the beginning of any other is the beginning of the next one. So the rows
    of a chain are neighbours, and a chain ends with the first that its successor does not begin with.

    Args:
        sequences: the ids of each row, at least one token each.

    Returns:
        Chains in lexicographic order of their ids; which row is on which does not depend on the order of the rows.
    """
    if not all(sequences):
        raise ValueError("a sequence without tokens has no place to be read at")
    order = sorted(range(len(sequences)), key=lambda row: sequences[row])
    chains: list[Chain] = []
    held: list[int] = []
    for row, following in zip_longest(order, order[1:]):
        held.append(row)
        ids = sequences[row]
        if following is None or sequences[following][: len(ids)] != ids:
            chains.append(Chain(ids, tuple(len(sequences[each]) - 1 for each in held), tuple(held)))
            held = []
    return chains


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Shares of the problems that each split gets; what they leave is trained on."""

    stopping: float
    conformal: float
    test: float


def split_of(problem_id: str, *, seed: int, shares: Shares) -> str:
    """The split of a problem, by a hash of its name: the same in every data set, whatever else is in it.

    Problems are split and never rows, because rows of one problem are far from independent.
    """
    at = seed_for("split", seed, problem_id) / 2**63
    for name, share in ((TEST, shares.test), (CONFORMAL, shares.conformal), (STOPPING, shares.stopping)):
        if at < share:
            return name
        at -= share
    return TRAINING
