"""`parsimony replay`: decide again from the stored steps of a run; no model, unless another PRM is to score them.

run --> settings (its recipe, --set, --sweep) --> [--prm: stored paths scored anew] --> played, problem by problem
                                                                                             |
             table, replay.parquet, summary.json  <-- compared with the run itself  <--------+
"""

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pyarrow.parquet as pq
from rich.progress import Progress, TaskID

from actors.writer.store_retry import patiently_blocking
from cluster.store import check_writable, open_store
from jobs.command_line.replay import ReplayOptions
from jobs.comparison.measure import models_of
from jobs.display.consoles import new_console, table_console
from jobs.display.terminal import err, out
from jobs.recipes.recorded import recorded_recipe
from jobs.recipes.section import is_plugin
from jobs.recipes.strategy_factory import strategy_factory
from jobs.replaying.rescoring import other_prm, rescored, scored_anew
from jobs.replaying.session import Played, Playing
from jobs.replaying.settings import ReplaySetting, replay_settings
from jobs.replaying.summary import ReplaySummary, print_replay, replay_json, summarised
from jobs.score import SOME_FAILED
from records.failure import InvalidInput
from records.rows import ProblemRecord
from records.run_folder.by_problem import records_of
from records.run_folder.reader import Run, read_run
from records.run_folder.store import Store
from records.schemas import PARQUET_OPTIONS
from records.scratch import scratch_folder
from scaling.search.accounting import Models

TABLE_FILE = "replay.parquet"
_SUMMARY_FILE = "summary.json"


def run(options: ReplayOptions) -> int:
    """Run the command; the exit status."""
    _, summary = carry_out_replay(options)
    if options.json:
        out(_said(summary))
    else:
        print_replay(summary, table_console())
    return SOME_FAILED if summary.num_failed else 0


def carry_out_replay(options: ReplayOptions) -> tuple[Played, ReplaySummary]:
    """Decide again, compare with the run, and put the files at the output.

    Raises:
        InvalidInput: a setting that cannot be replayed, or no run; the message says what to do.
        StoreFailed: the run is damaged.
    """
    if options.output.rstrip("/") == options.run.rstrip("/"):
        raise InvalidInput(f"--output {options.output}: is the run itself; give the result a place of its own")
    there = read_run(options.run)
    settings = replay_settings(there.manifest, options)
    for setting in settings:
        strategy_factory(setting.recipe)  # a strategy of the user's own that cannot be imported
    store = open_store(options.output)
    check_writable(store)
    other = other_prm(settings) if options.prm is not None else None
    scores = scored_anew(there, other, store, _note) if other is not None else None
    records, models = records_of(there), models_of(there)
    if other is not None and scores is not None:
        records = rescored(records, scores)
        models = replace(models, num_prm_parameters=other.model.num_parameters)
    played, summary = replay_run(there, settings, options, records=records, models=models)
    _write(played, _said(summary), store)
    return played, summary


def _said(summary: ReplaySummary) -> str:
    return json.dumps(replay_json(summary), indent=2, allow_nan=False) + "\n"


def replay_run(
    there: Run,
    settings: Sequence[ReplaySetting],
    options: ReplayOptions,
    *,
    records: Iterator[ProblemRecord],
    models: Models,
) -> tuple[Played, ReplaySummary]:
    """Play every setting on a run as it stands, and compare each with the run itself.

    Args:
        there: the run.
        settings: at least one.
        options: as given on the command line.
        records: its rows, by another PRM's scores where that is wanted.
        models: by whose sizes FLOPs are counted.

    Raises:
        InvalidInput: the run has no problem yet, or a setting asks for another kind of run.
        StoreFailed: the run is damaged.
    """
    base = recorded_recipe(there.manifest)
    if is_plugin(base.grader.kind) and all(setting.recipe.grader.kind != base.grader.kind for setting in settings):
        # Code that nobody named: what was right in the run is judged by the first setting's grader.
        base = base.model_copy(update={"grader": settings[0].recipe.grader})
    if not there.totals.problems:
        raise InvalidInput(f"{options.run}: no problem has a row yet")
    with _progress(there.totals.problems) as on_played:
        playing = Playing(
            settings=settings,
            run=base,
            num_logprobs=base.strategy.num_logprobs,
            seed=base.seed,
            num_orders=options.num_orders,
            models=models,
            on_played=on_played,
        )
        played = asyncio.run(playing.play(records))
    summary = summarised(
        played,
        settings,
        run=options.run,
        strategy=base.strategy.name,
        prm=options.prm,
        num_orders=options.num_orders,
        num_owed=there.manifest.num_problems - there.totals.problems,
        seed=base.seed,
    )
    return played, summary


def _write(played: Played, said: str, store: Store) -> None:
    """Put the files at the output, each as a whole."""
    with scratch_folder() as spool:
        pq.write_table(played.table, spool / TABLE_FILE, **PARQUET_OPTIONS)
        (spool / _SUMMARY_FILE).write_text(said)
        for name in (TABLE_FILE, _SUMMARY_FILE):
            patiently_blocking(partial(store.upload, name, spool / name), _note)


@contextmanager
def _progress(num_problems: int) -> Iterator[partial[None]]:
    """A bar on a terminal, nothing elsewhere; yields what is told how many problems are done."""
    console = new_console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("decided again", total=num_problems)
        yield partial(_show, progress, task)


def _show(progress: Progress, task: TaskID, done: int) -> None:
    progress.update(task, completed=done)


def _note(line: str) -> None:
    err(f"{line}\n")


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(command="replay"))
