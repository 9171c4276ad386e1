"""Rollouts of the arithmetic example without a model: counts as a sampler would give them."""

import random
from pathlib import Path

import pyarrow.parquet as pq

from examples.arithmetic.problems import LEVELS, parse_question, problem_set, solve
from records.schemas import PARQUET_OPTIONS, to_table
from tests.support.fake_training import rollout_row


def write_rollouts(path: Path, num_problems: int = 40) -> None:
    """Prefixes of right solutions, and of one with a wrong step; hard problems rarely succeed."""
    chance = random.Random(7)
    rows = []
    for problem in problem_set("synthetic", num_problems, {level: LEVELS[level] for level in (1, 2, 3, 4)}, None, 11):
        solution = solve(parse_question(problem.question))
        assert solution is not None
        steps = [f"{step}\n\n" for step in solution[0]]
        rate = max(0.1, 0.9 - 0.2 * problem.level)
        paths = [steps[:depth] for depth in range(len(steps))] + [["9*9=18 so 18\n\n"]]
        for node, prefix in enumerate(paths):
            right = sum(chance.random() < (0.05 if node == len(steps) else rate) for _ in range(8))
            rows.append(rollout_row(problem.problem_id, node, prefix, right, 8, question=problem.question))
        rows.append(rollout_row(problem.problem_id, 99, steps, 1, 1, question=problem.question, terminal=True))
    pq.write_table(to_table("rollouts", rows), path, **PARQUET_OPTIONS)
