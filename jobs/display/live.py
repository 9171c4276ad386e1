"""What every display shares: a live view on a terminal, plain lines elsewhere, and notes that stay.

All of it goes to stderr; stdout is for results.
"""

from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live

from jobs.display.consoles import new_console

PLAIN_INTERVAL_S = 5.0
"""Time between two plain lines."""


class LiveDisplay:
    """A view that is drawn again and again on a terminal, and not at all elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        """`console`: where to; stderr if not given."""
        self._console = console or new_console(stderr=True)
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Begin the live view, on a terminal."""
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False)
            self._live.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Leave the last view there."""
        if self._live is not None:
            self._live.stop()

    def note(self, text: str) -> None:
        """Say something that stays: above the live view on a terminal, a line of its own elsewhere."""
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)

    def _drawn(self, view: RenderableType) -> bool:
        """Draw the view; False where there is no terminal to draw it on."""
        if self._live is None:
            return False
        self._live.update(view, refresh=True)
        return True
