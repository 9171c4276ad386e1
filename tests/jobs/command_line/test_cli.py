"""The command line: what is instant, what is refused, and how each end shows in the exit status."""

import argparse
import importlib
import os
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from jobs.cli import main, parse
from jobs.command_line.commands import COMMANDS
from jobs.command_line.common import number
from jobs.command_line.score import ScoreOptions
from jobs.command_line.status import StatusOptions

ROOT = Path(__file__).resolve().parents[3]


def run_cli(*arguments: str, module: str = "jobs.cli") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_help_loads_nothing_heavy() -> None:
    probe = (
        "import sys, jobs.cli\n"
        "try: jobs.cli.main(['score', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = 'numpy pyarrow pydantic rich scipy ray torch vllm'.split()\n"
        "print('loaded:', *(name for name in heavy if name in sys.modules))\n"
    )
    shown = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.endswith("loaded:\n")
    assert "--take-over" in shown.stdout


def test_help_and_version_name_the_program() -> None:
    assert "score" in run_cli("--help").stdout
    assert run_cli("--version").stdout.startswith("parsimony ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["tune"],
        ["score", "problems.jsonl"],
        ["score", "problems.jsonl", "--recipe", "r.toml"],
        ["score", "p", "--recipe", "r", "--output", "o", "--limit", "0"],
        ["score", "p", "--recipe", "r", "--output", "o", "--limit", "ten"],
        ["status"],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: parsimony" in capsys.readouterr().err


def test_arguments_become_options() -> None:
    line = "score p.jsonl --recipe r.toml --output runs/a --set seed=1 --set budget.total_tokens=9 --limit 5"
    options = ScoreOptions(
        problems="p.jsonl",
        recipe=Path("r.toml"),
        output="runs/a",
        overrides=("seed=1", "budget.total_tokens=9"),
        limit=5,
    )
    assert parse(line.split()) == ("score", options)
    assert parse(line.split()[1:], command="score") == ("score", options)
    assert parse(["status", "runs/a", "--json"]) == ("status", StatusOptions(run="runs/a", json=True))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_a_door_and_an_argument_for_each_option(name):
    door = importlib.import_module(f"jobs.{name.replace('-', '_')}")
    assert callable(door.run)
    if name in ("submit", "recipe"):  # have commands of their own
        return
    parser = argparse.ArgumentParser(add_help=False)
    COMMANDS[name].add_arguments(parser)
    [options] = COMMANDS[name].options.args
    assert sorted(action.dest for action in parser._actions) == sorted(field.name for field in fields(options))


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "message"),
    [
        ({"above": 0}, ["0.1", "1e9"], ["0", "-1", "inf", "nan", "x", ""], "must be above 0, not "),
        ({"at_least": 0, "below": 1}, ["0", ".99"], ["1", "-.1", "-inf"], "must be at least 0 and below 1, not "),
        ({"above": 0, "at_most": 1}, ["1", ".01"], ["0", "1.01"], "must be above 0 and at most 1, not "),
        ({"what": "a number of", "at_least": 0}, ["0"], ["-0.5"], "must be a number of at least 0, not "),
    ],
)
def test_numbers_are_held_to_their_bounds(bounds, inside, outside, message):
    read = number(**bounds)
    assert [read(text) for text in inside] == [float(text) for text in inside]
    for text in outside:
        with pytest.raises(argparse.ArgumentTypeError) as caught:
            read(text)
        assert str(caught.value) == message + repr(text)


def test_a_failure_is_one_line_without_a_traceback(tmp_path: Path) -> None:
    for result in (run_cli("status", str(tmp_path)), run_cli(str(tmp_path), module="jobs.status")):
        assert result.returncode == 2
        assert result.stdout == ""
        [line] = result.stderr.splitlines()
        assert line.startswith("parsimony: error: ")


SCRIPT = """\
import sys, types, jobs.cli
command = types.ModuleType("jobs.status")
exec(sys.argv[1], vars(command))
sys.modules["jobs.status"] = command
sys.exit(jobs.cli.main(["status", "RUN"]))
"""
"""Runs the command line around a command of our own."""


def run_command(body: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, body]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("failure", "status"),
    [("InvalidInput", 2), ("RunMismatch", 2), ("RunLocked", 2), ("PreflightFailed", 1), ("StoreFailed", 1)],
)
def test_each_failure_has_its_status(failure: str, status: int) -> None:
    result = run_command(f"def run(options):\n from records.failure import {failure}\n raise {failure}('said once')")
    assert (result.returncode, result.stderr) == (status, "parsimony: error: said once\n")


def test_a_commands_status_is_the_exit_status() -> None:
    assert run_command("def run(options): return 3").returncode == 3


def test_a_bug_keeps_its_traceback() -> None:
    result = run_command("def run(options): return 1 / 0")
    assert result.returncode == 1
    assert "ZeroDivisionError" in result.stderr


WAITING = """\
def run(options):
    import asyncio
    async def wait():
        print("waiting", flush=True)
        try:
            await asyncio.sleep(60)
        finally:
            print("ended cleanly", flush=True)
    return asyncio.run(wait())
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("blocked", [(), (signal.SIGINT,)], ids=["from a shell", "from Ray, which blocks SIGINT"])
def test_signals_end_a_command_cleanly(
    number: signal.Signals, status: int, blocked: tuple[signal.Signals, ...]
) -> None:
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)  # a child inherits it
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, WAITING], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(number)
        assert process.stdout.read() == "ended cleanly\n"
        assert process.wait(timeout=30) == status
