"""Work that ends early when nobody needs more of it."""

import asyncio

import pytest

from actors.engines.recall import unless_recalled


async def test_it_is_cancelled_by_its_recall_and_with_its_caller():
    ended = []

    async def work():
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("ended")

    recall = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.01, recall.set_result, None)
    assert await unless_recalled(work(), recall) is None
    assert ended == ["ended"]
    task = asyncio.create_task(unless_recalled(work(), asyncio.get_running_loop().create_future()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["ended", "ended"]


async def test_what_it_comes_to_is_told_and_raised():
    async def fails():
        raise ValueError("so")

    recall = asyncio.get_running_loop().create_future()
    assert await unless_recalled(asyncio.sleep(0, 7), recall) == 7
    assert await unless_recalled(asyncio.sleep(0, 7), None) == 7
    with pytest.raises(ValueError, match="so"):
        await unless_recalled(fails(), recall)


async def test_work_that_is_thrown_away_with_its_loop_says_nothing():
    """As where a test, or a process, ends with calls under way: nobody is there to wait for what they come to."""
    work = unless_recalled(asyncio.sleep(3600, 1), asyncio.get_running_loop().create_future())
    work.send(None)
    work.close()
