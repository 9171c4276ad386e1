"""How sure a generator was of its tokens: from the log-probabilities of the likeliest tokens to two numbers per token.

Computed in the replica, so that what travels is two numbers per token and not a matrix.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class TopLogprobs:
    """The k likeliest tokens at each position of a sample.

    Attributes:
        token_ids: [num_tokens, k].
        logprobs: [num_tokens, k], nats, before temperature and top-p.
    """

    token_ids: NDArray[np.int64]
    logprobs: NDArray[np.float64]


def token_confidences(top: TopLogprobs) -> tuple[float, ...]:
    """C_i = -(1/k) sum_j log P_i(j) over the k likeliest tokens (DeepConf, arXiv 2508.15260): [num_tokens].

    Higher is more peaked; the least is log k, where k tokens share everything evenly. Rounded to float32, as the tables
    keep it, so that a restored search decides as the first one did.
    """
    confidences: list[float] = (-top.logprobs.mean(axis=1)).astype(np.float32).tolist()
    return tuple(confidences)


def sampled_logprobs(
    token_ids: Sequence[int], logprobs: Sequence[float], top: TopLogprobs, temperature: float
) -> tuple[float, ...]:
    """Log-probability (nats) of each sampled token in the distribution that it was drawn from: [num_tokens].

    That is (1/t) log p less the logsumexp of (1/t) log p, here over the k likeliest tokens and the sampled one: exact
    where k covers the vocabulary, and close where 1/t is 2 or more, since the rest then weighs next to nothing. At
    t = 1 it is log p itself; at t = 0 nothing else could have been drawn.

    Args:
        token_ids: sampled.
        logprobs: of these, before temperature.
        top: of the same positions.
        temperature: t, of the sampling without top-p.
    """
    if temperature == 0:
        return (0.0,) * len(logprobs)
    if temperature == 1:
        return tuple(logprobs)
    own = np.asarray(logprobs, dtype=np.float64)
    beside = (top.token_ids != np.asarray(token_ids, dtype=np.int64)[:, None]).astype(np.float64)
    likeliest = np.maximum(own, top.logprobs.max(axis=1))
    weights = np.exp((top.logprobs - likeliest[:, None]) / temperature) * beside
    normalisers = weights.sum(axis=1) + np.exp((own - likeliest) / temperature)
    drawn: list[float] = ((own - likeliest) / temperature - np.log(normalisers)).tolist()
    return tuple(drawn)
