"""What one long sample costs the controller, and how long the last of many holds its loop.

    python -m benchmarks.long_samples

The real scheduler takes in whole samples of many tokens, one result at a time as they come, scores of every step
included. Prints JSON: milliseconds of processor time per sample, and of the longest single event: the loop does nothing
else meanwhile. The lowest of several rounds.
"""

import argparse
import gc
import json
import sys
import time
from functools import partial
from typing import Any

from records.calls import SampleCall, Sampled, SampledStep, Sampling, ScoreCall, Scored
from records.path import FinishReason, PrmScore
from records.problem import Problem
from scaling.budget.ledger import Ledger
from scaling.scheduler.scheduler import Scheduler
from scaling.strategies.best_of_n import best_of_n
from scaling.strategy import SearchLimits
from scaling.uncertainty.aggregation import Aggregation

STEP_TOKENS = 70
CASES = {"32k tokens, 1 sample": (32_768, 1), "8k tokens, 64 samples": (8_192, 64)}


def sample_of(call: SampleCall, num_tokens: int) -> Sampled:
    """A sample of so many tokens in steps of `STEP_TOKENS`."""
    sizes = [min(STEP_TOKENS, num_tokens - begun) for begun in range(0, num_tokens, STEP_TOKENS)]
    steps = [
        SampledStep(
            f"{number}: {'we multiply what we have by what the question gives and add the rest, ' * 4}\n\n",
            tuple(range(number, number + size)),
            FinishReason.SEPARATOR,
            -1.0,
        )
        for number, size in enumerate(sizes)
    ]
    steps[-1] = SampledStep("The answer is \\boxed{7}.", steps[-1].token_ids, FinishReason.EOS, -1.0)
    return Sampled(call.key, tuple(steps), 100, 96, 0.1, 100.0)


def scores_of(call: ScoreCall) -> Scored:
    """As many as it asks for."""
    number = len(call.steps) if call.every and call.steps else 1
    return Scored(call.key, (PrmScore(0.2, 0.5, 0.8),) * number, 100, 50, False, 0.1, 0.2)


def measured(num_tokens: int, num_samples: int) -> dict[str, float]:
    """Milliseconds of one problem: in all by sample, and of its longest event."""
    limits = SearchLimits(max_tokens=num_tokens, max_step_tokens=num_tokens)
    strategy = partial(best_of_n, limits=limits, num_samples=num_samples, aggregation=Aggregation.MIN)
    scheduler = Scheduler(
        strategy=strategy, run_seed=7, sampling=Sampling(0.7), ledger=Ledger(), on_flight=lambda *_: None
    )
    scheduler.generator_up("generator-0", num_samples)
    scheduler.prm_up("prm-0", num_samples)
    events: list[float] = []
    todo: list[Any] = []

    def event(function: Any, *arguments: Any, **named: Any) -> None:
        begun_s = time.process_time()
        function(*arguments, **named)
        outgoing = scheduler.pump(now_s=0.0)
        events.append(time.process_time() - begun_s)
        todo.extend(call for calls in (outgoing.samples, outgoing.scores) for some in calls.values() for call in some)

    event(scheduler.open, Problem("problem", "How many?", "7"), order=0, now_s=0.0)
    while todo:
        call = todo.pop(0)
        if isinstance(call, SampleCall):
            event(scheduler.generator_results, "generator-0", [sample_of(call, num_tokens)], now_s=0.0)
        else:
            event(scheduler.prm_results, "prm-0", [scores_of(call)], now_s=0.0)
    [concluded] = scheduler.take_concluded()
    if concluded.search.error is not None:
        raise RuntimeError(concluded.search.error)
    return {"ms_per_sample": sum(events) / num_samples * 1e3, "longest_event_ms": max(events) * 1e3}


def main() -> None:
    """Measure all and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    for name, case in CASES.items():
        rounds = []
        for _ in range(options.rounds):
            gc.collect()
            rounds.append(measured(*case))
        found[name] = {key: round(min(one[key] for one in rounds), 2) for key in rounds[0]}
    json.dump(found, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
