"""What stopping on the samples that finish first does to answers, where right samples are shorter or longer than wrong.

    python -m benchmarks.arrival_bias
    python -m benchmarks.arrival_bias --problems 4000 --num-samples 16 --confidence 0.95 --json

Problems are drawn with a chance of a right sample, samples with an answer and a lognormal length; `ratio` is the median
length of right samples over that of wrong ones. Strategies are the package's own, played on the samples as `compare`
does: all that are under way grow a token a tick. Nothing is timed and no model is asked, so the figures are the same
anywhere. `differs` is the share of problems that are right here and wrong with the majority of all samples, or the
other way about; `tokens` is over that majority's.
"""

import argparse
import json
import math
import random
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from records.path import FinishReason, Path
from scaling.stored.problem import Cost, StoredProblem, StoredSample
from scaling.stored.sample_player import Outcome, play
from scaling.strategies.as_they_finish import Look
from scaling.strategies.majority import majority
from scaling.strategies.published.adaptive_consistency import adaptive_consistency
from scaling.strategies.published.short_m_of_k import short_m_of_k
from scaling.strategy import SearchLimits, StrategyFactory

LIMITS = SearchLimits(max_tokens=10**9, max_step_tokens=10**9)
RATIOS = (0.5, 0.8, 1.0, 1.25, 2.0)
MEDIAN_TOKENS = 1000
NUM_WRONG = 4
RIGHT = "right"


def drawn(number: int, num_samples: int, ratio: float, sigma: float) -> StoredProblem:
    """One problem and its samples: right with a chance that is uniform in [0, 1]."""
    rng = random.Random(f"{number}")
    p = rng.random()
    root = Path(0, None, f"problem {number}")
    samples = []
    for index in range(num_samples):
        right = rng.random() < p
        answer = RIGHT if right else f"w{rng.randrange(NUM_WRONG)}"
        median = MEDIAN_TOKENS * (ratio if right else 1.0)
        num_tokens = max(1, round(median * math.exp(sigma * rng.gauss(0.0, 1.0))))
        path = Path(index + 1, root, f"\\boxed{{{answer}}}", (0,) * num_tokens, FinishReason.EOS)
        samples.append(StoredSample(path, path, Cost(generated_tokens=num_tokens), answer, every_step_scored=False))
    verdicts = {sample.answer: sample.answer == RIGHT for sample in samples}
    return StoredProblem(f"{number}", root, Cost(), tuple(samples), {**verdicts, None: False})


def strategies(num_samples: int, confidence: float) -> dict[str, StrategyFactory]:
    """What is measured, by the name in the table."""
    adaptive = partial(adaptive_consistency, limits=LIMITS, num_samples=num_samples, confidence=confidence)
    return {
        "majority": partial(majority, limits=LIMITS, num_samples=num_samples),
        "majority, until decided": partial(majority, limits=LIMITS, num_samples=num_samples, stop_when_decided=True),
        "adaptive-consistency, waves of 1": adaptive,
        "adaptive-consistency, waves of 8": partial(adaptive, wave_size=8),
        "adaptive-consistency, 8 in order": partial(adaptive, wave_size=8, look=Look.ORDER),
        "adaptive-consistency, 8 as they arrive": partial(adaptive, wave_size=8, look=Look.ARRIVAL),
        "short-3-of-k": partial(short_m_of_k, limits=LIMITS, num_samples=num_samples, num_first=min(3, num_samples)),
    }


def measured(options: argparse.Namespace, ratio: float) -> dict[str, dict[str, float]]:
    """Of each strategy at one ratio."""
    problems = [drawn(number, options.num_samples, ratio, options.sigma) for number in range(options.problems)]
    order = range(options.num_samples)
    outcomes = {
        name: [play(strategy, problem, order) for problem in problems]
        for name, strategy in strategies(options.num_samples, options.confidence).items()
    }
    return {name: _summary(own, outcomes["majority"]) for name, own in outcomes.items()}


def _summary(own: Sequence[Outcome], plain: Sequence[Outcome]) -> dict[str, float]:
    return {
        "accuracy": sum(bool(outcome.right) for outcome in own) / len(own),
        "differs": sum(one.right != other.right for one, other in zip(own, plain, strict=True)) / len(own),
        "tokens": sum(outcome.cost.generated_tokens for outcome in own)
        / sum(outcome.cost.generated_tokens for outcome in plain),
        "samples": sum(outcome.num_samples for outcome in own) / len(own),
    }


def table(found: dict[str, Any]) -> str:
    """For people."""
    lines = [f"{'right / wrong length':22}{'strategy':42}accuracy  differs  tokens  samples"]
    for ratio, by_name in found["ratios"].items():
        for name, row in by_name.items():
            numbers = f"{row['accuracy']:8.3f}{row['differs']:9.3f}"
            lines.append(f"{ratio:22}{name:42}{numbers}{row['tokens']:8.3f}{row['samples']:9.1f}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate and print."""
    made = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--problems", type=int, default=2000)
    made.add_argument("--num-samples", type=int, default=16)
    made.add_argument("--sigma", type=float, default=0.6, help="spread of lengths, of the logarithm")
    made.add_argument("--confidence", type=float, default=0.8, help="of adaptive-consistency")
    made.add_argument("--json", action="store_true")
    options = made.parse_args(arguments)
    found = {
        "problems": options.problems,
        "num_samples": options.num_samples,
        "sigma": options.sigma,
        "confidence": options.confidence,
        "ratios": {str(ratio): measured(options, ratio) for ratio in RATIOS},
    }
    print(json.dumps(found, indent=2) if options.json else table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
