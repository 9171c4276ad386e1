"""Which commits the rows of a part came with: of a part that stands for several, its own footer says it.

A compacted part holds the rows of those that it replaces, one after another. Readers that follow a run commit by
commit, to hold no more than the problems that are open, find in it where each commit's rows end.
"""

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import pyarrow as pa

from records.bounded import parse_json, quoted
from records.failure import Damaged
from records.run_folder.commits import Part
from records.run_folder.layout import part_commit

Segments = Sequence[tuple[int, int]]
"""(commit, rows) of stretches of rows, in order."""

_KEY = "parsimony.segments"


def segments_of(part: Part, metadata: Mapping[bytes, bytes] | None) -> Segments:
    """The stretches of a part's rows.

    Args:
        part: as its commit names it.
        metadata: of the file, as its footer has it.

    Raises:
        Damaged: what the footer says does not add up to the part.
    """
    text = (metadata or {}).get(_KEY.encode())
    if text is None:
        return [(part_commit(part.name)[1], part.rows)]
    try:
        segments = [(int(commit), int(rows)) for commit, rows in parse_json(text)]
    except (TypeError, ValueError, OverflowError) as error:
        raise Damaged(f"{part.name} is damaged: its footer says {quoted(text)}") from error
    ascending = all(before[0] <= after[0] for before, after in pairwise(segments))
    if not ascending or sum(rows for _, rows in segments) != part.rows or any(rows < 0 for _, rows in segments):
        raise Damaged(f"{part.name} is damaged: its footer does not say which commits its {part.rows} rows are of")
    return segments


def by_segment(segments: Segments, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Batches cut where a commit's rows end, each with its commit; none is empty."""
    left = deque(segments)
    for batch in batches:
        start = 0
        while start < batch.num_rows:
            commit, rows = left.popleft()
            piece = batch.slice(start, rows)
            start += piece.num_rows
            if rows > piece.num_rows:
                left.appendleft((commit, rows - piece.num_rows))
            if piece.num_rows:
                yield commit, piece


def segments_metadata(segments: Segments) -> dict[str, str]:
    """What the footer of a compacted part says."""
    return {_KEY: json.dumps(segments, separators=(",", ":"))}
