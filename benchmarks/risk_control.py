"""How often a promise of risk is broken, by drawing the calibration anew: `answer.target_error` on many splits.

    python -m benchmarks.risk_control risk.json --targets 0.05,0.1 --rounds 1000

A file of `parsimony calibrate-risk` is split at random, again and again: one part chooses the threshold, on the other
it is seen how many of the answers that are stood by are wrong. Two kinds of breach are counted. `exceeded` compares
with the target what a finite part came to, so it holds the luck of that part too: a rule whose true risk is the target
itself exceeds it in half of the rounds. `significantly_exceeded` counts parts that a true risk at the target would give
in one of twenty cases (binomial); beyond that share, and the promise's own, something is wrong. `oracle` is the most
that could have been answered on the other part with its own verdicts at hand.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import bdtrc

from jobs.recipes.answers.risk import read_risk
from records.path import PrmScore
from scaling.arrays import Floats
from scaling.uncertainty.abstention import probability_of
from scaling.uncertainty.aggregation import ScoreEstimate
from scaling.uncertainty.risk_control import controlled, ranked


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the JSON; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.risk_control", description="Promises of risk, broken")
    parser.add_argument("file", type=Path, help="of parsimony calibrate-risk")
    parser.add_argument("--targets", default="0.05,0.1", help="target errors, comma-separated (default: 0.05,0.1)")
    parser.add_argument("--level", type=float, default=0.9)
    parser.add_argument("--share", type=float, default=0.6, help="of the problems that choose (default: 0.6)")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--estimate", default="lower", choices=[str(one.value) for one in ScoreEstimate])
    options = parser.parse_args(arguments)
    seen = read_risk(options.file)
    estimate = ScoreEstimate(options.estimate)
    confidences = np.array(
        [0.0 if each is None else probability_of("", PrmScore(*each), estimate) for each in seen.answer_p]
    )
    wrong = np.asarray(seen.wrong, dtype=np.float64)
    found = [
        resplit(confidences, wrong, target=target, level=options.level, share=options.share, rounds=options.rounds)
        for target in map(float, options.targets.split(","))
    ]
    print(json.dumps({"file": str(options.file), "num_problems": len(wrong), "targets": found}, indent=2))
    return 0


def resplit(
    confidences: Floats, wrong: Floats, *, target: float, level: float, share: float, rounds: int
) -> dict[str, Any]:
    """What a target comes to over random splits.

    Args:
        confidences: [P].
        wrong: [P], 1 or 0.
        target: most wrong answers.
        level: how certain.
        share: of the problems that choose the threshold.
        rounds: how many splits.
    """
    rng = np.random.default_rng(0)
    count = round(share * len(wrong))
    supported = exceeded = significant = 0
    coverages, oracles, risks = [], [], []
    for _ in range(rounds):
        order = rng.permutation(len(wrong))
        chosen = controlled(ranked(confidences[order[:count]], wrong[order[:count]]), target_error=target, level=level)
        if chosen is None:
            continue
        supported += 1
        held, is_wrong = confidences[order[count:]], wrong[order[count:]]
        kept = held >= chosen.threshold
        n, k = int(kept.sum()), int(is_wrong[kept].sum())
        exceeded += k > target * n
        significant += bool(n and k and bdtrc(k - 1, n, target) < 0.05)
        coverages.append(n / len(held))
        risks.append(k / n if n else 0.0)
        oracles.append(_oracle(held, is_wrong, target))
    return {
        "target_error": target,
        "level": level,
        "rounds": rounds,
        "supported": supported / rounds,
        "exceeded": exceeded / rounds,
        "significantly_exceeded": significant / rounds,
        "mean_risk": float(np.mean(risks)) if risks else None,
        "mean_coverage": float(np.mean(coverages)) if coverages else None,
        "mean_coverage_of_oracle": float(np.mean(oracles)) if oracles else None,
    }


def _oracle(confidences: Floats, wrong: Floats, target: float) -> float:
    """The largest share of problems that some threshold answers with no more wrong than the target."""
    order = np.argsort(-confidences, kind="stable")
    risk = np.cumsum(wrong[order]) / np.arange(1, len(order) + 1)
    is_end = np.append(np.diff(confidences[order]) != 0, True)  # equal ones are answered together
    fits = np.flatnonzero((risk <= target) & is_end & (confidences[order] > 0))
    return float(fits[-1] + 1) / len(order) if len(fits) else 0.0


if __name__ == "__main__":
    raise SystemExit(main())
