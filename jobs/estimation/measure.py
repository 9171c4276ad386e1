"""From a pilot's rows and its replicas' usage to what the whole run will take."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jobs.estimation.pilot import Pilot
from jobs.recipes.sections import Recipe
from jobs.scoring.cost import gpus_per_replica, load_prices, replica_power, replica_rates, role_sections
from records.failure import InvalidInput
from records.rows import Status
from records.run_folder.epochs import utc
from records.run_folder.prediction import Prediction, Range
from records.run_folder.reader import Run, read_run
from records.usage import Role, last_by_epoch
from scaling.arrays import Floats
from scaling.budget.metering import ReplicaRate, cost_of
from scaling.estimation.cost_model import Power, Speed, busy_s, kwh, speed_of, wall_s
from scaling.estimation.prediction import CONFIDENCE, Population, PredictedTotal, predict_right, predict_total, ranged

TOKENS = ("generated", "prompt", "cached", "pruned", "prm", "prm_cached")
THINKING = "thinking"
"""Tokens of thoughts, a part of the generated ones; of a pilot that tells them apart."""
_COLUMNS = (*(f"{kind}_tokens" for kind in TOKENS), "flops")
_INDEX = {name: position for position, name in enumerate((*TOKENS, "flops", THINKING))}


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A strategy after its pilot.

    Attributes:
        predicted: of tokens by kind, then FLOPs, then thinking tokens where the pilot tells them.
        right: share of right answers, [1 + R]: the estimate, then draws; None where nothing could be graded.
        num_graded: problems of the pilot with a verdict, and how many of them are right (`num_right`).
        num_failed: problems of the pilot that failed, and why the first of them did (`error`).
        speed: of the pilot.
        rates: of a replica of each role.
        power: likewise; None where the devices are unknown.
        kinds: of tokens that it says something of.
    """

    predicted: PredictedTotal
    right: Floats | None
    num_graded: int
    num_right: int
    num_failed: int
    error: str | None
    speed: Speed
    rates: Mapping[Role, ReplicaRate]
    power: Mapping[Role, Power] | None
    kinds: tuple[str, ...] = TOKENS

    def work(self) -> dict[Role, Floats]:
        """Computed tokens by role, [1 + R]: the estimate, then draws."""
        tokens = {name: self.column(name) for name in TOKENS}
        work: dict[Role, Floats] = {
            "generator": tokens["generated"] + tokens["prompt"] - tokens["cached"],
            "prm": tokens["prm"] - tokens["prm_cached"],
        }
        return {role: np.maximum(work[role], 0.0) for role in self.speed.tokens_per_s}

    def column(self, name: str) -> Floats:
        """One cost, [1 + R]: the estimate, then draws."""
        return _with_draws(self.predicted.totals[_INDEX[name]], self.predicted.draws[:, _INDEX[name]])


@dataclass(frozen=True, slots=True)
class Chosen:
    """The pilot's problems: their ids, and their positions among all."""

    problem_ids: Sequence[str]
    positions: Sequence[int]


def measure(pilot: Pilot, everything: Population, chosen: Chosen) -> Measured:
    """Learn from a pilot.

    Raises:
        InvalidInput: it says nothing, because all its problems failed.
        StoreFailed: its run cannot be read.
    """
    run, recipe = read_run(pilot.plan.store.uri), pilot.setting.recipe
    rows = {row["problem_id"]: row for row in run.problems().to_pylist()}
    own = [rows[problem_id] for problem_id in chosen.problem_ids]
    errors = [str(row["error"]) for row in own if row["status"] == Status.FAILED.value]
    if len(errors) == len(own):
        raise InvalidInput(f"every problem of the pilot failed, the first because: {errors[0]}")
    index = np.asarray(chosen.positions)
    thinking = [row["thinking_tokens"] for row in own]  # null where nothing was sampled, too
    told = any(tokens is not None for tokens in thinking)
    costs = np.asarray([[float(row[name]) for name in _COLUMNS] for row in own])
    if told:
        costs = np.column_stack([costs, [float(tokens or 0) for tokens in thinking]])
    verdicts = np.asarray([np.nan if row["correct"] is None else float(row["correct"]) for row in own])
    prices = load_prices(recipe.cost.prices)
    num_gpus = gpus_per_replica(recipe, on_gpus=any(row["gpu_seconds"] is not None for row in own))
    graded = ~np.isnan(verdicts)
    return Measured(
        predicted=predict_total(everything, index, costs, seed=recipe.seed),
        kinds=(*TOKENS, THINKING) if told else TOKENS,
        right=_right(verdicts, len(everything.planned), recipe.seed),
        num_graded=int(graded.sum()),
        num_right=int(verdicts[graded].sum()),
        num_failed=len(errors),
        error=errors[0] if errors else None,
        speed=_speed(run),
        rates=replica_rates(recipe, prices, num_gpus),
        power=replica_power(recipe, prices, num_gpus),
    )


