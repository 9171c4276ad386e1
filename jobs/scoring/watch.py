"""`parsimony status RUN --watch`: a run as its files tell it, again and again, until it is finished or stopped.

    store --StatusReader--> status --Rates--> a live view on a terminal
                                          --> a line each time elsewhere; with `--json` an object each time

The last word is the whole status, as without `--watch`. A store that fails on the way is said and asked again: nothing
is lost by waiting. One that fails at the first reading is an error, because then it may never have been the right one.
"""

import json as jsonlib
import time
from collections.abc import Callable
from dataclasses import asdict

from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from actors.writer.store_clock import StoreClock
from jobs.display.consoles import new_console
from jobs.display.live import LiveDisplay
from jobs.display.numbers import count, duration, percent, ratio
from jobs.display.terminal import err, out
from jobs.scoring.progress import Pace, Rates, held_text
from jobs.scoring.run_status import RunStatus, State, StatusReader, headline, print_status
from jobs.scoring.summary import accuracy_text, thoughts_text, unanswered_text
from records.failure import StoreFailed
from records.progress import Progress
from records.run_folder.store import Store

INTERVAL_S = 2.0
BAR_WIDTH = 40


def watch(
    store: Store,
    *,
    interval_s: float,
    json: bool,
    console: Console | None = None,
    clock: Callable[[], float] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Follow a run until it is finished or stopped.

    Args:
        store: of the run.
        interval_s: between two readings.
        json: an object on stdout for each reading, in a line.
        console: where else to; stdout if not given.
        clock: seconds since 1970; None: the store's.
        sleep: waits so many seconds.

    Raises:
        InvalidInput: there is no run.
        StoreFailed: it could not be read at the very first.
        KeyboardInterrupt: the user has seen enough.
    """
    console, clock = console or new_console(), clock or StoreClock(store)
    with _JsonLines() if json else WatchDisplay(console) as display:
        reader = StatusReader(store)
        status = reader.read(now_s=clock())
        display.show(status)
        while status.state is State.RUNNING:
            sleep(interval_s)
            try:
                status = reader.read(now_s=clock())
            except StoreFailed as failed:
                display.failed(failed)
            else:
                display.show(status)
    if not json:
        print_status(status, console)


class WatchDisplay(LiveDisplay):
    """Shows readings as they come; the last view makes way for the whole status."""

    def __init__(self, console: Console) -> None:
        """Show on `console`."""
        super().__init__(console)
        self._rates = _RatesOfReadings()
        self._shown: RunStatus | None = None

    def show(self, status: RunStatus) -> None:
        """Take in a reading."""
        self._shown = status
        running = status.state is State.RUNNING
        pace = self._rates.after(status)
        if not self._drawn(watch_view(status, pace) if running else Text("")) and running:
            self.note(watch_line(status, pace))

    def failed(self, failure: StoreFailed) -> None:
        """A reading failed; what was seen last stays in view."""
        text = f"{failure}; trying again"
        if self._shown is None or not self._drawn(Group(watch_view(self._shown, self._rates.last), Text(text))):
            self.note(text)


class _JsonLines:
    """Readings for programs on stdout; what goes wrong on stderr."""

    def __init__(self) -> None:
        self._rates = _RatesOfReadings()

    def __enter__(self) -> "_JsonLines":
        return self

    def __exit__(self, *_: object) -> None:
        """Leave what was shown."""

    def show(self, status: RunStatus) -> None:
        pace = self._rates.after(status)
        eta_s = pace.eta_s if status.state is State.RUNNING else None
        reading = asdict(status) | {"eta_s": eta_s, "tokens_per_second_now": pace.tokens_per_s}
        out(jsonlib.dumps(reading, allow_nan=False) + "\n")

    def failed(self, failure: StoreFailed) -> None:
        err(f"{failure}; trying again\n")


class _RatesOfReadings:
    """The pace of late, from the heartbeats that the readings carry; until there are two, the whole run's."""

    def __init__(self) -> None:
        self._rates = Rates()
        self._taken: Progress | None = None
        self.last = Pace(None, None)

    def after(self, status: RunStatus) -> Pace:
        """Pace after this reading."""
        if status.progress is not None and status.progress != self._taken:
            self._taken = status.progress
            self._rates.add(status.progress)
        now = self._rates.pace
        self.last = now if now.eta_s is not None else now._replace(eta_s=status.eta_s)
        return self.last


def watch_view(status: RunStatus, pace: Pace) -> Group:
    """A table for a terminal: a line each for state, problems, accuracy, tokens, time, replicas and queue."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    done, total = _done(status), status.summary.num_problems
    problems = Table.grid(padding=(0, 1))
    problems.add_row(ProgressBar(total=max(total, 1), completed=done, width=BAR_WIDTH), _problems(status))
    table.add_row("Problems", problems)
    for name, value in _rows(status, pace):
        table.add_row(name, Text(value))
    return Group(Text(headline(status)), table)


def watch_line(status: RunStatus, pace: Pace) -> str:
    """The same as one line for a log."""
    rows = [("problems", _problems(status)), *_rows(status, pace)]
    return " | ".join([status.state.value, *(f"{name.lower()} {value}" for name, value in rows)])


def _rows(status: RunStatus, pace: Pace) -> list[tuple[str, str]]:
    progress = status.progress
    rows = [("Accuracy", accuracy_text(status.summary))]
    rows += [("No answer", silent)] if (silent := unanswered_text(status.summary)) else []
    rows += [("Thoughts", thoughts)] if (thoughts := thoughts_text(status.summary)) else []
    if progress is None:
        return [*rows, ("Tokens", _tokens(status, status.summary.tokens["generated"], None, pace))]
    lost = f", {progress.replicas_lost} lost so far" if progress.replicas_lost else ""
    wanting = f" ({progress.waiting})" if progress.waiting else ""
    waiting, flying = f"{progress.waiting_samples} samples wait", f"{progress.flying_samples} in flight"
    return [
        *rows,
        ("Tokens", _tokens(status, progress.made_tokens, progress.total_tokens_cap, pace)),
        *([("Cost", cost)] if (cost := held_text(progress)) else ()),
        ("Time", f"{duration(progress.elapsed_s)} passed, {duration(pace.eta_s)} left ({progress.phase})"),
        ("Replicas", f"{progress.replicas_ready} of {progress.replicas_wanted} up{lost}{wanting}"),
        ("Queue", f"{waiting}, {flying}; {progress.flying_scores} scores in flight"),
    ]


def _done(status: RunStatus) -> int:
    return sum(status.summary.problems.values())


def _problems(status: RunStatus) -> str:
    counts = status.summary.problems
    named = [
        (status.progress.open_problems if status.progress is not None else 0, "open"),
        (counts["failed"], "failed"),
        (counts["budget_exhausted"], "out of budget"),
    ]
    asides = "".join(f", {number} {name}" for number, name in named if number)
    return f"{_done(status)} of {status.summary.num_problems}{asides}"


def _tokens(status: RunStatus, spent: int, cap: int | None, pace: Pace) -> str:
    tokens = status.summary.tokens
    capped = f" ({percent(spent / cap)} of {count(cap)})" if cap else ""
    cached = percent(ratio(tokens["cached"], tokens["prompt"]))
    prm = ""
    if tokens["prm"]:
        prm = f"; PRM {count(tokens['prm'])} ({percent(ratio(tokens['prm_cached'], tokens['prm']))} cached)"
    return (
        f"{count(spent)} generated{capped}, {count(pace.tokens_per_s)}/s now;"
        f" prompts {count(tokens['prompt'])} ({cached} cached){prm}"
    )
