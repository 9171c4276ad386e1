"""The display of a calibration at work: one line that stays up to date on a terminal, plain lines elsewhere."""

from rich.console import Console
from rich.text import Text

from actors.trainer.progress import TrainerProgress
from jobs.display.live import PLAIN_INTERVAL_S, LiveDisplay
from jobs.display.numbers import UNKNOWN, count, duration


def progress_line(progress: TrainerProgress) -> str:
    """One line for a log."""
    parts = [f"[{duration(progress.elapsed_s)}] {progress.phase}"]
    if progress.num_batches:
        parts += [
            f"batch {progress.done_batches}/{progress.num_batches} (epoch {progress.epoch:.1f})",
            f"loss {_loss(progress.loss)}",
            f"held out {_loss(progress.held_out_loss)}, best {_loss(progress.best_loss)}",
            f"{count(progress.prefixes_per_s)} prefixes/s",
            f"time left {duration(progress.time_left_s)}",
        ]
    return " | ".join(parts)


class CalibrationDisplay(LiveDisplay):
    """Shows what a trainer says of itself as it comes."""

    def __init__(self, console: Console | None = None) -> None:
        """`console`: where to; stderr if not given."""
        super().__init__(console)
        self._shown: TrainerProgress | None = None

    def show(self, progress: TrainerProgress) -> None:
        """Take it in; on a terminal it is drawn, elsewhere it is a line if one is due: new phases, evaluations, 5 s."""
        if not self._drawn(Text(progress_line(progress))) and self._due(progress):
            self._shown = progress
            self.note(progress_line(progress))

    def _due(self, progress: TrainerProgress) -> bool:
        shown = self._shown
        if shown is None or (progress.phase, progress.held_out_loss) != (shown.phase, shown.held_out_loss):
            return True
        return not 0 <= progress.elapsed_s - shown.elapsed_s < PLAIN_INTERVAL_S


def _loss(loss: float | None) -> str:
    return UNKNOWN if loss is None else f"{loss:.4f}"
