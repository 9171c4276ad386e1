"""What the strategies that grow candidates by steps have in common."""

import math
from collections.abc import Generator, Sequence

from records.path import Path
from records.request import Expand, Reply, Score, Scoring, Until
from scaling.strategy import Request, SearchLimits
from scaling.uncertainty.aggregation import Aggregation, aggregate


def one_step(
    growing: Sequence[tuple[Path, int]],
    limits: SearchLimits,
    *,
    scoring: Scoring = Scoring.LEAF,
    temperature: float | None = None,
    top_logprobs: int = 0,
) -> Expand:
    """The next steps of (path, num_samples) pairs."""
    return Expand(
        tuple(growing),
        Until.STEP,
        limits.max_step_tokens,
        scoring,
        temperature,
        top_logprobs,
        max_thought_tokens=limits.max_thought_tokens,
    )


def closed(path: Path, limits: SearchLimits) -> bool:
    """The path does not grow any more: it is finished, or as long as a sample may be."""
    return path.finished or path.num_tokens >= limits.max_tokens


def value(path: Path, aggregation: Aggregation) -> float:
    """The ranking score of a path, in [0, 1]; one that is not a number counts as 0, so that any score can be ranked."""
    number = aggregate(path, aggregation)
    return 0.0 if math.isnan(number) else number


def best_of(values: Sequence[float], num_kept: int) -> list[int]:
    """Indices of the highest values, best first; ties go to the earlier."""
    return sorted(range(len(values)), key=lambda index: (-values[index], index))[:num_kept]


def scored(paths: Sequence[Path]) -> Generator[Request, Reply, list[Path]]:
    """The same paths in the same order, those without a score asked for."""
    unscored = tuple(path for path in paths if path.score is None)
    if not unscored:
        return list(paths)
    reply = yield Score(unscored)
    answers = {path.node_id: path for path in reply.paths}
    return [answers.get(path.node_id, path) for path in paths]
