"""What a PRM's score costs at each step of a long path: should be as much at the thirtieth as at the first.

    python -m benchmarks.prm_steps --recipe examples/arithmetic/beam-16.toml --steps 30 --paths 8

The recipe's PRM is loaded in this process, behind the replica that serves runs. Paths grow by one step at a time, side
by side, as in a search; after each step all are scored, and it is measured: processor time of this process, tokens of
the inputs and those of them that the prefix cache had. `slope` is the least-squares growth per step of the tokens that
were computed and of processor time, over its mean: 0 where a step costs the same however long the path is, as attention
grows by little; 2 / steps where each score reads the whole path again.
"""

import argparse
import asyncio
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actors.replicas.prm import Prm
from jobs.recipes.load import load_recipe
from jobs.recipes.settings import prm_settings
from records.calls import ScoreCall, Scored, TextPrefix, child_prefix_id, root_prefix_id
from records.replica import ReplicaInfo

WARM_UP = 2
"""Passes over all paths that count for nothing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the JSON; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prm_steps", description="The PRM's cost, by step")
    parser.add_argument("--recipe", type=Path, default=Path("examples/arithmetic/beam-16.toml"))
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--paths", type=int, default=8, help="side by side (default: 8)")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    print(json.dumps(asyncio.run(measured(options)), indent=2))
    return 0


async def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Cost by step, medians over repeats of all paths together."""
    settings = prm_settings(load_recipe(options.recipe, []))
    if settings is None:
        raise SystemExit(f"{options.recipe} has no PRM")
    prm = Prm(settings)
    info = await prm.hello()
    passes = [await _one_pass(prm, info, number, options) for number in range(WARM_UP + options.repeats)][WARM_UP:]
    await prm.close()
    by_step = np.median(np.array(passes), axis=0)  # [steps, (seconds, tokens, cached)]
    seconds, tokens, cached = by_step.T
    computed = tokens - cached
    return {
        "recipe": str(options.recipe),
        "paths": options.paths,
        "ms_per_score": [round(1000 * value / options.paths, 3) for value in seconds],
        "input_tokens": [round(value / options.paths, 1) for value in tokens],
        "computed_tokens": [round(value / options.paths, 1) for value in computed],
        "slope": {"processor_time": _slope(seconds), "computed_tokens": _slope(computed)},
    }


async def _one_pass(
    prm: Prm, info: ReplicaInfo, number: int, options: argparse.Namespace
) -> list[tuple[float, int, int]]:
    paths = [_steps(number, path, options.steps) for path in range(options.paths)]
    found = []
    acked = 0
    for step in range(options.steps):
        calls = [_call(number, path, steps[: step + 1]) for path, steps in enumerate(paths)]
        before = time.process_time()
        await prm.submit(info.incarnation, number + 1, calls)
        scored: list[Scored] = []
        while len(scored) < len(calls):
            collected = await prm.collect(info.incarnation, number + 1, acked, 60.0)
            acked = collected.last
            scored += [result for result in collected.results if isinstance(result, Scored)]
        seconds = time.process_time() - before
        found.append((seconds, sum(one.prm_tokens for one in scored), sum(one.cached_tokens for one in scored)))
    return found


def _question(number: int, path: int) -> str:
    return f"Compute {number + 11} * {path + 3}."


def _call(number: int, path: int, steps: tuple[str, ...]) -> ScoreCall:
    question = _question(number, path)
    prefix_id = root_prefix_id(question)
    for step in steps[:-1]:
        prefix_id = child_prefix_id(prefix_id, [step])
    prefix = TextPrefix(question, steps[:-1])
    return ScoreCall(f"{path}/{len(steps)}", prefix_id, prefix, steps[-1:], every=False)


def _steps(number: int, path: int, count: int) -> tuple[str, ...]:
    """Sums that nobody has written before: only a path's own past is in the cache."""
    rng = random.Random(f"{number} {path}")
    return tuple(f"{(a := rng.randrange(100))} + {(b := rng.randrange(100))} = {a + b}\n\n" for _ in range(count))


def _slope(values: Any) -> float:
    places = np.arange(len(values))
    return float(np.polyfit(places, values, 1)[0] / np.mean(values))


if __name__ == "__main__":
    raise SystemExit(main())
