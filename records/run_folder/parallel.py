"""Many files of a run at once: an object store takes tens of milliseconds for one answer, and the same for sixteen."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

NUM_THREADS = 16
"""Questions that are out at a time: what they bring lies in memory until it is taken."""

_ItemT = TypeVar("_ItemT")
_FoundT = TypeVar("_FoundT")


def in_parallel(
    ask: Callable[[_ItemT], _FoundT], items: Sequence[_ItemT], *, num_threads: int = NUM_THREADS
) -> Iterator[_FoundT]:
    """`map(ask, items)`, in the order of the items, with `num_threads` of them asked at a time and as many held.

    The first that raises raises here, and what was not begun then never is.
    """
    if len(items) < 2:
        yield from map(ask, items)
        return
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="read")
    try:
        asked = deque(pool.submit(ask, item) for item in items[:num_threads])
        for item in items[num_threads:]:
            found = asked.popleft().result()
            asked.append(pool.submit(ask, item))
            yield found
        while asked:
            yield asked.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
