"""Data inside a page: JSON that no text can break out of, and compressed chunks that are opened when they are needed.

trees, in the order of their worth --> chunks of JSON --zlib (gzip)--> base64 --> as many as there is room for
"""

import base64
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CHUNK_BYTES = 200_000
"""Of JSON, about: inflated in milliseconds, and large enough to compress well."""
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


def pack_trees(trees: Iterable[Mapping[str, Any]], *, max_bytes: int) -> Chunks:
    """As many trees, from the first on, as fit.

    Args:
        trees: as `tree_json` makes them; read only as far as there is room.
        max_bytes: of all chunks together, in base64.
    """
    texts: list[str] = []
    places: dict[str, tuple[int, int]] = {}
    for batch in _batches(trees):
        left = max_bytes - sum(map(len, texts))
        count, text = _as_many_as_fit([body for _, body in batch], left)
        if count:
            places |= {name: (len(texts), place) for place, (name, _) in enumerate(batch[:count])}
            texts.append(text)
        if count < len(batch):
            break
    return Chunks(tuple(texts), places)


def _batches(trees: Iterable[Mapping[str, Any]]) -> Iterator[list[tuple[str, str]]]:
    """(problem id, JSON) of trees, `CHUNK_BYTES` or a little more at a time."""
    batch: list[tuple[str, str]] = []
    size = 0
    for tree in trees:
        batch.append((tree["id"], _json(tree)))
        size += len(batch[-1][1])
        if size >= CHUNK_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


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
