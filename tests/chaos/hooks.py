"""In the processes of a schedule: hooks around the product's edges, put there as its modules are imported.

stores       each durable write is told to the gate before and after it is done, and done as the gate says
actors       tell which role this process has
engines      tell how many tokens each sample had
channels     lose and delay replies, as many as the environment says
health       a replica that hangs is noticed sooner
Ray          has more than half a minute to start, on machines that have other things to do
"""

import asyncio
import contextlib
import functools
import importlib.abc
import importlib.machinery
import json
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

GATE = "PARSIMONY_CHAOS_GATE"
"""Environment variable: path of the gate's socket."""
REPLIES = "PARSIMONY_CHAOS_REPLIES"
"""Shares of a channel's replies that are lost, and that come late: "0.02 0.1"."""
HEALTH = "PARSIMONY_CHAOS_HEALTH"
"""Seconds of silence after which a replica is asked for a sign of life, and that it has for it: "3 6"."""
GO, FAIL, LOST = "go", "fail", "lost"
"""Answers: do it; fail instead of doing it; do it, and fail all the same."""
LATE_S = 2.0
RAY_STARTS_S = 120.0


def ask(**message: object) -> str:
    """Tell the gate and wait for its answer; without a gate there is nothing to wait for."""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(os.environ[GATE])
            line.sendall(json.dumps({"pid": os.getpid(), **message}).encode() + b"\n")
            return line.makefile().readline().strip() or GO
    except OSError:
        return GO


def install() -> None:
    """Have the modules below changed when they are imported."""
    sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        change = _CHANGES.get(fullname)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path) if change else None
        if change is None or spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_change(module: ModuleType) -> None:
            execute(module)
            change(module)

        spec.loader.exec_module = execute_and_change  # type: ignore[method-assign]
        return spec


def _store(name: str) -> Callable[[ModuleType], None]:
    def change(module: ModuleType) -> None:
        store = getattr(module, name)
        for verb in ("create", "replace", "upload", "delete"):
            setattr(store, verb, _gated(getattr(store, verb), verb))

    return change


def _gated(write: Callable[..., Any], verb: str) -> Callable[..., Any]:
    @functools.wraps(write)
    def gated(self: Any, name: str, *arguments: Any) -> Any:
        from records.failure import StoreFailed  # noqa: PLC0415 - in processes that write only

        failed = StoreFailed(f"{verb} {name}: as chaos has it")
        answer = ask(tell="write", when="before", verb=verb, name=name)
        if answer == FAIL:
            raise failed
        result = write(self, name, *arguments)
        if answer == LOST or ask(tell="write", when="after", verb=verb, name=name) == LOST:
            raise failed
        return result

    return gated


def _role(name: str, role: str) -> Callable[[ModuleType], None]:
    def change(module: ModuleType) -> None:
        played = getattr(module, name)
        begin = played.__init__

        @functools.wraps(begin)
        def told(self: Any, *arguments: Any, **named: Any) -> None:
            ask(tell="role", role=role)
            begin(self, *arguments, **named)

        played.__init__ = told

    return change


def _samples(name: str) -> Callable[[ModuleType], None]:
    def change(module: ModuleType) -> None:
        engine = getattr(module, name)
        sample = engine.sample

        @functools.wraps(sample)
        async def told(self: Any, request: Any, *recall: Any) -> Any:
            made = await sample(self, request, *recall)
            ask(tell="sample", tokens=len(made.token_ids))
            return made

        engine.sample = told

    return change


class _Deaf:
    """In place of a connection: what is sent on it is lost, and it with it."""

    def __init__(self, frames: Any) -> None:
        self._frames = frames

    def send(self, _frame: bytes) -> None:
        self._frames.close()


def _replies(module: ModuleType) -> None:
    if REPLIES not in os.environ:
        return
    lost, late = map(float, os.environ[REPLIES].split())
    answer = module.ChannelServer._answer

    @functools.wraps(answer)
    async def answered(self: Any, frames: Any, asked: Any) -> None:
        fate = random.random()
        if fate < lost:
            ask(tell="reply", fate="lost")
            frames = _Deaf(frames)
        elif fate < lost + late:
            ask(tell="reply", fate="late")
            await asyncio.sleep(LATE_S * random.random())
        await answer(self, frames, asked)

    module.ChannelServer._answer = answered


def _health(module: ModuleType) -> None:
    if HEALTH in os.environ:
        interval_s, deadline_s = map(float, os.environ[HEALTH].split())
        _, _, backoff_s = module.HealthCheck.__init__.__defaults__
        module.HealthCheck.__init__.__defaults__ = (interval_s, deadline_s, backoff_s)


def _patience(module: ModuleType) -> None:
    get_node = module.get_node

    @functools.wraps(get_node)
    def patient(*arguments: Any, **named: Any) -> Any:
        deadline_s = time.monotonic() + RAY_STARTS_S
        while True:
            try:
                return get_node(*arguments, **named)
            except RuntimeError:
                if time.monotonic() > deadline_s or _raylet_has_ended():
                    raise
                time.sleep(0.2)

    module.get_node = patient  # type: ignore[attr-defined]


def _raylet_has_ended() -> bool:
    """A raylet whose agents take more than 15 s to start ends by itself, and its driver waits for it in vain."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, fields = stat.read_text().rpartition(")")  # a name may hold anything
            state, parent = fields.split()[:2]
            if name.endswith("(raylet") and (state, int(parent)) == ("Z", os.getpid()):
                return True
    return False


_CHANGES: dict[str, Callable[[ModuleType], None]] = {
    "cluster.store": _store("LocalStore"),
    "cluster.s3": _store("S3Store"),
    "actors.replicas.generator": _role("Generator", "generator"),
    "actors.replicas.prm": _role("Prm", "prm"),
    "actors.controller.controller": _role("Controller", "controller"),
    "actors.writer.writer": _role("Writer", "writer"),
    "actors.trainer.trainer": _role("Trainer", "trainer"),
    "actors.engines.scripted.engines": _samples("ScriptedGenerator"),
    "actors.engines.serving.vllm_generator": _samples("VllmGenerator"),
    "cluster.channel": _replies,
    "actors.controller.replica_client": _health,
    "ray._private.services": _patience,
}
"""By module, what is done to it once it is imported."""
