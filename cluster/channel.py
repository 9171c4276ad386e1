"""A socket beside Ray for what travels thousands of times a second: calls to a replica and their results.

    controller                                             replica's process
      RayReplica --connect(address, token)-------------->  ChannelServer
        submit / collect / cancel as numbered frames  -->    the replica's own methods
        <-- the number, and what came of it

A remote call of Ray costs each side some 0.3 ms of processor time, a frame a tenth of that. What is rare (start,
health, end) stays with Ray. The address and the token come over Ray, which authenticates its callers; a connection that
does not begin with the token is closed. Frames are MessagePack of the types in `records.calls`: data, no code.

Guarantees: a frame is answered or its caller gets `ChannelLost`; the methods are idempotent (`records.replica`), so a
caller that has lost its channel asks again, over another one or over Ray. Named failures come out as themselves.
"""

import asyncio
import hmac
import secrets
import struct
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from records import failure
from records.calls import CallFailed, PrefixMissing, SampleCall, Sampled, ScoreCall, Scored
from records.failure import Failure
from records.replica import Collected, Replica

MAX_FRAME_BYTES = 2**30
_HEAD = struct.Struct(">I")
_TOKEN_BYTES = 32
TOKEN_S = 10.0
"""A connection that has not said the token by then is closed; there are at most `MAX_STRANGERS` of these."""
MAX_STRANGERS = 64


class ChannelLost(Exception):
    """The connection could not be made or has ended; what was under way may have happened or not."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a replica's process listens, and the token that it asks for."""

    host: str
    port: int
    token: bytes = field(repr=False)


class _Ask(msgspec.Struct, array_like=True, frozen=True):
    """One call of a method, by what its arguments are."""

    number: int
    method: str
    incarnation: str
    epoch: int
    samples: list[SampleCall] = []
    scores: list[ScoreCall] = []
    keys: list[str] = []
    acked: int = 0
    max_wait_s: float = 0.0


class _Reply(msgspec.Struct, array_like=True, frozen=True):
    """What came of it: results by their type, or a failure by its name."""

    number: int
    last: int = 0
    sampled: list[Sampled] = []
    scored: list[Scored] = []
    missing: list[PrefixMissing] = []
    failed: list[CallFailed] = []
    failure: str | None = None
    message: str = ""
    flying_tokens: int = 0


_encode = msgspec.msgpack.Encoder().encode
_read_ask: Callable[[bytes], _Ask] = msgspec.msgpack.Decoder(_Ask).decode
_read_reply: Callable[[bytes], _Reply] = msgspec.msgpack.Decoder(_Reply).decode


class _Frames(asyncio.Protocol):
    """Length-prefixed frames on one connection."""

    def __init__(self, on_frame: Callable[["_Frames", bytes], None], on_lost: Callable[["_Frames"], None]) -> None:
        self._on_frame, self._on_lost = on_frame, on_lost
        self._buffer = bytearray()
        self._closed = False
        self._transport: asyncio.Transport | None = None
        self.max_bytes = MAX_FRAME_BYTES

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _HEAD.size and not self._closed:
            (size,) = _HEAD.unpack_from(buffer)
            if size > self.max_bytes:
                self.close()
                return
            end = _HEAD.size + size
            if len(buffer) < end:
                return
            frame = bytes(memoryview(buffer)[_HEAD.size : end])
            del buffer[:end]
            self._on_frame(self, frame)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self._on_lost(self)

    def send(self, frame: bytes) -> None:
        """Write one frame; on a connection that is gone nothing happens."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_HEAD.pack(len(frame)) + frame)

    def close(self) -> None:
        """End the connection."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()


