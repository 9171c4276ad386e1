"""The real controller on simulated engines: what a cluster of any size would do, on two cores.

    python -m benchmarks.simulate --generators 64 --strategy majority --num-samples 4 --problems 10000
    python -m benchmarks.simulate --generators 64 --strategy beam-search --num-samples 16 --problems 6400 --json

Scheduler, dispatcher, ledger, meter, recorder and the lines to the replicas are those of a run. Engines take the time
that measured rates give for the batch that they have, texts have lognormal lengths, messages and commits take a while,
and the clock jumps from one event to the next. Utilisation is of the generators' slots; a step is one sample with
all that follows from it (its score, its rows). What the controller's process takes is processor time of this
machine, without sockets and Ray; below one core per simulated second it does not slow the cluster.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from benchmarks.simulation.rates import RATES, rates_of
from benchmarks.simulation.run import Cluster, Simulation
from benchmarks.simulation.texts import Lengths
from records.failure import InvalidInput
from scaling.scheduler.dispatch import OVERCOMMIT
from scaling.strategies.as_they_finish import Look
from scaling.strategies.beam_search import beam_search
from scaling.strategies.best_of_n import best_of_n
from scaling.strategies.majority import majority
from scaling.strategies.marginal import marginal
from scaling.strategies.published.adaptive_consistency import adaptive_consistency
from scaling.strategies.published.short_m_of_k import short_m_of_k
from scaling.strategies.sequential import sequential
from scaling.strategy import SearchLimits, StrategyFactory

LIMITS = SearchLimits(max_tokens=2048, max_step_tokens=512)
STRATEGIES: dict[str, Callable[..., Any]] = {
    "majority": majority,
    "majority-until-decided": partial(majority, stop_when_decided=True),
    "adaptive-consistency": partial(adaptive_consistency, wave_size=4),
    "adaptive-consistency-in-order": partial(adaptive_consistency, wave_size=4, look=Look.ORDER),
    "short-m-of-k": partial(short_m_of_k, num_first=3),
    "best-of-n": best_of_n,
    "beam-search": partial(beam_search, beam_width=4, max_steps=40),
    "sequential": sequential,
    "marginal": marginal,
}
WITHOUT_SCORES = {name for name in STRATEGIES if name.startswith(("majority", "adaptive-consistency", "short"))}
GENERATORS_OF_A_PRM = 2
MARGINAL_CAP_SHARE = 0.5


def simulated(options: argparse.Namespace) -> dict[str, Any]:
    """Settings and what was found."""
    strategy: StrategyFactory = partial(STRATEGIES[options.strategy], limits=LIMITS, num_samples=options.num_samples)
    scores = options.strategy not in WITHOUT_SCORES
    num_prms = (options.prms or math.ceil(options.generators / GENERATORS_OF_A_PRM)) if scores else 0
    rates, lengths = rates_of(options.rates), Lengths(sigma=options.sigma)
    cluster = Cluster(
        num_generators=options.generators, num_prms=num_prms, num_slots=options.slots, generator=rates, prm=rates,
        lengths=lengths, message_s=options.message_ms / 1000, commit_s=options.commit_ms / 1000,
        store_bytes_per_s=options.store_mb_per_s * 1e6,
    )  # fmt: skip
    competing = options.strategy == "marginal"
    share = options.cap_share if options.cap_share is not None else MARGINAL_CAP_SHARE if competing else None
    most_tokens = options.problems * options.num_samples * lengths.step_median * lengths.steps_median
    made = Simulation(
        strategy, options.problems, cluster, competing=competing, bounds=bounds_of(options),
        total_tokens=None if share is None else round(share * most_tokens),
    )  # fmt: skip
    settings = {
        "strategy": options.strategy, "num_samples": options.num_samples, "problems": options.problems,
        "generators": options.generators, "prms": num_prms, "slots": options.slots, "rates": rates.source,
    }  # fmt: skip
    return settings | made.run()


def bounds_of(options: argparse.Namespace) -> dict[str, Any]:
    """What bounds the number of open problems, as fields of `RunSettings`."""
    waves = {"sequential": 4, "marginal": 1, "adaptive-consistency": 4, "adaptive-consistency-in-order": 4}
    at_once = waves.get(options.strategy, options.num_samples)
    window = options.max_open_problems or max(512, math.ceil(options.generators * options.slots * OVERCOMMIT / at_once))
    return {"max_open_problems": options.max_open_problems, "window_problems": window, "samples_at_once": at_once}


def table(found: dict[str, Any]) -> str:
    """For people."""
    until_last = found["utilisation_until_last_opened"]
    size = f"{found['generators']} generators of {found['slots']} slots, {found['prms']} PRMs"
    opened = f"{found['open_problems']:,.0f}, at most {found['most_open_problems']:,}, of {found['most_paths']:,} steps"
    waiting = f"{found['waiting_samples']:,.0f} samples, {found['waiting_scores']:,.0f} scores"
    per_step_ms = found["controller_seconds_per_step"] * 1e3
    lines = {
        "run": f"{found['strategy']}, {found['num_samples']} samples, {found['problems']} problems; {size}",
        "slots in use until the last problem opened": (
            ("-" if until_last is None else f"{until_last:.1%}") + f" of {found['last_opened_s']:,.0f} s"
        ),
        "slots in use until the end": f"{found['utilisation']:.1%} of {found['simulated_s']:,.0f} s",
        "the last 5% of the problems": f"{found['last_5_percent_s']:,.0f} s",
        "tokens/s": f"{found['tokens_per_s']:,.0f} of {found['tokens_per_s_of_full_engines']:,.0f} of full engines",
        "prompts found in prefix caches": f"{found['cached_share_of_prompts']:.1%}",
        "longest sample": f"{found['longest_sample_s']:,.0f} s",
        "PRMs at work": f"{found['prm_utilisation']:.1%}",
        "waiting in the controller": waiting,
        "open problems": opened,
        "concluded and not yet written": f"at most {found['most_unwritten_problems']:,} problems",
        "commits": f"{found['commits']:,}, {found['bytes_of_rows'] / 1e6:,.0f} MB of rows",
        "controller": f"{per_step_ms:.3f} ms a step, {found['controller_cores']:.2f} cores at this rate",
    }
    return "\n".join(f"{name:44}{value}" for name, value in lines.items())


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--generators", type=_positive, default=8)
    made.add_argument(
        "--prms", type=_positive, help="omitted: one for two generators, where the strategy asks for scores"
    )
    made.add_argument("--slots", type=_positive, default=64, help="calls in a generator's batch")
    made.add_argument("--strategy", choices=list(STRATEGIES), default="majority")
    made.add_argument("--num-samples", type=_positive, default=4)
    made.add_argument("--problems", type=_positive, default=1000)
    made.add_argument("--sigma", type=float, default=0.4, help="spread of lengths, of the logarithm")
    made.add_argument("--rates", default="gpu-8b", help=f"{', '.join(RATES)}, or a JSON file of rates")
    made.add_argument("--message-ms", type=float, default=1.0, help="on the way between controller and replica")
    made.add_argument("--commit-ms", type=float, default=400.0, help="of a commit, beside its bytes")
    made.add_argument("--store-mb-per-s", type=float, default=100.0, help="how fast parts are written")
    made.add_argument("--cap-share", type=float, help="cap on tokens, as a share of what the samples come to")
    made.add_argument("--max-open-problems", type=_positive, help="as in a recipe")
    made.add_argument("--json", action="store_true")
    return made


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate and print."""
    options = parser().parse_args(arguments)
    try:
        found = simulated(options)
    except InvalidInput as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(found, indent=2) if options.json else table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
