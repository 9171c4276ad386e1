"""Rollout rows as what a PRM is trained on: token ids as it is served with them, and counts.

rows --paths as in serving--> ids of each --the PRM's context--> chains, problem by problem
                                             |
                                             +--> rows that it would refuse to score are left out, and counted
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actors.engines.formats import PrmFormat
from actors.replicas.prm import PathIds
from records.rows import RolloutRow
from scaling.calibration.chains import Chain, pack
from scaling.calibration.observed import Observed


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """Prefixes with their counts, and the sequences on which they are read.

    Attributes:
        chains: each row is on exactly one of them.
        observed: what the rows' continuations came to.
        num_trajectories: that pass through each row's prefix [N]; each of them is one of its samples.
        questions: one for each problem, in no order.
    """

    chains: tuple[Chain, ...]
    observed: Observed
    num_trajectories: NDArray[np.int64]
    questions: frozenset[str]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.observed)

    @property
    def num_tokens(self) -> int:
        """Number of tokens of all chains."""
        return sum(len(chain.ids) for chain in self.chains)

    @property
    def sampled(self) -> NDArray[np.int64]:
        """Number of the row of each prefix of each trajectory: a row comes as often as trajectories pass through it."""
        return np.repeat(np.arange(len(self)), self.num_trajectories)

    def weights(self, *, by_problem: bool) -> NDArray[np.float64]:
        """Weight of each row in the loss [N], with mean 1.

        Each prefix of each trajectory weighs the same, so that the number of trajectories does not matter: the more of
        them there are, the rarer are the prefixes that are new. Or, `by_problem`, each problem weighs the same.
        """
        sampled = self.num_trajectories.astype(np.float64)
        if by_problem:
            _, of_row = np.unique(np.array(self.observed.problem_ids), return_inverse=True)
            sampled /= np.bincount(of_row, weights=sampled)[of_row]
        return np.asarray(sampled / sampled.mean(), dtype=np.float64)


def training_set(
    rows: Sequence[RolloutRow], form: PrmFormat, *, max_model_len: int, keep_tail: bool
) -> tuple[TrainingSet, int]:
    """What is trained on, and how many rows the PRM would refuse to score.

    Args:
        rows: in any order, each with at least one trial.
        form: of the PRM's family.
        max_model_len: tokens of its context.
        keep_tail: `prm.overlong`: cut an over-long path as serving does; else it is refused.
    """
    ordered = sorted(rows, key=lambda row: (row.problem_id, row.node_id))
    writer = _PathWriter(form)
    kept: list[RolloutRow] = []
    ids: dict[str, list[tuple[int, ...]]] = {}
    for row in ordered:
        found = writer.path(row).fitted(form, max_model_len, keep_tail=keep_tail).inputs(form)
        if len(found) <= max_model_len:
            kept.append(row)
            ids.setdefault(row.problem_id, []).append(tuple(found))
    chains: list[Chain] = []
    first = 0
    for sequences in ids.values():
        packed = pack(sequences)
        chains += [Chain(chain.ids, chain.places, tuple(first + row for row in chain.rows)) for chain in packed]
        first += len(sequences)
    whole = TrainingSet(
        chains=tuple(chains),
        observed=Observed.of(kept),
        num_trajectories=np.array([row.num_trajectories for row in kept], dtype=np.int64),
        questions=frozenset(row.question for row in kept),
    )
    return whole, len(rows) - len(kept)


class _PathWriter:
    """Writes paths of one problem after the other; a step that two paths share is tokenised once."""

    def __init__(self, form: PrmFormat) -> None:
        self._form = form
        self._problem_id: str | None = None
        self._paths: dict[tuple[str, ...], PathIds] = {}

    def path(self, row: RolloutRow) -> PathIds:
        """The path of a row."""
        if row.problem_id != self._problem_id:
            self._problem_id, self._paths = row.problem_id, {(): PathIds(self._form.question_ids(row.question))}
        longest = next(length for length in range(row.depth, -1, -1) if row.steps[:length] in self._paths)
        path = self._paths[row.steps[:longest]]
        for length in range(longest, row.depth):
            path = path.extended(self._form, row.steps[length])
            self._paths[row.steps[: length + 1]] = path
        return path
