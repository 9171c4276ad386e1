"""`parsimony compare`: several strategies on the same problems, accuracy against cost. Again = resume.

settings --> runs that they share --> all checked --> carried out --> played on the samples, order by order
                                                                                    |
   table, settings.parquet, problems.parquet, comparison.json, comparison.png <-- compared
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow.parquet as pq

from actors.writer.store_retry import patiently_blocking
from cluster.store import open_store
from jobs.command_line.compare import CompareOptions
from jobs.comparison.console import comparison_json, print_comparison
from jobs.comparison.measure import Fixed, Shared, measured_alone, played, shared
from jobs.comparison.plot import draw_comparison
from jobs.comparison.runs import SharedRun, carry_out_runs, plan_runs, shared_runs
from jobs.comparison.settings import Setting, capped, comparison_settings
from jobs.comparison.stored_samples import sample_outcomes, stored_samples
from jobs.comparison.tables import problems_table, settings_table
from jobs.display.consoles import table_console
from jobs.display.terminal import err, out
from jobs.score import SOME_FAILED
from jobs.scoring.plan import Plan
from records.failure import InvalidInput
from records.run_folder.reader import read_run
from records.schemas import PARQUET_OPTIONS
from records.scratch import scratch_folder
from scaling.statistics.comparison import Measured, compare
from scaling.statistics.comparison_rows import SettingsComparison
from scaling.statistics.pass_at_k import PassAtK, pass_rates

SETTINGS_FILE = "settings.parquet"
PROBLEMS_FILE = "problems.parquet"
JSON_FILE = "comparison.json"
PLOT_FILE = "comparison.png"
_MIN_PROBLEMS = 2


@dataclass(frozen=True, slots=True)
class Compared:
    """All that a comparison found.

    Attributes:
        comparison: the settings beside each other.
        measured: each setting, problem by problem.
        problem_ids: in the input's order.
        pass_rates: pass@k of the samples that settings were played on, by what they are called.
    """

    comparison: SettingsComparison
    measured: Sequence[Measured]
    problem_ids: Sequence[str]
    pass_rates: Mapping[str, Sequence[PassAtK]]


def run(options: CompareOptions) -> int:
    """Run the command; the exit status."""
    compared = carry_out_comparison(options)
    if options.json:
        out(_said(compared))
    else:
        print_comparison(compared.comparison, table_console(), compared.pass_rates)
    return SOME_FAILED if any(np.isnan(item.generated_tokens).any() for item in compared.measured) else 0


def carry_out_comparison(options: CompareOptions) -> Compared:
    """Run what has to be run, compare, and put the files at the output.

    Raises:
        InvalidInput: file, line or field, and what to do; nothing was started.
        Failure: what ended a run early; the same call goes on with it.
    """
    settings = comparison_settings(options.recipes, options.strategies, options.overrides)
    baseline = _baseline(settings, options.baseline)
    planned = plan_runs(shared_runs(settings), options)
    _check_problems(planned)
    carry_out_runs(planned)
    compared = compare_settings(planned, settings, baseline, options)
    _write(compared, _said(compared), options.output)
    return compared


def _said(compared: Compared) -> str:
    return json.dumps(comparison_json(compared.comparison, compared.pass_rates), indent=2, allow_nan=False) + "\n"


def compare_settings(
    planned: Sequence[tuple[SharedRun, Plan]], settings: Sequence[Setting], baseline: Setting, options: CompareOptions
) -> Compared:
    """Read finished runs, play what is shared, and compare."""
    plans = {setting.label: (run, plan) for run, plan in planned for setting in run.settings}
    samples = {run.name: _samples(run.name, plan, options.num_orders) for run, plan in planned if run.stored}

    def measure(setting: Setting) -> Measured:
        run, plan = plans[setting.label]
        return played(setting, samples[run.name]) if run.stored else measured_alone(setting, plan)

    base = measure(baseline)
    base_tokens = float(np.nansum(base.generated_tokens))
    others = {
        setting.label: measure(capped(setting, base_tokens)) for setting in settings if setting.label != baseline.label
    }
    measured = [base if setting.label == baseline.label else others[setting.label] for setting in settings]
    measured = _beside_fixed(measured, baseline, samples.get(plans[baseline.label][0].name))
    comparison = compare(measured, baseline=baseline.label, margin=options.margin, seed=baseline.recipe.seed)
    problem_ids = [problem.problem_id for problem in planned[0][1].problems]
    seed = baseline.recipe.seed
    rates = {
        name: pass_rates([sample_outcomes(problem) for problem in pool.problems if problem is not None], seed)
        for name, pool in samples.items()
    }
    return Compared(comparison, measured, problem_ids, rates)


def _samples(label: str, plan: Plan, num_orders: int) -> Shared:
    """What a finished run of whole samples holds, in the input's order."""
    run = read_run(plan.store.uri)
    stored = stored_samples(run)
    return shared(label, run, [stored[problem.problem_id] for problem in plan.problems], num_orders)


def _beside_fixed(measured: Sequence[Measured], baseline: Setting, samples: Shared | None) -> list[Measured]:
    """Each setting with what fixed sampling gets right at the same tokens, where the baseline is fixed sampling."""
    if samples is None or baseline.recipe.strategy.name not in ("best-of-n", "majority"):
        return list(measured)
    fixed = Fixed(baseline, samples)
    return [
        replace(item, fixed_at_same_tokens=fixed.at(float(np.nanmean(item.generated_tokens))))
        if item.recipe == baseline.recipe_name
        else item
        for item in measured
    ]


def _baseline(settings: Sequence[Setting], label: str | None) -> Setting:
    found = [setting for setting in settings if label in (None, setting.label)]
    if not found:
        labels = ", ".join(setting.label for setting in settings)
        raise InvalidInput(f"--baseline {label}: no such setting; there are {labels}")
    if found[0].baseline_share is not None:
        raise InvalidInput(f"{found[0].label} is the baseline, and cannot have a share of what the baseline takes")
    return found[0]


def _check_problems(planned: Sequence[tuple[SharedRun, Plan]]) -> None:
    for run, plan in planned:
        problems = plan.problems
        if problems.num_references == 0:
            raise InvalidInput(
                f"{problems.path}: no problem has an answer key by {run.path}, and nobody can say which strategy is "
                "right; name the column with --set problems.reference=COLUMN"
            )
        if problems.num_problems < _MIN_PROBLEMS:
            raise InvalidInput(f"{problems.path}: one problem says nothing about a strategy; compare on more")


def _write(compared: Compared, said: str, output: str) -> None:
    """Put the files beside the runs; `said` is the comparison as JSON."""
    store = open_store(output)
    with scratch_folder() as spool:
        tables = {
            SETTINGS_FILE: settings_table(compared.comparison),
            PROBLEMS_FILE: problems_table(compared.measured, compared.problem_ids),
        }
        for name, table in tables.items():
            pq.write_table(table, spool / name, **PARQUET_OPTIONS)
        (spool / JSON_FILE).write_text(said)
        draw_comparison(compared.comparison, spool / PLOT_FILE)
        for name in (*tables, JSON_FILE, PLOT_FILE):
            patiently_blocking(partial(store.upload, name, spool / name), _note)


def _note(line: str) -> None:
    err(f"{line}\n")


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(command="compare"))
