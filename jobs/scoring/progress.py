"""The display of a run at work: snapshots, the rates between them, and how they are shown.

    controller --Progress--> Rates (windows over past snapshots) --> a live view on a terminal
                                                                 --> plain lines elsewhere: every 5 s, and new phases

Everything goes to stderr; stdout is for results. The time is the snapshots' own `elapsed_s`: no clock is read here.
"""

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple

from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jobs.display.live import PLAIN_INTERVAL_S, LiveDisplay
from jobs.display.numbers import count, duration, percent, ratio
from records.progress import Progress

TOKEN_WINDOW_S = 30.0
SECONDS_PER_HOUR = 3600
ETA_WINDOW_S = 300.0
"""Long enough to see many problems end, short enough to notice a lost replica."""


class Pace(NamedTuple):
    """How fast a run goes.

    Attributes:
        tokens_per_s: generated tokens per second; None while unknown.
        eta_s: seconds until the last problem is done; None while unknown.
    """

    tokens_per_s: float | None
    eta_s: float | None


class Rates:
    """Tokens per second and time left, from past snapshots.

    Start-up does not count: both windows begin when the first problem is in work.
    """

    def __init__(self) -> None:
        self._snapshots: deque[Progress] = deque()

    def add(self, progress: Progress) -> None:
        """Take in a newer snapshot."""
        if self._snapshots:
            idle = progress.open_problems == 0 and progress.done_problems == self._snapshots[0].done_problems
            if idle or progress.elapsed_s < self._snapshots[-1].elapsed_s:  # a new phase may count from 0 again
                self._snapshots.clear()
        self._snapshots.append(progress)
        while len(self._snapshots) > 2 and progress.elapsed_s - self._snapshots[1].elapsed_s >= ETA_WINDOW_S:
            self._snapshots.popleft()

    @property
    def pace(self) -> Pace:
        """Pace over the latest snapshots."""
        if not self._snapshots:
            return Pace(None, None)
        done_per_s = self._rate("done_problems", ETA_WINDOW_S)
        return Pace(self._rate("made_tokens", TOKEN_WINDOW_S), time_left_s(self._snapshots[-1], done_per_s))

    def _rate(self, counter: str, window_s: float) -> float | None:
        now = self._snapshots[-1]
        before = [past for past in self._snapshots if now.elapsed_s - past.elapsed_s >= window_s]
        past = before[-1] if before else self._snapshots[0]
        passed_s = now.elapsed_s - past.elapsed_s
        if passed_s <= 0:
            return None
        return float(getattr(now, counter) - getattr(past, counter)) / passed_s


def time_left_s(progress: Progress, done_per_s: float | None) -> float | None:
    """Seconds until the last problem is done; None while the pace is unknown."""
    left = progress.total_problems - progress.done_problems
    if left <= 0:
        return 0.0
    return left / done_per_s if done_per_s else None


def plain_line(progress: Progress, pace: Pace) -> str:
    """One line for a log."""
    parts = [
        f"[{duration(progress.elapsed_s)}] {progress.phase}",
        f"{progress.done_problems}/{progress.total_problems} problems{_asides(progress)}",
        f"accuracy {_accuracy(progress)}",
        f"{_spend(progress)}, {count(pace.tokens_per_s)}/s",
        *([cost] if (cost := held_text(progress)) else ()),
        f"replicas {_replicas(progress)}",
        f"time left {duration(pace.eta_s)}",
    ]
    return " | ".join(parts)


def live_view(progress: Progress, pace: Pace) -> Group:
    """Three lines for a terminal: the bar, the spend, the fleet."""
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        Text(progress.phase, style="bold"),
        ProgressBar(total=max(progress.total_problems, 1), completed=progress.done_problems, width=40),
        f"{progress.done_problems}/{progress.total_problems} problems{_asides(progress)}",
    )
    cached = percent(ratio(progress.cached_tokens, progress.prompt_tokens))
    spend = (
        f"{_spend(progress)}, {count(pace.tokens_per_s)}/s | prompts {count(progress.prompt_tokens)} ({cached} cached)"
        f" | PRM {count(progress.prm_tokens)}{f' | {cost}' if (cost := held_text(progress)) else ''}"
    )
    state = (
        f"accuracy {_accuracy(progress)} | replicas {_replicas(progress)}"
        f" | {duration(progress.elapsed_s)} passed, {duration(pace.eta_s)} left"
    )
    return Group(bar, Text(spend), Text(state))


def _asides(progress: Progress) -> str:
    named = (
        (progress.open_problems, "open"),
        (progress.failed_problems, "failed"),
        (progress.exhausted_problems, "out of budget"),
    )
    shown = ", ".join(f"{number} {name}" for number, name in named if number)
    return f" ({shown})" if shown else ""


def _accuracy(progress: Progress) -> str:
    return f"{percent(ratio(progress.correct, progress.graded))} of {progress.graded} graded"


def _spend(progress: Progress) -> str:
    return _of_cap(progress.made_tokens, progress.total_tokens_cap, "tokens")


def held_text(progress: Progress) -> str:
    """What the replicas' time has come to: "0.12 USD (24.0% of 0.5), 1.3 GPU-hours"; "" where nobody knows."""
    usd, gpu_seconds, cap_s = progress.usd, progress.gpu_seconds, progress.total_gpu_seconds_cap
    parts = [] if usd is None else [_of_cap(usd, progress.total_usd_cap, "USD")]
    if gpu_seconds is not None:
        cap_h = None if cap_s is None else cap_s / SECONDS_PER_HOUR
        parts.append(_of_cap(gpu_seconds / SECONDS_PER_HOUR, cap_h, "GPU-hours"))
    return ", ".join(parts)


def _of_cap(spent: float, cap: float | None, unit: str) -> str:
    said = f"{count(spent)} {unit}"
    return said if cap is None else f"{said} ({percent(spent / cap)} of {count(cap)})"


def _replicas(progress: Progress) -> str:
    lost = f", {progress.replicas_lost} lost" if progress.replicas_lost else ""
    waiting = f" ({progress.waiting})" if progress.waiting else ""
    return f"{progress.replicas_ready}/{progress.replicas_wanted}{lost}{waiting}"


class ProgressDisplay(LiveDisplay):
    """Shows snapshots as they come: `with ProgressDisplay(console) as display: display.show(progress)`.

    Attributes:
        listeners: who else hears of each.
    """

    def __init__(self, console: Console | None = None) -> None:
        """`console`: where to; stderr if not given."""
        super().__init__(console)
        self.listeners: list[Callable[[Progress], None]] = []
        self._rates = Rates()
        self._last_shown: Progress | None = None
        self._last: Progress | None = None

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Show the last snapshot and leave it there."""
        super().__exit__(_type, _error, _trace)
        if self._live is None and self._last is not None and self._last is not self._last_shown:
            self._print(self._last)

    def show(self, progress: Progress) -> None:
        """Take in a snapshot; on a terminal it is drawn, elsewhere it is a line if one is due."""
        self._rates.add(progress)
        self._last = progress
        for listener in self.listeners:
            listener(progress)
        if not self._drawn(live_view(progress, self._rates.pace)) and self._due(progress):
            self._print(progress)

    def _due(self, progress: Progress) -> bool:
        shown = self._last_shown
        if shown is None or progress.phase != shown.phase:
            return True
        return not 0 <= progress.elapsed_s - shown.elapsed_s < PLAIN_INTERVAL_S

    def _print(self, progress: Progress) -> None:
        self._last_shown = progress
        self.note(plain_line(progress, self._rates.pace))
