"""Which prefixes a training step sees, and at which learning rate: all from names and numbers, nothing from chance.

epoch --order by a hash of (seed, epoch, problem, chain)--> batches of about so many prefixes
batch --by length--> passes of at most so many tokens, padding included: what the device holds at once
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from actors.engines.training.engine import Batch
from actors.trainer.dataset import TrainingSet
from scaling.calibration.chains import Chain
from scaling.seeds import seed_for


def epoch_batches(whole: TrainingSet, *, seed: int, epoch: int, num_prefixes: int) -> list[list[Chain]]:
    """All chains in the order of an epoch, cut wherever `num_prefixes` rows have come together.

    A chain goes into one batch as a whole, so a batch holds fewer than `num_prefixes` rows more than asked for.
    """
    numbers: dict[str, int] = {}
    keyed = []
    for chain in whole.chains:
        problem_id = whole.observed.problem_ids[chain.rows[0]]
        numbers[problem_id] = number = numbers.get(problem_id, -1) + 1
        keyed.append((seed_for("order", seed, epoch, problem_id, number), problem_id, number, chain))
    batches: list[list[Chain]] = [[]]
    held = 0
    for *_, chain in sorted(keyed, key=lambda each: each[:3]):
        if held >= num_prefixes:
            batches.append([])
            held = 0
        batches[-1].append(chain)
        held += len(chain.rows)
    return batches


def passes(
    whole: TrainingSet, chains: Sequence[Chain], weights: NDArray[np.float64], *, num_tokens: int
) -> Iterator[tuple[Batch, list[int]]]:
    """Chains in groups that go through the model together, and the rows at their places.

    A group has at most `num_tokens`, padding included; a chain that is longer goes alone.
    """
    group: list[Chain] = []
    for chain in sorted(chains, key=lambda each: len(each.ids)):
        if group and len(chain.ids) * (len(group) + 1) > num_tokens:
            yield _pass(whole, group, weights)
            group = []
        group.append(chain)
    if group:
        yield _pass(whole, group, weights)


def _pass(whole: TrainingSet, group: list[Chain], weights: NDArray[np.float64]) -> tuple[Batch, list[int]]:
    rows = [row for chain in group for row in chain.rows]
    batch = Batch(
        ids=[chain.ids for chain in group],
        places=[chain.places for chain in group],
        successes=whole.observed.successes[rows],
        trials=whole.observed.trials[rows],
        weights=weights[rows],
    )
    return batch, rows


def learning_rate(batch: int, num_batches: int, *, peak: float, warmup_share: float) -> float:
    """Of batch `batch` (from 0): a linear rise over the first share of the batches, then a linear fall towards 0."""
    num_rising = round(warmup_share * num_batches)
    if batch < num_rising:
        return peak * (batch + 1) / (num_rising + 1)
    return peak * (num_batches - batch) / (num_batches - num_rising)


def evaluation_points(sizes: Sequence[int], per_epoch: int) -> frozenset[int]:
    """Numbers of batches after which there is an evaluation: `per_epoch` in each epoch of `sizes` batches, evenly."""
    points = set()
    begun = 0
    for size in sizes:
        points |= {begun + -(-size * part // per_epoch) for part in range(1, per_epoch + 1)}
        begun += size
    return frozenset(points)
