"""An event loop whose clock jumps: whatever waits is woken in its order, and no time passes but processor time.

When nothing is ready the clock stands at the next timer at once. What would run in a thread runs here and now, so that
nothing real is ever waited for, and the same run has the same events in the same order.
"""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any


class Deadlock(RuntimeError):
    """Everything waits, and for nothing that could happen."""


class _Jumping(selectors.DefaultSelector):
    """Never blocks: to wait is to move the loop's clock."""

    loop: "SimulatedLoop"

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise Deadlock("every task waits, and no timer is set")
        if not ready and timeout:
            self.loop.now_s += timeout
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop on simulated time.

    Attributes:
        now_s: simulated seconds since the loop was made.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        selector = _Jumping()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Simulated seconds, as `asyncio` asks for them."""
        return self.now_s

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Run it here and now."""
        future: asyncio.Future[Any] = self.create_future()
        future.set_result(func(*args))
        return future