def prediction(found: Measured, num_replicas: Mapping[Role, int], num_pilot: int, num_problems: int) -> Prediction:
    """What the whole run takes on so many replicas, started once for its pilot and once for the others."""
    work = found.work()
    wall = wall_s(work, found.speed, num_replicas, num_starts=num_starts(num_pilot, num_problems))
    held = {role: wall * num_replicas[role] for role in found.rates}  # whether it has anything to do or not
    gpu_seconds, usd = cost_of(held, found.rates)
    nothing = np.zeros_like(wall)
    return Prediction(
        created_at=utc(time.time()),
        confidence=CONFIDENCE,
        pilot_problems=num_pilot,
        num_problems=num_problems,
        num_generators=num_replicas["generator"],
        num_prms=num_replicas["prm"] if "prm" in found.rates else 0,
        tokens={name: _range(found.column(name)) for name in found.kinds},
        flops=_range(found.column("flops")),
        wall_seconds=_range(wall),
        generator_seconds=_range(held.get("generator", nothing)),
        prm_seconds=_range(held.get("prm", nothing)),
        gpu_seconds=_range(gpu_seconds) if gpu_seconds is not None else None,
        usd=_range(usd) if usd is not None else None,
        kwh=_range(kwh(held, busy_s(work, found.speed), found.power)) if found.power is not None else None,
        accuracy=_range(found.right) if found.right is not None else None,
    )


def num_starts(num_pilot: int, num_problems: int) -> int:
    """How often a run starts its replicas: for its pilot, and for the others if there are others."""
    return 1 if num_pilot == num_problems else 2


def generators_per_prm(found: Measured) -> float | None:
    """How many of the one keep one of the other as busy as themselves; None where one role has nothing to do."""
    busy = {role: float(seconds[0]) for role, seconds in busy_s(found.work(), found.speed).items()}
    return busy["generator"] / busy["prm"] if len(busy) > 1 and busy["prm"] > 0 else None


def own_replicas(recipe: Recipe) -> dict[Role, int]:
    """The numbers of replicas that the recipe says; 0 of a role that the strategy does not need."""
    counts: dict[Role, int] = {"generator": 0, "prm": 0}
    return counts | {role: section.num_replicas for role, section in role_sections(recipe).items()}


def _right(verdicts: Floats, num_problems: int, seed: int) -> Floats | None:
    graded = verdicts[~np.isnan(verdicts)]
    if not len(graded):
        return None
    return _with_draws(*predict_right(int(graded.sum()), len(graded), num_problems, seed=seed))


def _with_draws(estimate: float, draws: Floats) -> Floats:
    return np.concatenate([[estimate], draws])


def _range(values: Floats) -> Range:
    return ranged(float(values[0]), values[1:])


def _speed(run: Run) -> Speed:
    """Of all epochs of a pilot: what each said last.

    Raises:
        InvalidInput: it says nothing.
    """
    try:
        return speed_of(list(last_by_epoch(run.log.usages).values()), _computed(run))
    except ValueError as error:
        raise InvalidInput(f"{run.uri}: {error}; a larger --pilot, or another strategy, may say more") from error


def _computed(run: Run) -> dict[Role, float]:
    """Tokens computed, by role, in all visible rows."""
    totals = run.totals
    return {
        "generator": float(totals.generated_tokens + totals.prompt_tokens - totals.cached_tokens),
        "prm": float(totals.prm_tokens - totals.prm_cached_tokens),
    }
