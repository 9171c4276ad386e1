"""The display: rates and time left as pure functions, and what is drawn on a terminal and elsewhere."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from jobs.display.numbers import count, duration, percent
from jobs.scoring.progress import Pace, ProgressDisplay, Rates, held_text, plain_line, time_left_s
from records.progress import Progress

START = Progress(
    phase="waiting for replicas",
    total_problems=100,
    done_problems=0,
    failed_problems=0,
    exhausted_problems=0,
    graded=0,
    correct=0,
    open_problems=0,
    generated_tokens=0,
    prompt_tokens=0,
    cached_tokens=0,
    prm_tokens=0,
    total_tokens_cap=None,
    elapsed_s=0.0,
    replicas_ready=0,
    replicas_wanted=2,
    replicas_lost=0,
)


def working(elapsed_s: float, *, done: int, tokens: int = 0) -> Progress:
    return replace(
        START, phase="scoring", open_problems=8, done_problems=done, generated_tokens=tokens, elapsed_s=elapsed_s
    )


def pace_of(*snapshots: Progress) -> Pace:
    rates = Rates()
    for snapshot in snapshots:
        rates.add(snapshot)
    return rates.pace


def test_pace_is_unknown_before_there_is_any() -> None:
    assert pace_of() == (None, None)
    assert pace_of(START) == (None, None)
    assert pace_of(START, working(10, done=0)).eta_s is None


def test_time_left_follows_the_problems_that_ended() -> None:
    assert pace_of(working(0, done=0), working(10, done=20)).eta_s == pytest.approx(40)


def test_start_up_does_not_count() -> None:
    waited = [replace(START, elapsed_s=float(second)) for second in range(0, 100, 10)]
    assert pace_of(*waited, working(100, done=10)).eta_s == pytest.approx(90)


def test_problems_of_earlier_epochs_do_not_count() -> None:
    resumed = replace(START, done_problems=50)
    assert pace_of(resumed, working(10, done=60)).eta_s == pytest.approx(40)


def test_tokens_of_samples_in_flight_count_as_they_are_made() -> None:
    first, later = (replace(working(second, done=0), flying_tokens=50 * second) for second in (0, 10))
    ended = replace(working(20, done=0, tokens=900), flying_tokens=100)
    assert pace_of(first, later).tokens_per_s == pytest.approx(50)
    assert pace_of(first, later, ended).tokens_per_s == pytest.approx(50)
    assert "| 500 tokens, 50/s |" in plain_line(later, pace_of(first, later))


def test_tokens_per_second_forget_the_past() -> None:
    snapshots = [working(second, done=0, tokens=100 * min(second, 50)) for second in range(0, 101, 5)]
    assert pace_of(*snapshots[:5]).tokens_per_s == pytest.approx(100)
    assert pace_of(*snapshots).tokens_per_s == 0


def test_rare_snapshots_still_give_a_pace() -> None:
    assert pace_of(working(0, done=0), working(1000, done=50)).eta_s == pytest.approx(1000)


def test_nothing_is_left_when_all_is_done() -> None:
    assert time_left_s(working(5, done=100), None) == 0


def test_a_plain_line_says_what_is_known() -> None:
    progress = replace(
        working(75, done=40, tokens=250_000),
        failed_problems=2,
        exhausted_problems=1,
        graded=38,
        correct=19,
        total_tokens_cap=1_000_000,
        replicas_ready=2,
        replicas_lost=1,
    )
    assert plain_line(progress, Pace(1234.0, 90.0)) == (
        "[1m15s] scoring | 40/100 problems (8 open, 2 failed, 1 out of budget) | accuracy 50.0% of 38 graded | "
        "250k tokens (25.0% of 1M), 1.23k/s | replicas 2/2, 1 lost | time left 1m30s"
    )


def test_what_the_replicas_time_has_come_to_is_shown_where_it_is_known() -> None:
    known = replace(START, usd=0.25, gpu_seconds=1800.0)
    assert held_text(START) == ""
    assert held_text(known) == "0.25 USD, 0.5 GPU-hours"
    capped = replace(known, total_usd_cap=1.0, total_gpu_seconds_cap=7200.0)
    assert held_text(capped) == "0.25 USD (25.0% of 1), 0.5 GPU-hours (25.0% of 2)"
    assert "| 0.25 USD (25.0% of 1), 0.5 GPU-hours (25.0% of 2) |" in plain_line(capped, Pace(None, None))


def test_unknown_is_shown_as_such() -> None:
    line = plain_line(START, Pace(None, None))
    assert "accuracy ? of 0 graded" in line
    assert "0 tokens, ?/s" in line
    assert line.endswith("time left ?")


def shown(*snapshots: Progress, terminal: bool) -> str:
    stream = StringIO()
    console = Console(file=stream, force_terminal=terminal, width=120, color_system=None)
    with ProgressDisplay(console) as display:
        for snapshot in snapshots:
            display.show(snapshot)
    return stream.getvalue()


def test_elsewhere_a_line_comes_every_five_seconds_and_with_each_phase() -> None:
    snapshots = [working(second, done=second) for second in range(13)]
    lines = shown(START, *snapshots, terminal=False).splitlines()
    assert [line.split("]")[0] for line in lines] == ["[0s", "[0s", "[5s", "[10s", "[12s"]
    assert "scoring" in lines[1]


def test_plain_lines_are_not_wrapped_or_marked_up() -> None:
    long = replace(START, phase="[bold]" + "x" * 200)
    [line] = shown(long, terminal=False).splitlines()
    assert "[bold]xxx" in line


def test_a_terminal_shows_the_last_snapshot() -> None:
    text = shown(START, working(10, done=20, tokens=5000), terminal=True)
    assert "20/100 problems (8 open)" in text
    assert "5k tokens" in text
    assert "40s left" in text


def test_a_time_that_begins_again_is_a_new_start() -> None:
    assert pace_of(working(100, done=50), working(0, done=50), working(10, done=60)).eta_s == pytest.approx(40)
    lines = shown(working(100, done=0), working(0, done=0), working(1, done=0), terminal=False).splitlines()
    assert [line.split("]")[0] for line in lines] == ["[1m40s", "[0s", "[1s"]


@pytest.mark.parametrize("terminal", [True, False])
def test_notes_stay(terminal: bool) -> None:
    stream = StringIO()
    with ProgressDisplay(Console(file=stream, force_terminal=terminal, width=80, color_system=None)) as display:
        display.show(START)
        display.note("warning: [x] " + "long " * 30)
        display.show(working(10, done=1))
    assert "warning: [x] long" in stream.getvalue()


def test_an_empty_problem_set_can_be_shown() -> None:
    assert "0/0 problems" in shown(replace(START, total_problems=0), terminal=True)


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "?"), (0, "0"), (7, "7"), (999, "999"), (1000, "1k"), (999_999, "1M"), (1_234_567, "1.23M"), (5e15, "5P")],
)
def test_counts_have_three_digits(number: float | None, text: str) -> None:
    assert count(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "?"), (0.4, "0s"), (59.6, "1m00s"), (3599, "59m59s"), (3600, "1h00m"), (90_000, "1d01h"), (-3.0, "0s")],
)
def test_durations_have_two_units(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_percent_of_the_unknown_is_unknown() -> None:
    assert (percent(None), percent(0.4216)) == ("?", "42.2%")
