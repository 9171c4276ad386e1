"""`parsimony calibrate-answers`: fit how likely an answer is to be right on a run's samples, and write it down.

run --> samples, graded --> three models, each judged on problems it was not fitted on --> FILE.json, for answer.model
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from jobs.calibration.answers import FitReport, answered_problems, fit_reports, models_json
from jobs.calibration.small_file import check_place, write_whole
from jobs.command_line.calibrate_answers import CalibrateAnswersOptions
from jobs.display.consoles import table_console
from jobs.display.terminal import out
from jobs.recipes.answers.fitted import FORMAT
from jobs.recipes.recorded import recorded_recipe
from jobs.recipes.trust import refuse_unnamed_code
from records.run_folder.reader import Run, read_run

_KNOWS = {
    "question": "question, samples and answers (sequential, marginal)",
    "scores": "samples and answers (best-of-n)",
    "votes": "answers only (majority)",
}


def run(options: CalibrateAnswersOptions) -> int:
    """Run the command; the exit status."""
    check_place(options.output)
    there = read_run(options.run)
    recipe = recorded_recipe(there.manifest, options.overrides)
    flag = "--set {key}={name}"
    refuse_unnamed_code(recipe, options.overrides, run=options.run, flag=flag, keys=("grader.kind",))
    reports = fit_reports(answered_problems(there, recipe), seed=recipe.seed)
    written = _written(there, reports)
    write_whole(options.output, json.dumps(written, indent=2, allow_nan=False) + "\n")
    if options.json:
        out(json.dumps(written, indent=2, allow_nan=False) + "\n")
    else:
        _print(reports, options.output)
    return 0


def _written(there: Run, reports: list[FitReport]) -> dict[str, Any]:
    models = there.manifest.models.items()
    return {
        "format": FORMAT,
        "run": there.uri,
        "models_sha256": {role: model.model_sha256 for role, model in models},
        "models": models_json(reports),
        "reports": [{key: value for key, value in asdict(report).items() if key != "model"} for report in reports],
    }


def _print(reports: list[FitReport], file: Path) -> None:
    console = table_console()
    table = Table("Knows", "problems", "log loss\nbefore", "\nafter", "Brier\nbefore", "\nafter", box=None)
    for report in reports:
        judged = (report.before, report.after)
        losses = [f"{each.log_loss:.3f}" if each else "?" for each in judged]
        briers = [f"{each.brier:.3f}" if each else "?" for each in judged]
        table.add_row(_KNOWS[report.name], f"{report.num_problems:,}", *losses, *briers)
    console.print(table)
    if reports[0].before is None:
        console.print("No answer key: only how samples agree was fitted, and nothing says whether agreement is right.")
    for report in reports:
        if report.before is not None and report.after is not None:
            console.print(_reliability(report))
    console.print(f'Written to {file}. A recipe takes it with [answer] model = "{file}".', markup=False)


def _reliability(report: FitReport) -> Table:
    """How often the leading answer is right where its probability is within a bin; of problems not fitted on."""
    table = Table("answer_p", "said before", "right", "said after", "right", title=_KNOWS[report.name], box=None)
    before, after = report.before, report.after
    for old, new in zip(before.bins if before else (), after.bins if after else (), strict=True):
        numbers = (old.mean_predicted, old.mean_observed, new.mean_predicted, new.mean_observed)
        table.add_row(
            f"{old.lower:.1f} to {old.upper:.1f}", *("" if each is None else f"{each:.3f}" for each in numbers)
        )
    return table


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(command="calibrate-answers"))
