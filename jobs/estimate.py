"""`parsimony estimate`: what a run will take, before it is paid for. Again = go on with its pilots, or use them.

the PRM's view of every question --> a pilot of every difficulty, run for real --> all problems, by what is known
                                              |                                          |
              `parsimony score` goes on with its run                table, estimate.json, _estimate.json in each run
"""

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict

from cluster.store import open_store
from jobs.command_line.estimate import EstimateOptions
from jobs.display.consoles import table_console
from jobs.display.terminal import out
from jobs.estimation.console import print_estimate
from jobs.estimation.measure import (
    Chosen,
    Measured,
    generators_per_prm,
    measure,
    num_starts,
    own_replicas,
    prediction,
)
from jobs.estimation.pilot import Pilot, carry_out_pilot, choose, plan_pilots, population, question_scores
from jobs.estimation.result import RunEstimate, StrategyEstimate, advise
from jobs.recipes.load import load_recipe
from jobs.recipes.sections import NO_CAPS
from jobs.scoring.cost import role_sections
from records.failure import InvalidInput
from records.jsonio import encode
from records.run_folder.checkpoints import read_log
from records.run_folder.prediction import ESTIMATE
from records.usage import Role

ESTIMATE_FILE = "estimate.json"
MIN_PILOT = 5


def run(options: EstimateOptions) -> int:
    """RunEstimate; the exit status.

    Raises:
        InvalidInput: what is wrong, and what to do.
        Failure: what ended a pilot early; the same command goes on with it.
    """
    found = estimate(options)
    said = json.dumps(asdict(found), indent=2, allow_nan=False) + "\n"
    open_store(options.output).replace(ESTIMATE_FILE, said.encode())
    if options.json:
        out(said)
    else:
        print_estimate(found, table_console())
    return 0


def estimate(options: EstimateOptions) -> RunEstimate:
    """Run the pilots and predict. Raises as `run`."""
    questions, pilots = plan_pilots(options)
    for pilot in pilots:
        _check(options, pilot)
    problems = list(pilots[0].plan.problems)
    num_pilot = min(options.pilot, len(problems))
    if num_pilot < MIN_PILOT:
        raise InvalidInput(f"a pilot of {num_pilot} problems says too little: {MIN_PILOT} at least")
    scores = question_scores(questions, problems)
    positions = choose(problems, scores, options.pilot, pilots[0].plan.recipe.seed)
    chosen = Chosen([problems[position].problem_id for position in positions], positions)
    for pilot in pilots:
        carry_out_pilot(pilot, frozenset(chosen.problem_ids))
    measured = {
        pilot.setting.label: measure(pilot, population(pilot.setting.recipe, problems, scores), chosen)
        for pilot in pilots
    }
    counted = (len(positions), len(problems))
    estimates = tuple(_strategy(options, pilot, measured[pilot.setting.label], counted) for pilot in pilots)
    return RunEstimate(
        problems=options.problems,
        num_problems=len(problems),
        pilot_problems=len(positions),
        strategies=estimates,
        advice=advise(
            {item.strategy: item.replicas[0] for item in estimates},
            {label: num_starts(*counted) * found.speed.startup_s for label, found in measured.items()},
            {label: found.num_graded / len(positions) for label, found in measured.items()},
            accuracy=options.accuracy,
            max_usd=options.max_usd,
        ),
    )


def _check(options: EstimateOptions, pilot: Pilot) -> None:
    """What is asked for has to have an answer."""
    roles, cost = role_sections(pilot.setting.recipe), pilot.setting.recipe.cost
    for num_generators, num_prms in options.replicas:
        if "prm" in roles and not num_prms:
            raise InvalidInput(f"--replicas {num_generators}+0: {pilot.setting.label} needs a PRM")
    instances = {"generator": cost.generator_instance, "prm": cost.prm_instance}
    unpriced = [f"cost.{role}_instance" for role in roles if instances[role] is None]
    if options.max_usd is not None and unpriced:
        raise InvalidInput(f"--max-usd: no price is known; set {' and '.join(unpriced)} (docs/cost.md)")


def _strategy(options: EstimateOptions, pilot: Pilot, found: Measured, counted: tuple[int, int]) -> StrategyEstimate:
    """One strategy's part; what was predicted for the recipe's own replicas is left in its run, for its report.

    Only a run that has done no more than its pilot: of another one the speed is no prediction any more.
    """
    own = own_replicas(pilot.setting.recipe)
    asked: list[Mapping[Role, int]] = [{"generator": few[0], "prm": few[1]} for few in options.replicas]
    predictions = tuple(prediction(found, counts, *counted) for counts in asked or [own])
    store = pilot.plan.store
    if read_log(store).totals.problems == counted[0]:
        store.replace(ESTIMATE, encode(prediction(found, own, *counted)))
    return StrategyEstimate(
        strategy=pilot.setting.label,
        run=pilot.plan.store.uri,
        goes_on=_command(options, pilot),
        pilot_graded=found.num_graded,
        pilot_right=found.num_right,
        pilot_failed=found.num_failed,
        first_error=found.error,
        without=_left_out(options, pilot),
        generators_per_prm=generators_per_prm(found),
        replicas=predictions,
    )


def _left_out(options: EstimateOptions, pilot: Pilot) -> tuple[str, ...]:
    """Caps that the real run has, and its pilot had not."""
    own, real = pilot.setting.recipe.budget, load_recipe(options.recipe, options.overrides).budget
    return tuple(f"{key} = {value:g}" for key, value in real.caps.items() if key not in own.caps)


def _command(options: EstimateOptions, pilot: Pilot) -> str:
    words = ["parsimony", "score", options.problems, "--recipe", str(options.recipe), "--output", pilot.plan.store.uri]
    own = pilot.setting.overrides[len(options.overrides) + len(NO_CAPS) :]
    for override in (*options.overrides, *own):
        words += ["--set", override]
    words += ["--limit", str(options.limit)] if options.limit is not None else []
    words += ["--single-writer"] if options.single_writer else []
    return shlex.join(words)


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(command="estimate"))
