"""Data inside a page: JSON that no text can break out of, and compressed chunks that are opened when they are needed.

trees, in the order of their precedence --> chunks of JSON --zlib (gzip)--> base64 --> as many as there is room for
"""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CHUNK_BYTES = 200_000
"""Of JSON, about: inflated in milliseconds, and large enough to compress well."""
MAX_STEPS = 150_000
"""Of all trees in a page: to make more of them takes minutes, and nobody opens so many."""
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def script_json(value: Any) -> str:
    """JSON that can stand inside a `<script>`: without a character that ends it, in HTML or in JavaScript."""
    text = _json(value)
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text


def packed(value: Any) -> str:
    """JSON, gzip, base64: letters, digits, `+`, `/` and `=` only."""
    return _packed_text(_json(value))


@dataclass(frozen=True, slots=True)
class Chunks:
    """Trees as they are embedded.

    Attributes:
        texts: base64 of each chunk: a list of trees.
        places: problem id -> (chunk, place in it); of those that had room.
    """

    texts: tuple[str, ...]
    places: dict[str, tuple[int, int]]


class TreePacker:
    """Takes trees, as `tree_json` makes them, from the first on as long as there is room.

    Args:
        max_bytes: of all chunks together, in base64.
        max_steps: of all trees together, about.
    """

    def __init__(self, max_bytes: int, *, max_steps: int = MAX_STEPS) -> None:
        self.has_room = True
        self._left_bytes = max_bytes
        self._left_steps = max_steps
        self._texts: list[str] = []
        self._places: dict[str, tuple[int, int]] = {}
        self._ids: list[str] = []
        self._bodies: list[str] = []

    def add(self, tree: Mapping[str, Any], *, num_steps: int) -> None:
        """Take one more, of so many steps; without effect once there is no room."""
        if self.has_room:
            self._ids.append(tree["id"])
            self._bodies.append(_json(tree))
            self._left_steps -= num_steps
            if self._left_steps <= 0 or sum(map(len, self._bodies)) >= CHUNK_BYTES:
                self._close_chunk()

    def chunks(self) -> Chunks:
        """Chunks of all trees that had room."""
        if self._bodies:
            self._close_chunk()
        return Chunks(tuple(self._texts), self._places)

    def _close_chunk(self) -> None:
        count, text = _as_many_as_fit(self._bodies, self._left_bytes)
        self.has_room = count == len(self._bodies) and self._left_steps > 0
        if count:
            self._places |= {name: (len(self._texts), place) for place, name in enumerate(self._ids[:count])}
            self._texts.append(text)
            self._left_bytes -= len(text)
        self._ids, self._bodies = [], []


def _as_many_as_fit(bodies: Sequence[str], max_bytes: int) -> tuple[int, str]:
    """How many of a chunk's trees there is room for, from the first on, and their text."""
    count = len(bodies)
    while count:
        text = _packed_text(f"[{','.join(bodies[:count])}]")
        if len(text) <= max_bytes:
            return count, text
        count //= 2
    return 0, ""


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _packed_text(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode("ascii")
