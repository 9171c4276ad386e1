"""rich's consoles as everything here uses them: sanitised, and as wide as what they write to."""

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook, RenderResult
from rich.segment import Segment

from jobs.display.terminal import plain
from records.addresses import without_passwords

TABLE_WIDTH = 120
"""Characters in a line of a table that goes to a file."""


def new_console(*, stderr: bool = False, width: int | None = None) -> Console:
    """A console whose every text is sanitised as it is drawn; its own colours and cursor moves are not."""
    made = Console(stderr=stderr, width=width)
    made.push_render_hook(_Sanitiser())
    return made


def table_console() -> Console:
    """Standard output for tables; a file or a pipe has no width of its own, and gets `TABLE_WIDTH`."""
    made = new_console()
    return made if made.is_terminal else new_console(width=TABLE_WIDTH)


class _Sanitiser(RenderHook):
    """Stands between what is to be drawn and the console."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Sanitised(each) for each in renderables]


class _Sanitised:
    """Something to draw, text by text as it may stand on a terminal."""

    def __init__(self, content: RenderableType) -> None:
        self._content = content

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._content, options):
            yield segment if segment.control else Segment(plain(without_passwords(segment.text)), segment.style)
