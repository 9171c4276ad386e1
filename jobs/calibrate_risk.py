"""`parsimony calibrate-risk`: see how often answers are wrong, by how sure they are, and write it down.

run --> decided again --> answer_p and verdict of each problem --> FILE.json, for answer.risk
"""

import json
import sys
from dataclasses import asdict
from typing import Any

from rich.table import Table

from jobs.calibration.risk import seen_risk
from jobs.calibration.small_file import check_place, write_whole
from jobs.command_line.calibrate_risk import CalibrateRiskOptions
from jobs.display.consoles import table_console
from jobs.display.numbers import percent, ratio
from jobs.display.terminal import out
from jobs.recipes.answers.risk import RISK_FORMAT, RiskFile, stopped, thresholds
from records.run_folder.reader import read_run
from scaling.uncertainty.aggregation import ScoreEstimate
from scaling.uncertainty.risk_control import Answered, controlled

_TARGETS = (0.01, 0.02, 0.05, 0.1, 0.2)
_LEVEL = 0.9


def run(options: CalibrateRiskOptions) -> int:
    """Run the command; the exit status."""
    check_place(options.output)
    seen = seen_risk(read_run(options.run), options)
    written = {"format": RISK_FORMAT} | seen.model_dump(mode="json")
    write_whole(options.output, json.dumps(written, indent=1, allow_nan=False) + "\n")
    found = _targets(seen)
    if options.json:
        out(json.dumps(_said(seen, found), indent=2, allow_nan=False) + "\n")
    else:
        _print(seen, found, options)
    return 0


def _targets(seen: RiskFile) -> dict[float, Answered | None]:
    """What some targets would choose, at the recipe's defaults."""
    estimate = ScoreEstimate.LOWER
    candidates = stopped(seen, estimate) if seen.stopping is not None else thresholds(seen, estimate)
    return {target: controlled(candidates, target_error=target, level=_LEVEL) for target in _TARGETS}


def _said(seen: RiskFile, found: dict[float, Answered | None]) -> dict[str, Any]:
    return {
        "num_problems": len(seen.wrong),
        "num_wrong": sum(seen.wrong),
        "level": _LEVEL,
        "targets": [{"target_error": target} | (asdict(one) if one else {}) for target, one in found.items()],
    }


def _print(seen: RiskFile, found: dict[float, Answered | None], options: CalibrateRiskOptions) -> None:
    console = table_console()
    wrong, count = sum(seen.wrong), len(seen.wrong)
    console.print(f"{count:,} problems with a verdict, {percent(ratio(wrong, count))} of the answers wrong.")
    table = Table("target_error", "answered", "of these wrong", "from answer_p", box=None)
    for target, one in found.items():
        told = ("not supported", "", "")
        if one is not None:
            answered, risk = ratio(one.num_answered, count), ratio(one.num_wrong, one.num_answered)
            told = (percent(answered), percent(risk), f"{one.threshold:.4g}")
        table.add_row(percent(target), *told)
    console.print(table)
    console.print(
        f"With a certainty of {percent(_LEVEL)}, on problems drawn as these were (a recipe may set target_level)."
    )
    console.print(
        f'Written to {options.output}. A recipe takes it with [answer] target_error = 0.05, risk = "{options.output}".',
        markup=False,
    )


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(command="calibrate-risk"))
