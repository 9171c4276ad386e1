"""`status --watch`: a run that is written while somebody watches, on a terminal, in a pipe, in an object store."""

import codecs
import errno
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from actors.writer.lease import this_process
from actors.writer.writer import Writer
from cluster.store import LocalStore, open_store
from jobs.cli import main
from jobs.scoring.run_status import RunStatus, State, StatusReader, read_status
from jobs.scoring.watch import WatchDisplay, _JsonLines, watch
from records.failure import InvalidInput, StoreFailed
from records.packing import packed_rows
from records.progress import Progress
from records.run_folder.store import Store
from tests.records.builders import manifest, record
from tests.support.run_drivers import HookedStore

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
NUM_PROBLEMS = 6
LIMIT_S = 60.0
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class RunInProgress:
    """A run that a real writer writes, a piece at a time."""

    store: Store
    spool: Path
    done: int = 0
    writer: Writer = field(init=False)

    def __post_init__(self) -> None:
        self.writer = Writer(self.store, self.spool)
        self.writer.open(manifest(num_problems=NUM_PROBLEMS), this_process())
        self.beat()

    def beat(self) -> None:
        progress = Progress(
            phase="scoring",
            total_problems=NUM_PROBLEMS,
            done_problems=self.done,
            failed_problems=0,
            exhausted_problems=0,
            graded=self.done,
            correct=self.done,
            open_problems=2,
            generated_tokens=10 * self.done,
            prompt_tokens=10 * self.done,
            cached_tokens=3 * self.done,
            prm_tokens=20 * self.done,
            total_tokens_cap=1000,
            elapsed_s=10.0 * (self.done + 1),
            replicas_ready=3,
            replicas_wanted=4,
            replicas_lost=1,
            waiting_samples=5,
            flying_samples=64,
            flying_scores=7,
        )
        self.writer.heartbeat(asdict(progress))

    def score_one(self) -> None:
        self.done += 1
        self.writer.append(self.done, *packed_rows([record(f"p{self.done}")]))
        self.writer.flush()
        self.beat()

    def finish(self) -> None:
        while self.done < NUM_PROBLEMS:
            self.score_one()
        self.writer.finish([f"p{number}" for number in range(1, NUM_PROBLEMS + 1)], 10 * NUM_PROBLEMS)

    def advance(self) -> None:
        """One problem more; after the last one, finish."""
        if self.done < NUM_PROBLEMS:
            self.score_one()
        else:
            self.finish()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "run")


@contextmanager
def advancing_with_each_reading(run: RunInProgress, display: type[Any]) -> Iterator[None]:
    """Whenever a running run has been shown, it advances."""
    show = display.show

    def show_and_advance(self: Any, status: RunStatus) -> None:
        show(self, status)
        if status.state is State.RUNNING:
            run.advance()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(display, "show", show_and_advance)
        yield


@pytest.fixture
def run(store: LocalStore, tmp_path: Path) -> RunInProgress:
    return RunInProgress(store, tmp_path / "spool")


def watched(store: Store, steps: list[Callable[[], None]], *, terminal: bool = False) -> str:
    """What is shown of a run that makes one of these steps in each pause."""
    stream = StringIO()
    console = Console(file=stream, width=160, force_terminal=terminal)
    pauses = iter(steps)

    def sleep(seconds: float) -> None:
        assert seconds == 2.0
        next(pauses)()

    watch(store, interval_s=2.0, json=False, console=console, sleep=sleep)
    assert next(pauses, None) is None, "it went before the end"
    return stream.getvalue()


