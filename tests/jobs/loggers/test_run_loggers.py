"""Loggers: what they are told, and that nothing which they do, or fail to do, costs the run anything."""

import threading
from collections.abc import Mapping
from dataclasses import replace

import pytest

from jobs.loggers import run_loggers
from jobs.loggers.run_loggers import RunLoggers, progress_values
from records.progress import Progress

BEGUN = Progress(
    phase="scoring", total_problems=8, done_problems=0, failed_problems=0, exhausted_problems=0, graded=0, correct=0,
    open_problems=8, generated_tokens=0, prompt_tokens=0, cached_tokens=0, prm_tokens=0, total_tokens_cap=None,
    elapsed_s=0.0, replicas_ready=2, replicas_wanted=2, replicas_lost=0,
)  # fmt: skip


class Heard:
    """A logger that remembers, and fails or waits where it is told to."""

    def __init__(self, *, fails_at: str = "", waits: threading.Event | None = None) -> None:
        self.heard: list[tuple[str, object]] = []
        self._fails_at, self._waits = fails_at, waits

    def _hear(self, what: str, value: object) -> None:
        if self._waits is not None:
            self._waits.wait()
        if what == self._fails_at:
            raise RuntimeError("no such project\nand more")
        self.heard.append((what, value))

    def begin(self, settings: run_loggers.Settings, run: str) -> None:
        self._hear("begin", (dict(settings), run))

    def progress(self, elapsed_s: float, values: Mapping[str, float]) -> None:
        self._hear("progress", (elapsed_s, values["problems/done"]))

    def finish(self, values: Mapping[str, float], *, finished: bool) -> None:
        self._hear("finish", (values.get("problems/done"), finished))


def told(*loggers: Heard, snapshots: int = 5, finished: bool = True) -> list[str]:
    notes: list[str] = []
    named = {f"l{at}": logger for at, logger in enumerate(loggers)}
    with RunLoggers(named, settings={"seed": 1}, run="runs/a", note=notes.append) as loggers_:
        for at in range(snapshots):
            loggers_.show(replace(BEGUN, done_problems=at, elapsed_s=4.0 * at))
        loggers_.finished = finished
    return notes


@pytest.mark.parametrize("finished", [True, False])
def test_they_hear_the_settings_a_snapshot_now_and_then_and_the_last(finished):
    logger = Heard()
    assert told(logger, snapshots=7, finished=finished) == []
    assert logger.heard == [
        ("begin", ({"seed": 1}, "runs/a")), ("progress", (0.0, 0.0)), ("progress", (12.0, 3.0)),
        ("progress", (24.0, 6.0)), ("finish", (6.0, finished)),
    ]  # fmt: skip


@pytest.mark.parametrize("where", ["begin", "progress", "finish"])
def test_one_that_fails_is_a_warning_and_the_other_hears_all(where):
    other = Heard()
    [note] = told(Heard(fails_at=where), other)
    assert note == "warning: loggers: l0 failed and is left out from now on: no such project"
    assert [what for what, _ in other.heard] == ["begin", "progress", "progress", "finish"]


def test_one_that_hangs_holds_up_nobody(monkeypatch):
    monkeypatch.setattr(run_loggers, "FAREWELL_S", 0.05)
    never = threading.Event()
    [note] = told(Heard(waits=never), snapshots=1000)
    assert note == "warning: loggers: l0 does not answer; its last numbers may be missing"
    never.set()


def test_a_new_controller_counts_from_zero_and_is_told_at_once():
    logger, notes = Heard(), list[str]()
    with RunLoggers({"l": logger}, settings={}, run="r", note=notes.append) as loggers:
        for elapsed_s in (0.0, 50.0, 0.5):
            loggers.show(replace(BEGUN, elapsed_s=elapsed_s))
    assert [value[0] for what, value in logger.heard if what == "progress"] == [0.0, 50.0, 0.5]


def test_what_is_not_known_is_not_told():
    assert {"accuracy", "cost/usd", "cost/gpu_seconds"}.isdisjoint(progress_values(BEGUN))
    assert progress_values(replace(BEGUN, graded=4, correct=1, usd=0.5))["accuracy"] == 0.25
