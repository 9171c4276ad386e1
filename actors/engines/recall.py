"""Work that ends early when nobody needs more of it: it is not thrown away, what it has come to is its result."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")

Recall = asyncio.Future[None]
"""Done when nobody needs more of a call."""


async def unless_recalled(work: Coroutine[Any, Any, _T], recall: Recall | None) -> _T | None:
    """What comes of some work; None, and the work is cancelled, where its recall is done before."""
    if recall is None:
        return await work
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task, recall), return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        await _cancelled(task)
        raise
    if task.done():
        return task.result()
    await _cancelled(task)
    return None


async def _cancelled(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