def test_a_run_is_followed_to_its_end_in_lines(run: RunInProgress) -> None:
    lines = watched(run.store, [run.score_one, run.score_one, run.finish]).splitlines()
    assert lines[0].startswith("running | problems 0 of 6, 2 open | accuracy unknown")
    assert lines[1].startswith("running | problems 1 of 6, 2 open | accuracy 100.0% (20.7% to 100.0% at 95%), 1 of 1")
    assert "tokens 20 generated (2.0% of 1k), 1/s now; prompts 20 (30.0% cached); PRM 40 (25.0% cached)" in lines[2]
    assert "30s passed, 40s left (scoring)" in lines[2]
    assert "replicas 3 of 4 up, 1 lost so far" in lines[2]
    assert "queue 5 samples wait, 64 in flight; 7 scores in flight" in lines[2]
    assert lines[3] == "Finished."
    assert any(line.split() == ["Problems", "6", "of", "6:", "6", "succeeded"] for line in lines)


def test_a_stopped_run_is_the_end_too(run: RunInProgress) -> None:
    run.score_one()
    shown = watched(run.store, [lambda: run.writer.release(10)])
    assert re.search(r"Stopped \(last heard \d+s ago\)\. The same command resumes it", shown)
    assert watched(run.store, []).startswith("Stopped")


def test_a_terminal_gets_one_view_that_is_drawn_again(run: RunInProgress) -> None:
    shown = watched(run.store, [run.score_one, run.finish], terminal=True)
    assert "running |" not in shown
    views = [ESCAPES.sub("", view) for view in shown.split("Running: ")[1:]]
    assert len(views) == 2
    assert "1 of 6, 2 open" in views[1]
    assert "2 of" not in views[0]
    assert "\x1b[1A" in shown  # up, to draw over
    assert "\x1b[?25h" in shown  # the cursor is there again
    assert ESCAPES.sub("", shown).rindex("Finished.") > ESCAPES.sub("", shown).rindex("Queue")


@pytest.mark.parametrize("terminal", [False, True])
def test_a_store_that_fails_on_the_way_is_asked_again(store: LocalStore, tmp_path: Path, terminal: bool) -> None:
    run = RunInProgress(store, tmp_path / "spool")
    out = False

    def outage(_operation: str, _name: str) -> None:
        if out:
            raise StoreFailed("the store is out, as told")

    def switch(value: bool) -> None:
        nonlocal out
        out = value

    def back() -> None:
        switch(False)
        run.score_one()

    steps = [lambda: switch(True), lambda: None, back, run.finish]
    shown = watched(HookedStore(Path(store.uri), outage), steps, terminal=terminal)
    assert shown.count("the store is out, as told; trying again") == 2
    assert "1 of 6" in shown.partition("as told")[2]
    assert "Finished." in shown


def test_what_is_no_run_is_refused_and_a_store_that_never_answered_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is not a run"):
        watched(LocalStore(tmp_path / "nothing"), [])

    def out(_operation: str, _name: str) -> None:
        raise StoreFailed("the store is out, as told")

    with pytest.raises(StoreFailed):
        watched(HookedStore(tmp_path / "run", out), [])


def test_another_reading_reads_what_is_new_only(run: RunInProgress) -> None:
    read: list[str] = []
    reader = StatusReader(HookedStore(Path(run.store.uri), lambda _operation, name: read.append(name)))
    for _ in range(3):
        run.score_one()
    now_s = time.time()
    assert reader.read(now_s=now_s) == read_status(run.store, now_s=now_s)
    read.clear()
    run.score_one()
    assert reader.read(now_s=now_s) == read_status(run.store, now_s=now_s)
    assert [name for name in read if name.startswith("_commits")] == ["_commits/0000000005.json"]
    assert "_manifest.json" not in read