class ChannelServer:
    """Serves one replica to whoever has the token. Lives in the replica's event loop."""

    def __init__(self, replica: Replica[Any, Any]) -> None:
        self._replica = replica
        self._token = secrets.token_bytes(_TOKEN_BYTES)
        self._connections: set[_Frames] = set()
        self._known: set[_Frames] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str) -> Address:
        """Listen on a port of the system's choice."""
        self._server = await asyncio.get_running_loop().create_server(self._connection, host, 0)
        return Address(host, self._server.sockets[0].getsockname()[1], self._token)

    def close(self) -> None:
        """End all connections and listen no more."""
        if self._server is not None:
            self._server.close()
        for frames in list(self._connections):
            frames.close()

    def _connection(self) -> _Frames:
        frames = _Frames(self._on_frame, self._on_lost)
        frames.max_bytes = _TOKEN_BYTES  # until it has said the token
        if len(self._connections) - len(self._known) >= MAX_STRANGERS:
            next(iter(self._connections - self._known)).close()
        self._connections.add(frames)
        asyncio.get_running_loop().call_later(TOKEN_S, self._expect_token, frames)
        return frames

    def _expect_token(self, frames: _Frames) -> None:
        if frames not in self._known:
            frames.close()

    def _on_lost(self, frames: _Frames) -> None:
        self._connections.discard(frames)
        self._known.discard(frames)

    def _on_frame(self, frames: _Frames, frame: bytes) -> None:
        if frames in self._known:
            task = asyncio.create_task(self._answer(frames, _read_ask(frame)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif hmac.compare_digest(frame, self._token):
            self._known.add(frames)
            frames.max_bytes = MAX_FRAME_BYTES
        else:
            frames.close()

    async def _answer(self, frames: _Frames, ask: _Ask) -> None:
        try:
            frame = _encode(await self._serve(ask))
        except Failure as failed:
            frame = _encode(_Reply(ask.number, failure=type(failed).__name__, message=str(failed)))
        except Exception:  # noqa: BLE001 - a bug of ours: the caller shows it, as Ray would
            frame = _encode(_Reply(ask.number, failure="", message=traceback.format_exc()))
        frames.send(frame)

    async def _serve(self, ask: _Ask) -> _Reply:
        if ask.method == "submit":
            await self._replica.submit(ask.incarnation, ask.epoch, ask.samples or ask.scores)
        elif ask.method == "cancel":
            await self._replica.cancel(ask.incarnation, ask.epoch, ask.keys)
        else:
            found = await self._replica.collect(ask.incarnation, ask.epoch, ask.acked, ask.max_wait_s)
            return _reply_of(ask.number, found)
        return _Reply(ask.number)


def _reply_of(number: int, found: Collected[Any]) -> _Reply:
    def of(kind: type) -> list[Any]:
        return [result for result in found.results if type(result) is kind]

    kinds = (of(Sampled), of(Scored), of(PrefixMissing), of(CallFailed))
    return _Reply(number, found.last, *kinds, flying_tokens=found.flying_tokens)


class Channel:
    """The caller's end of one connection."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[_Reply]] = {}
        self._num_asked = 0
        self.lost = False
        self._frames = _Frames(self._on_frame, self._on_lost)

    @classmethod
    async def connect(cls, address: Address, timeout_s: float) -> "Channel":
        """Connect and say the token.

        Raises:
            ChannelLost: nobody answers there.
        """
        channel = cls()
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.get_running_loop().create_connection(lambda: channel._frames, address.host, address.port)
        except OSError as error:  # TimeoutError is one
            raise ChannelLost(f"{address.host}:{address.port}: {error or 'no answer'}") from error
        channel._frames.send(address.token)
        return channel

    def close(self) -> None:
        """End the connection."""
        self._frames.close()

    async def submit(self, incarnation: str, epoch: int, calls: Sequence[Any]) -> None:
        """See `Replica.submit`. Raises `ChannelLost` as all of these."""
        samples = [call for call in calls if isinstance(call, SampleCall)]
        scores = [call for call in calls if isinstance(call, ScoreCall)]
        await self._ask(_Ask(self._next(), "submit", incarnation, epoch, samples, scores))

    async def collect(self, incarnation: str, epoch: int, acked: int, max_wait_s: float) -> Collected[Any]:
        """See `Replica.collect`."""
        ask = _Ask(self._next(), "collect", incarnation, epoch, acked=acked, max_wait_s=max_wait_s)
        reply = await self._ask(ask)
        results = (*reply.sampled, *reply.scored, *reply.missing, *reply.failed)
        return Collected(reply.last, results, reply.flying_tokens)

    async def cancel(self, incarnation: str, epoch: int, keys: Sequence[str]) -> None:
        """See `Replica.cancel`."""
        await self._ask(_Ask(self._next(), "cancel", incarnation, epoch, keys=list(keys)))

    def _next(self) -> int:
        self._num_asked += 1
        return self._num_asked

    async def _ask(self, ask: _Ask) -> _Reply:
        if self.lost:
            raise ChannelLost("the connection has ended")
        frame = _encode(ask)
        future = self._waiting[ask.number] = asyncio.get_running_loop().create_future()
        self._frames.send(frame)
        try:
            reply: _Reply = await future
        finally:
            self._waiting.pop(ask.number, None)
        if reply.failure is not None:
            raise _failure(reply)
        return reply

    def _on_frame(self, _: _Frames, frame: bytes) -> None:
        reply = _read_reply(frame)
        future = self._waiting.get(reply.number)
        if future is not None and not future.done():
            future.set_result(reply)

    def _on_lost(self, _: _Frames) -> None:
        self.lost = True
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ChannelLost("the connection has ended"))


def _failure(reply: _Reply) -> Exception:
    """The failure that a replica raised; anything else is a bug, told with its traceback."""
    kind = getattr(failure, reply.failure or "", None)
    if isinstance(kind, type) and issubclass(kind, Failure):
        return kind(reply.message)
    return RuntimeError(f"a replica raised:\n{reply.message}")
