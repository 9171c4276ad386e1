"""The owner's side of the watchdog: an engine's processes do not outlive the process that built the engine.

vLLM's engine process does not notice that its owner is gone. Ray ends the process group of an actor that dies, but when
the node's Ray dies with it, nobody does: the engine would keep its memory, the GPU's too, until somebody looks.
"""

import logging
import os
import subprocess
import sys
from typing import IO

from actors.engines.serving import watchdog_process

_log = logging.getLogger(__name__)
_pipes: set[IO[bytes]] = set()
"""The write ends. They close by themselves where a child runs a program; a fork that runs none has to do it."""


class EngineWatchdog:
    """A watchdog process of one engine. To be made before the engine, and closed after it."""

    def __init__(self) -> None:
        """Start the watchdog; without /proc (no Linux) there is none."""
        self._process: subprocess.Popen[bytes] | None = None
        me = watchdog_process.read_process(os.getpid())
        if me is None:
            return
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", watchdog_process.__file__, str(os.getpid()), str(me[1])],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,  # who reads our output waits for its end
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            start_new_session=True,  # what kills our process group must leave it
        )
        _pipes.add(self._pipe(self._process))

    def ready(self) -> None:
        """The engine is up: no more looking for new processes."""
        if self._process is None:
            return
        try:
            self._pipe(self._process).write(b"ready")
        except BrokenPipeError:
            status = self._process.wait()
            _log.warning("the engine's watchdog has ended (%s): the engine may outlive this process", status)

    def close(self) -> None:
        """End the watchdog; it ends nobody. Safe to repeat."""
        if self._process is None:
            return
        with self._process:
            self._process.kill()
        _pipes.discard(self._pipe(self._process))

    @staticmethod
    def _pipe(process: subprocess.Popen[bytes]) -> IO[bytes]:
        assert process.stdin is not None  # noqa: S101  # it was asked for
        return process.stdin


def _close_inherited() -> None:
    for pipe in _pipes:
        pipe.close()
    _pipes.clear()


os.register_at_fork(after_in_child=_close_inherited)