def test_json_is_a_line_for_each_reading(run: RunInProgress, capsys: pytest.CaptureFixture[str]) -> None:
    with advancing_with_each_reading(run, _JsonLines):
        assert main(["status", run.store.uri, "--watch", "--interval", "0.01", "--json"]) == 0
    readings = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    plain = main(["status", run.store.uri, "--json"])
    assert plain == 0
    once = json.loads(capsys.readouterr().out)
    assert {tuple(reading) for reading in readings} == {(*once, "tokens_per_second_now")}
    assert {reading["state"] for reading in readings[:-1]} == {"running"}
    moments = {"heartbeat_age_s": None, "lease": None, "tokens_per_second_now": 1.0}
    assert readings[-1] | moments == once | moments
    done = [sum(reading["summary"]["problems"].values()) for reading in readings]
    assert done == [*range(NUM_PROBLEMS + 1), NUM_PROBLEMS]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--interval", "0"], "must be a number of seconds above 0, not '0'"),
        (["--watch", "--interval", "nan"], "must be a number of seconds above 0"),
        (["--interval", "3"], "--interval says how often --watch looks"),
    ],
)
def test_an_interval_that_makes_no_sense_is_refused(
    run: RunInProgress, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    try:
        status = main(["status", run.store.uri, *arguments])
    except SystemExit as left:
        status = left.code  # type: ignore[assignment]
    assert status == 2
    assert said in capsys.readouterr().err


def test_a_run_in_an_object_store_is_followed(moto_bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunInProgress(open_store(moto_bucket.uri("run")), tmp_path / "spool")
    with advancing_with_each_reading(run, WatchDisplay):
        assert main(["status", moto_bucket.uri("run"), "--watch", "--interval", "0.01"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines.index("Finished.") == NUM_PROBLEMS + 1
    for number, line in enumerate(lines[: NUM_PROBLEMS + 1]):
        assert line.startswith(f"running | problems {number} of {NUM_PROBLEMS}, 2 open")


class Terminal:
    """A command on a pseudo-terminal of its own."""

    def __init__(self, *command: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
        environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CI")}
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=ROOT,
            env=environment | {"TERM": "xterm-256color"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - Ctrl-C needs a terminal
        )
        os.close(slave)
        self.shown = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # a terminal's buffer is cut anywhere

    def until(self, text: str) -> None:
        """Read until something has been shown."""
        self._read(lambda: text in ESCAPES.sub("", self.shown))

    def ended(self) -> int:
        """Read to the end; the exit status."""
        self._read(lambda: False)
        return self.process.wait(LIMIT_S)

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def _read(self, enough: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + LIMIT_S
        while not enough():
            assert time.monotonic() < deadline_s, self.shown
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    self.shown += self._decoder.decode(os.read(self._master, 65536))
                except OSError as error:
                    if error.errno != errno.EIO:  # nobody is at the other end any more
                        raise
                    return


@pytest.fixture
def terminal(run: RunInProgress) -> Iterator[Terminal]:
    command = (sys.executable, "-m", "jobs.cli", "status", run.store.uri, "--watch", "--interval", "0.1")
    made = Terminal(*command)
    yield made
    made.close()


def test_on_a_real_terminal_the_view_lives_until_the_run_is_finished(run: RunInProgress, terminal: Terminal) -> None:
    terminal.until("0 of 6, 2 open")
    run.score_one()
    terminal.until("1 of 6, 2 open")
    run.finish()
    assert terminal.ended() == 0
    plain = ESCAPES.sub("", terminal.shown)
    assert "100.0% (20.7% to 100.0% at 95%)" in plain
    assert "Queue     5 samples wait, 64 in flight; 7 scores in flight" in plain
    assert "Finished." in plain.rpartition("Queue")[2]
    assert terminal.shown.count("\x1b[?25l") == terminal.shown.count("\x1b[?25h") == 1  # the cursor, away and back
    assert "Traceback" not in plain


def test_ctrl_c_leaves_a_clean_terminal(run: RunInProgress, terminal: Terminal) -> None:
    terminal.until("0 of 6, 2 open")
    terminal.press(b"\x03")
    assert terminal.ended() == 128 + signal.SIGINT
    assert terminal.shown.count("\x1b[?25l") == terminal.shown.count("\x1b[?25h") == 1
    assert "Traceback" not in terminal.shown
    assert read_status(run.store, now_s=time.time()).state == "running"  # watching changes nothing
