"""TensorBoard: event files of one run in a folder, by tensorboardX, which needs no TensorFlow and no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.loggers.run_loggers import Settings

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter


class TensorBoardLogger:
    """Scalars over seconds, settings and the run's address as text.

    Args:
        folder: of TensorBoard; the run gets one of its own in it.
        name: of the run.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder / name
        self._writer: SummaryWriter | None = None

    def begin(self, settings: Settings, run: str) -> None:
        """Open the event file."""
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(self._folder))
        lines = "\n".join(f"| {key} | {value} |" for key, value in settings.items())
        self._writer.add_text("settings", f"| setting | value |\n|---|---|\n{lines}")
        self._writer.add_text("run", run)

    def progress(self, elapsed_s: float, values: Mapping[str, float]) -> None:
        """A point on every curve."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, round(elapsed_s))

    def finish(self, values: Mapping[str, float], *, finished: bool) -> None:
        """The summary as text, beside the curves."""
        if self._writer is not None:
            lines = "\n".join(f"| {key} | {value:g} |" for key, value in values.items())
            self._writer.add_text("summary", f"| | {'finished' if finished else 'stopped'} |\n|---|---|\n{lines}")
            self._writer.close()
