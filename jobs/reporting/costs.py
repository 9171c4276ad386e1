"""What a run cost: tokens by kind, FLOPs by role and phase, and how much went into easy and hard problems."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from records.rows import ProblemRow
from records.run_folder.manifest import Manifest
from scaling.arrays import Floats

NUM_BINS = 10


@dataclass(frozen=True, slots=True)
class FlopsByPhase:
    """FLOPs of a run; they add up to its total.

    Attributes:
        decode: of the generator, on tokens that it sampled.
        prefill: of the generator, on prompt tokens that were in no cache.
        prm: of the PRM, on input tokens that were in no cache.
    """

    decode: float
    prefill: float
    prm: float


@dataclass(frozen=True, slots=True)
class DifficultyBin:
    """Problems of about the same difficulty, [lower, upper).

    Attributes:
        num_problems: how many.
        tokens: generated, mean; `tokens_low`, `tokens_high` are the quartiles; likewise wall seconds.
    """

    lower: float
    upper: float
    num_problems: int
    tokens: float
    tokens_low: float
    tokens_high: float
    seconds: float
    seconds_low: float
    seconds_high: float


def flops_by_phase(rows: Sequence[ProblemRow], manifest: Manifest) -> FlopsByPhase | None:
    """By the sizes of the models; None where nobody knows them.

    Rows are linear in the sizes (2 x parameters x computed tokens), so where the manifest has none they are solved for;
    None too where the rows are too few or too alike for that.
    """
    if not rows:
        return None
    decode = _column(rows, "generated_tokens")
    prefill = _column(rows, "prompt_tokens") - _column(rows, "cached_tokens")
    prm = _column(rows, "prm_tokens") - _column(rows, "prm_cached_tokens")
    sizes = _sizes(manifest, bool(prm.any())) or _solved(decode + prefill, prm, _column(rows, "flops"))
    if sizes is None:
        return None
    generator, scorer = sizes
    return FlopsByPhase(
        decode=2.0 * generator * float(decode.sum()),
        prefill=2.0 * generator * float(prefill.sum()),
        prm=2.0 * scorer * float(prm.sum()),
    )


def _sizes(manifest: Manifest, scores: bool) -> tuple[float, float] | None:
    found = [getattr(manifest.models.get(role), "num_parameters", None) for role in ("generator", "prm")]
    generator, scorer = found
    if generator is None or (scores and scorer is None):
        return None
    return float(generator), float(scorer or 0)


def _solved(generator_tokens: Floats, prm_tokens: Floats, flops: Floats) -> tuple[float, float] | None:
    computed = np.stack([generator_tokens, prm_tokens], axis=1)
    used = [bool(column.any()) for column in (generator_tokens, prm_tokens)]
    sizes, _, rank, _ = np.linalg.lstsq(2.0 * computed[:, used], flops, rcond=None)
    if rank < np.count_nonzero(used) or not used[0]:
        return None
    return float(round(sizes[0])), float(round(sizes[1])) if used[1] else 0.0


def _column(rows: Sequence[ProblemRow], name: str) -> Floats:
    return np.array([getattr(row, name) for row in rows], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Difficulty:
    """How hard problems are.

    Attributes:
        values: problem id -> difficulty in [0, 1].
        meaning: what it is, in words; why there is none where `values` is empty.
    """

    values: Mapping[str, float]
    meaning: str


def difficulty_of(rows: Sequence[ProblemRow], shares: Mapping[str, float]) -> Difficulty:
    """1 - the PRM's median for the bare question where the run asked, else 1 - the share of right samples.

    Args:
        rows: of problems.
        shares: problem id -> share of right ones among its whole samples, where they are known.
    """
    scored = {row.problem_id: 1.0 - row.p_median for row in rows if row.p_median is not None}
    if scored:
        return Difficulty(scored, "1 - the PRM's median probability of success for the bare question")
    if shares:
        return Difficulty(
            {problem_id: 1.0 - share for problem_id, share in shares.items()}, "1 - the share of right samples"
        )
    why = "nobody scored the bare questions, and no shares of right samples are known"
    return Difficulty({}, why)


def by_difficulty(rows: Sequence[ProblemRow], difficulty: Difficulty) -> list[DifficultyBin]:
    """Spending in bins of equal width; those without a problem are left out."""
    known = [row for row in rows if row.problem_id in difficulty.values]
    hard = np.array([difficulty.values[row.problem_id] for row in known])
    numbers = np.minimum((hard * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    bins = []
    for number in sorted(set(numbers.tolist())):
        own = [row for row, place in zip(known, numbers, strict=True) if place == number]
        tokens, seconds = _column(own, "generated_tokens"), _column(own, "wall_seconds")
        bins.append(
            DifficultyBin(number / NUM_BINS, (number + 1) / NUM_BINS, len(own), *_spread(tokens), *_spread(seconds))
        )
    return bins


def _spread(values: Floats) -> tuple[float, float, float]:
    """Mean and quartiles."""
    low, high = np.quantile(values, [0.25, 0.75])
    return float(values.mean()), float(low), float(high)
