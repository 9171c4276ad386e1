"""What a run says of the risk of its answers: how sure each was, and whether it is wrong.

Answers are decided again from what is stored (`jobs.replaying`), so a run of whole samples serves every strategy that
takes no more of them, and every threshold at which one may stop.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jobs.calibration.answers import MIN_PROBLEMS
from jobs.command_line.calibrate_risk import CalibrateRiskOptions
from jobs.command_line.replay import ReplayOptions
from jobs.comparison.measure import models_of
from jobs.recipes.answers.risk import RiskFile, StoppedSection, at_most
from jobs.recipes.sections import NO_ABSTAINING
from jobs.replay import replay_run
from jobs.replaying.settings import ReplaySetting, replay_settings
from records.failure import InvalidInput
from records.run_folder.by_problem import records_of
from records.run_folder.reader import Run

STOPPING = tuple(round(1 / (1 + float(np.exp(-x))), 6) for x in np.linspace(-0.5, 6.5, 32))
"""Thresholds at which sampling may stop, evenly by their log odds; chosen without a look at a run."""
_Row = dict[str, Any]


def seen_risk(there: Run, options: CalibrateRiskOptions) -> RiskFile:
    """Decide again, and keep of each problem with a verdict how sure its answer is, and whether it is wrong.

    Raises:
        InvalidInput: the run has too few verdicts; or a strategy asks for what is not stored, or has no threshold.
        StoreFailed: the run is damaged.
    """
    settings = _settings(there, options)
    replayed = ReplayOptions(run=options.run, output="", overrides=options.overrides)
    played, _ = replay_run(there, settings, replayed, records=records_of(there), models=models_of(there))
    rows: dict[str, list[_Row]] = {setting.label: [] for setting in settings}
    for row in played.table.to_pylist():
        rows[row["setting"]].append(row)
    own = _graded(rows[settings[0].label], settings[0], options)
    stopping = [StoppedSection(**_seen(_graded(rows[one.label], one, options)), threshold=_at(one)) for one in settings]
    scores = [one.row.p_median for one in played.actual if one.row.p_median is not None]
    return RiskFile(
        run=there.uri,
        strategy=settings[0].recipe.strategy.model_dump(mode="json"),
        models_sha256={role: model.model_sha256 for role, model in there.manifest.models.items()},
        **_seen(own),
        question_scores=at_most(scores) if len(scores) == len(played.actual) else None,
        stopping=tuple(stopping) if options.stopping else None,
    )


def _settings(there: Run, options: CalibrateRiskOptions) -> list[ReplaySetting]:
    sweeps = (f"strategy.threshold={','.join(map(str, STOPPING))}",) if options.stopping else ()
    overrides = (*NO_ABSTAINING, *options.overrides)
    replayed = ReplayOptions(run=options.run, output="", overrides=overrides, sweeps=sweeps)
    settings = replay_settings(there.manifest, replayed)
    strategy = settings[0].recipe.strategy
    if not strategy.gives_answer_p:
        raise InvalidInput(f"{options.run}: {strategy.name} does not say how sure it is of its answers")
    return settings


def _at(setting: ReplaySetting) -> float:
    return float(setting.swept.get("strategy.threshold", 1.0))


def _graded(rows: Sequence[_Row], setting: ReplaySetting, options: CalibrateRiskOptions) -> list[_Row]:
    left = next((row["left_why"] for row in rows if row["left_tree"]), None)
    if left is not None:
        raise InvalidInput(f"{options.run}: {setting.recipe.strategy.name} asks for what is not stored: {left}")
    graded = [row for row in rows if row["correct"] is not None]
    if len(graded) < MIN_PROBLEMS:
        raise InvalidInput(
            f"{options.run}: {len(graded)} problems have a verdict; risk is seen on {MIN_PROBLEMS} and more, a small "
            "one on hundreds"
        )
    return graded


def _seen(rows: Sequence[_Row]) -> dict[str, Any]:
    names = ("answer_p_lower", "answer_p_median", "answer_p_upper")
    quantiles = [tuple(row[name] for name in names) for row in rows]
    said = [None if row["answer"] is None or None in own else own for row, own in zip(rows, quantiles, strict=True)]
    return {"answer_p": tuple(said), "wrong": tuple(row["correct"] < 1.0 for row in rows)}
