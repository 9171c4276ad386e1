"""The channel between a controller and a replica's process: what is sent is what arrives, or its end is told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from cluster.channel import MAX_STRANGERS, Address, Channel, ChannelLost, ChannelServer
from records.calls import (
    CallFailed,
    PrefixMissing,
    SampleCall,
    Sampled,
    SampledStep,
    Sampling,
    ScoreCall,
    Scored,
    TextPrefix,
    TokenPrefix,
)
from records.failure import QueueFull, StaleEpoch
from records.path import FinishReason, PrmScore
from records.replica import Collected
from records.request import Until

SAMPLE = SampleCall("a/1/0~1", "id", TokenPrefix("1 + 1?", (5, 6)), Until.STEP, 96, 2**63 - 1, Sampling(0.7, 0.9), 20)
SCORE = ScoreCall("a/1/0/score~1", "id", TextPrefix("1 + 1?", ("one\n\n",)), ("two\n\n", "three"), every=True)
RESULTS = (
    Sampled(
        "a/1/0~1",
        (
            SampledStep("two\n\n", (7, 8), FinishReason.SEPARATOR, -0.25, (1.5, 2.5), -0.125),
            SampledStep("\N{SNOWMAN}", (9,), FinishReason.EOS, None),
        ),
        12, 3, 0.5, 1.5,
    ),
    Scored("a/1/0/score~1", (PrmScore(0.1, 0.5, 1.0), PrmScore(0.2, 0.5, 0.75)), 20, 16, True, 0.0, 0.25),
    PrefixMissing("b"),
    CallFailed("c", "too long", retryable=False),
)  # fmt: skip


class Echo:
    """A replica that keeps what it is asked, and answers as it is told."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.error: Exception | None = None
        self.silent = False
        self.heard = asyncio.Event()

    async def submit(self, *asked: object) -> None:
        self.asked.append(asked)
        if self.error is not None:
            raise self.error

    async def collect(self, *asked: object) -> Collected[object]:
        self.asked.append(asked)
        self.heard.set()
        if self.silent:
            await asyncio.Event().wait()
        return Collected(17, RESULTS, 4321)

    async def cancel(self, *asked: object) -> None:
        self.asked.append(asked)


@pytest_asyncio.fixture
async def served() -> AsyncIterator[tuple[Echo, Address, ChannelServer]]:
    echo = Echo()
    server = ChannelServer(echo)  # type: ignore[arg-type]
    yield echo, await server.start("127.0.0.1"), server
    server.close()
    await asyncio.sleep(0.01)  # what asyncio calls the end of a connection


async def test_what_is_sent_is_what_arrives(served):
    echo, address, _ = served
    channel = await Channel.connect(address, 5.0)
    bare = replace(SAMPLE, prefix=None, top_logprobs=0)
    await channel.submit("me", 3, [SAMPLE, bare])
    await channel.submit("me", 3, [SCORE])
    await channel.cancel("me", 3, ["a", "b"])
    collected = await channel.collect("me", 3, 11, 2.5)
    assert echo.asked == [("me", 3, [SAMPLE, bare]), ("me", 3, [SCORE]), ("me", 3, ["a", "b"]), ("me", 3, 11, 2.5)]
    assert (collected.last, collected.flying_tokens) == (17, 4321)
    assert sorted(collected.results, key=repr) == sorted(RESULTS, key=repr)
    channel.close()


@pytest.mark.parametrize("error", [StaleEpoch("epoch 9 has spoken"), QueueFull("full")])
async def test_a_named_failure_comes_out_as_itself(served, error):
    echo, address, _ = served
    echo.error = error
    channel = await Channel.connect(address, 5.0)
    with pytest.raises(type(error), match=str(error)):
        await channel.submit("me", 3, [SAMPLE])
    echo.error = None
    await channel.submit("me", 3, [SAMPLE])
    channel.close()


async def test_a_bug_is_shown_with_its_traceback(served):
    echo, address, _ = served
    echo.error = ZeroDivisionError("by zero")
    channel = await Channel.connect(address, 5.0)
    with pytest.raises(RuntimeError, match=r"(?s)in submit.*ZeroDivisionError: by zero"):
        await channel.submit("me", 3, [SAMPLE])
    channel.close()


async def test_what_cannot_be_written_is_said_to_its_asker(served, monkeypatch):
    _, address, _ = served
    half_a_pair = replace(RESULTS[-1], error="\ud800")
    monkeypatch.setitem(globals(), "RESULTS", (half_a_pair,))
    channel = await Channel.connect(address, 5.0)
    with pytest.raises(RuntimeError, match="surrogates not allowed"):
        await channel.collect("me", 3, 0, 1.0)
    with pytest.raises(UnicodeEncodeError):
        await channel.cancel("me", 3, ["\ud800"])
    assert channel._waiting == {}
    monkeypatch.undo()
    assert (await channel.collect("me", 3, 0, 1.0)).last == 17
    channel.close()


async def test_connections_that_say_nothing_are_few_and_end_with_the_server(served):
    _, address, server = served
    strangers = [await asyncio.open_connection(address.host, address.port) for _ in range(MAX_STRANGERS + 8)]
    channel = await Channel.connect(address, 5.0)
    assert (await channel.collect("me", 3, 0, 1.0)).last == 17
    assert len(server._connections) <= MAX_STRANGERS + 1
    server.close()
    for reader, writer in strangers:
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 5.0) == b""
        writer.close()


async def test_whoever_waits_hears_of_the_end(served):
    echo, address, server = served
    echo.silent = True
    channel = await Channel.connect(address, 5.0)
    waiting = asyncio.create_task(channel.collect("me", 3, 0, 60.0))
    await asyncio.wait_for(echo.heard.wait(), 5.0)
    server.close()
    with pytest.raises(ChannelLost):
        await waiting
    assert channel.lost
    with pytest.raises(ChannelLost):
        await channel.submit("me", 3, [SAMPLE])
    with pytest.raises(ChannelLost):
        await Channel.connect(address, 5.0)


@pytest.mark.parametrize("first", [b"\0" * 32, b"short", b"\0" * 33, b"\0" * 100_000], ids=len)
async def test_without_the_token_nothing_is_served(served, first):
    echo, address, _ = served
    channel = await Channel.connect(replace(address, token=first), 5.0)
    with pytest.raises(ChannelLost):
        await channel.submit("me", 3, [SAMPLE])
    assert echo.asked == []


async def test_many_frames_in_pieces_of_any_size(served):
    """A frame may come with others, or a byte at a time."""
    _, address, server = served
    channel = await Channel.connect(address, 5.0)
    replies = await asyncio.gather(*(channel.collect("me", 3, number, 0.0) for number in range(50)))
    assert [reply.last for reply in replies] == [17] * 50
    [frames] = server._known
    received: list[bytes] = []
    frames._on_frame = lambda _, frame: received.append(frame)
    for byte in b"\0\0\0\2hi\0\0\0\0\0\0\0\1!":
        frames.data_received(bytes([byte]))
    assert received == [b"hi", b"", b"!"]
    channel.close()
