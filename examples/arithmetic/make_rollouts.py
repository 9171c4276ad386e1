"""Sample labelled trajectories of the train split for the process reward model.

Trajectories are drawn at the evaluation temperature. A prefix is labelled 1 where any of a few
rollouts of a colder sampler from it is right (the hard estimation of Math-Shepherd), a finished
solution by its outcome. More trajectories carry the label of their outcome only.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from examples.arithmetic.common import HERE, TEMPERATURE, Problem, is_right, named_seed, write_jsonl
from examples.arithmetic.problems import DEFAULT_SEED, LEVELS, draw_problem, training_mix
from examples.arithmetic.sampling import Request, Sampler

UNKNOWN: Final = -1
Steps = tuple[str, ...]


@dataclass(slots=True)
class Trajectory:
    """A distinct sampled solution; ``count``: how often it was sampled.

    ``labels`` [1 + steps]: 1 or 0 after the question and after each step, UNKNOWN where unlabelled.
    """

    problem_id: str
    question: str
    answer: str
    level: int
    steps: Steps
    finished: bool
    count: int
    labels: list[int] = field(default_factory=list)


def rollout_problems(count: int, least: int, seed: int) -> list[Problem]:
    """Distinct problems of the train split with at least ``least`` operations.

    Half of them are drawn from the levels of the problem files, half from the broad training mix.
    """
    rng = random.Random(named_seed("rollout-problems", seed))
    problems: dict[str, Problem] = {}
    while len(problems) < count:
        level = rng.choice(sorted(LEVELS))
        mix = LEVELS[level] if rng.random() < 0.5 else training_mix(rng)
        if mix.operations < least:
            continue
        question, _, answer = draw_problem(rng, mix, "train")
        problems[question] = Problem(f"roll-{len(problems):06d}", question, str(answer), mix.operations)
    return list(problems.values())


def sample_trajectories(sampler: Sampler, problems: list[Problem], each: int, seed: int) -> list[Trajectory]:
    """Distinct trajectories of each problem at the evaluation temperature, labelled by outcome."""
    requests = [Request(p.question, (), each, named_seed(seed, p.problem_id, "trajectories")) for p in problems]
    found: list[Trajectory] = []
    for problem, samples in zip(problems, sampler.sample(requests, TEMPERATURE), strict=True):
        counts = Counter((sample.steps, sample.finished) for sample in samples if sample.steps)
        for (steps, finished), count in counts.items():
            right = finished and is_right(steps[-1], problem.answer)
            labels = [UNKNOWN] * len(steps) + [int(right)]
            found.append(Trajectory(**asdict(problem), steps=steps, finished=finished, count=count, labels=labels))
    return found


def open_prefixes(trajectory: Trajectory) -> Iterator[Steps]:
    """Prefixes of a trajectory, from the bare question on, that do not hold the whole solution."""
    for length in range(len(trajectory.steps)):
        yield trajectory.steps[:length]


def label_prefixes(
    sampler: Sampler, trajectories: list[Trajectory], rollouts: int, temperature: float, seed: int
) -> None:
    """Fill in the labels of all open prefixes from rollouts of the colder sampler."""
    keys = {(t.question, prefix): t for t in trajectories for prefix in open_prefixes(t)}
    requests = [
        Request(question, prefix, rollouts, named_seed(seed, owner.problem_id, *prefix))
        for (question, prefix), owner in keys.items()
    ]
    labels: dict[tuple[str, Steps], int] = {}
    for (key, owner), samples in zip(keys.items(), sampler.sample(requests, temperature), strict=True):
        right = (s.finished and bool(s.steps) and is_right(s.steps[-1], owner.answer) for s in samples)
        labels[key] = int(any(right))
    for trajectory in trajectories:
        for at, prefix in enumerate(open_prefixes(trajectory)):
            trajectory.labels[at] = labels[(trajectory.question, prefix)]


def report(stage: str, sampler: Sampler, trajectories: list[Trajectory], started: float) -> None:
    """Print how far the sampling has come."""
    drawn = sum(t.count for t in trajectories)
    line = {
        "stage": stage,
        "distinct": len(trajectories),
        "sampled": drawn,
        "right": round(sum(t.count for t in trajectories if t.labels[-1] == 1) / max(1, drawn), 4),
        "tokens_so_far": sampler.sampled_tokens,
        "seconds": round(time.monotonic() - started),
    }
    print(json.dumps(line), flush=True)


def main() -> None:
    """Sample, label and write the trajectories."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generator", type=Path, default=HERE / "generator")
    parser.add_argument("--output", type=Path, required=True, help="JSON-lines file to write")
    parser.add_argument("--problems", type=int, default=1200, help="problems with labelled prefixes")
    parser.add_argument("--trajectories", type=int, default=4, help="trajectories of each of these")
    parser.add_argument("--rollouts", type=int, default=3, help="rollouts of each prefix")
    parser.add_argument("--temperature", type=float, default=0.3, help="of the rollouts")
    parser.add_argument("--outcome-problems", type=int, default=3500, help="problems labelled by outcome only")
    parser.add_argument("--outcome-trajectories", type=int, default=8)
    parser.add_argument("--least-operations", type=int, default=1)
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    args = parser.parse_args()
    sampler = Sampler(args.generator)
    started = time.monotonic()
    problems = rollout_problems(args.problems + args.outcome_problems, args.least_operations, args.seed)
    labelled = sample_trajectories(sampler, problems[: args.problems], args.trajectories, args.seed)
    report("trajectories", sampler, labelled, started)
    label_prefixes(sampler, labelled, args.rollouts, args.temperature, args.seed)
    report("prefix labels", sampler, labelled, started)
    write_jsonl(args.output, (asdict(trajectory) for trajectory in labelled))
    more = sample_trajectories(sampler, problems[args.problems :], args.outcome_trajectories, args.seed)
    report("outcome labels", sampler, more, started)
    write_jsonl(args.output, (asdict(trajectory) for trajectory in labelled + more))


if __name__ == "__main__":
    main()
