"""Where a run stands, read from its files alone.

_SUCCESS there                          finished
newest lease fresh, and not released    running: its last word says how far
otherwise                               stopped: what is visible stays; the command that resumes it
"""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

from rich.console import Console

from actors.writer.lease import newest_lease, owner_is_gone
from actors.writer.writer import FRESH_S
from jobs.display.numbers import duration, ratio
from jobs.scoring.abstention import AbstentionReader
from jobs.scoring.failures import FailureReader
from jobs.scoring.progress import Pace, held_text, plain_line, time_left_s
from jobs.scoring.summary import Summary, print_summary, summarize
from records.failure import InvalidInput
from records.jsonio import decode
from records.progress import Progress
from records.run_folder import layout
from records.run_folder.checkpoints import catch_up, read_log
from records.run_folder.epochs import Lease
from records.run_folder.log import Log
from records.run_folder.manifest import Manifest
from records.run_folder.store import Store


class State(StrEnum):
    """Where a run stands."""

    FINISHED = "finished"
    RUNNING = "running"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """A run as its files tell it.

    Attributes:
        state: where it stands.
        summary: of the visible rows.
        lease: of the newest epoch; None before the first.
        heartbeat_age_s: seconds since its last heartbeat; None before the first.
        progress: its last word; None if it said none.
        eta_s: seconds until the last problem is done, at the pace of the whole run; None unless it runs, or unknown.
    """

    state: State
    summary: Summary
    lease: Lease | None
    heartbeat_age_s: float | None
    progress: Progress | None
    eta_s: float | None


def read_status(store: Store, *, now_s: float) -> RunStatus:
    """Read where a run stands, once. `now_s` is seconds since 1970.

    Raises:
        InvalidInput: the store holds no run.
        StoreFailed: it cannot be read, or is damaged.
    """
    return StatusReader(store).read(now_s=now_s)


class StatusReader:
    """Reads where a run stands, again and again: what never changes is read once.

    Args:
        store: of the run.

    Raises:
        InvalidInput: the store holds no run.
        StoreFailed: it cannot be read, or is damaged.
    """

    def __init__(self, store: Store) -> None:
        data = store.read(layout.MANIFEST)
        if data is None:
            raise InvalidInput(f"{store.uri} is not a run: it has no {layout.MANIFEST}")
        self._store = store
        self._manifest = decode(Manifest, data, layout.MANIFEST)
        self._log: Log | None = None
        self._abstention = AbstentionReader(store, self._manifest.recipe)
        self._failures = FailureReader(store)

    def read(self, *, now_s: float) -> RunStatus:
        """Where it stands. `now_s` is seconds since 1970. Raises `StoreFailed`; another reading may go better."""
        lease = newest_lease(self._store)
        age_s = None if lease is None else lease.age_s(now_s)
        finished = self._store.read(layout.SUCCESS) is not None
        log = self._caught_up()
        state, progress = _state(finished, lease, age_s), _progress(lease)
        done_per_s = ratio(log.totals.problems, log.totals.wall_seconds)
        return RunStatus(
            state=state,
            summary=summarize(
                log.totals,
                run=self._store.uri,
                recipe=self._manifest.recipe,
                finished=finished,
                num_problems=self._manifest.num_problems,
                open_tokens=log.open_tokens,
                lost_tokens=log.lost_tokens,
                abstention=self._abstention.read(log.parts_of("problems")),
                failures=self._failures.read(log.parts_of("problems"), log.totals.failed),
            ),
            lease=lease,
            heartbeat_age_s=age_s,
            progress=progress,
            eta_s=time_left_s(progress, done_per_s) if progress is not None and state is State.RUNNING else None,
        )

    def _caught_up(self) -> Log:
        if self._log is None:
            self._log = read_log(self._store)
        else:
            catch_up(self._store, self._log)
        return self._log


def status_json(status: RunStatus) -> str:
    """For `--json`: one object with stable keys."""
    return json.dumps(asdict(status), indent=2, allow_nan=False)


def print_status(status: RunStatus, console: Console) -> None:
    """The status for people."""
    console.print(headline(status), soft_wrap=True, highlight=False, markup=False)
    if status.state is State.RUNNING and status.progress is not None:
        line = plain_line(status.progress, Pace(status.summary.tokens_per_second, status.eta_s))
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    print_summary(status.summary, console)
    if status.state is not State.RUNNING and status.progress is not None and (held := held_text(status.progress)):
        console.print(f"All time that replicas were held: {held}", soft_wrap=True, highlight=False, markup=False)


def _state(finished: bool, lease: Lease | None, age_s: float | None) -> State:
    if finished:
        return State.FINISHED
    if lease is None or age_s is None or lease.released_at is not None or age_s > FRESH_S or owner_is_gone(lease.owner):
        return State.STOPPED
    return State.RUNNING


def headline(status: RunStatus) -> str:
    """The run's state in a sentence."""
    if status.state is State.FINISHED:
        return "Finished."
    lease, age = status.lease, duration(status.heartbeat_age_s)
    if status.state is State.RUNNING and lease is not None:
        return f"Running: epoch {lease.epoch}, process {lease.owner.pid} on {lease.owner.host}, heard {age} ago."
    heard = "never begun" if lease is None else f"last heard {age} ago"
    resume = f"parsimony score PROBLEMS --recipe R.toml --output {status.summary.run}"
    return f"Stopped ({heard}). The same command resumes it: {resume}"


def _progress(lease: Lease | None) -> Progress | None:
    if lease is None or not lease.progress:
        return None
    return decode(Progress, json.dumps(lease.progress).encode(), layout.epoch_name(lease.epoch))
