"""What a run that was interrupted says last: what is kept, and the command that goes on."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from jobs.display.numbers import count
from jobs.scoring.run_status import read_status
from records.failure import Failure
from records.run_folder.store import Store


def farewell(store: Store, argv: Sequence[str] | None = None) -> str:
    """Of the run in `store`, as its files tell it; `argv` is the process' own if not given."""
    try:
        summary = read_status(store, now_s=store.now_s()).summary
    except Failure as failed:  # nothing was begun, or the store is out: neither is news to who ends the run
        return f"stopped; what is kept cannot be told ({failed}). {_goes_on(argv)}"
    done = sum(summary.problems.values())
    opened = f", and {count(summary.open_tokens)} tokens of open ones" if summary.open_tokens else ""
    lost = f"; up to {count(summary.lost_tokens)} tokens in flight are lost" if summary.lost_tokens else ""
    rows = f"{done} of {summary.num_problems} problems with {count(summary.tokens['generated'])} tokens"
    return f"stopped; kept in {summary.run}: {rows}{opened}{lost}. {_goes_on(argv)}"


def _goes_on(argv: Sequence[str] | None) -> str:
    program, *words = sys.argv if argv is None else argv
    path = Path(program)
    if path.parent.name == "jobs" and path.suffix == ".py":
        return f"To go on: {shlex.join(['python', '-m', f'jobs.{path.stem}', *words])}"
    if path.name == "parsimony":
        return f"To go on: {shlex.join(['parsimony', *words])}"
    return "The same call goes on with it."
