"""The ids of the problems that have a row: exact, and a third of what a set of as many strings takes.

add --> recent (a set) --every `RECENT_IDS`--> old: ids as Arrow text, and their hashes, sorted
in  --> recent? else the hash is looked up, and ids of that hash are compared
"""

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

RECENT_IDS = 16_384
"""Ids in the set before they are packed: to pack them is to sort the hashes of all."""


class SeenIds:
    """A set of texts that only grows.

    Args:
        ids: that are in it from the beginning.
    """

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._recent = set(ids)
        self._chunks: list[pa.Array] = []
        self._hashes = np.zeros(0, np.uint64)
        # Of each hash: which chunk its id is in, and where.
        self._places = np.zeros((0, 2), np.int32)
        if len(self._recent) >= RECENT_IDS:
            self._pack()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._hashes) + len(self._recent)

    def __contains__(self, one: object) -> bool:
        """Whether this id is among them."""
        return one in self._recent or self._packed(str(one))

    def __iter__(self) -> Iterator[str]:
        """All of them, in no order."""
        for chunk in self._chunks:
            yield from chunk.to_pylist()
        yield from self._recent

    def add(self, one: str) -> None:
        """Take one in; without effect if it is there."""
        if one not in self:
            self._recent.add(one)
            if len(self._recent) >= RECENT_IDS:
                self._pack()

    def _packed(self, one: str) -> bool:
        wanted = _hash(one)
        first, last = (int(np.searchsorted(self._hashes, wanted, side)) for side in ("left", "right"))
        places = self._places[first:last].tolist()
        return any(self._chunks[chunk][at].as_py() == one for chunk, at in places)

    def _pack(self) -> None:
        ids = list(self._recent)
        hashes = np.array([_hash(one) for one in ids], np.uint64)
        places = np.stack([np.full(len(ids), len(self._chunks)), np.arange(len(ids))], axis=1).astype(np.int32)
        self._chunks.append(pa.array(ids, pa.string()))
        hashes, places = np.concatenate([self._hashes, hashes]), np.concatenate([self._places, places])
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._places = hashes[order], places[order]
        self._recent = set()


def _hash(one: str) -> np.uint64:
    digest = hashlib.blake2b(one.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "big"))
