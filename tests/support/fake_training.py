"""A model in training without torch: a logistic regression on token counts, held to the protocol of the real one.

Its "dropout" is noise on the gradient, drawn from the seed that the trainer gives; its optimizer is momentum. So a
training that is resumed with anything forgotten ends elsewhere.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from actors.engines.training.engine import Batch, TrainingEngine
from records.rows import RolloutRow

SIZE = 16
OFFSETS = np.array([-1.0, 0.0, 1.0])
"""Of the three outputs from the regression's: quantiles in order."""


@dataclass
class FakeTraining:
    """See the module. `fail_at`: the call of `accumulate` (from 1) whose loss is no number."""

    fail_at: int | None = None
    calls: int = 0
    rates: list[float] = field(default_factory=list)
    seen: list[tuple[tuple[int, ...], ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._weights = np.zeros(SIZE)
        self._momentum = np.zeros(SIZE)
        self._gradient = np.zeros(SIZE)
        self._random = np.random.default_rng(0)

    def accumulate(self, batch: Batch, share: float) -> float:
        self.calls += 1
        self.seen.append(tuple(tuple(ids) for ids in batch.ids))
        features, target, weights = (
            _features(batch),
            batch.successes / batch.trials,
            batch.weights / batch.weights.sum(),
        )
        p = expit(features @ self._weights)
        self._gradient += share * (features.T @ (weights * 2 * (p - target) * p * (1 - p)))
        self._gradient += share * self._random.normal(0, 1e-3, SIZE)
        return float("nan") if self.calls == self.fail_at else self.loss(batch)

    def step(self, learning_rate: float, max_norm: float) -> float:
        norm = float(np.linalg.norm(self._gradient))
        self._momentum = 0.9 * self._momentum + self._gradient * min(1.0, max_norm / max(norm, 1e-12))
        self._weights = self._weights - learning_rate * self._momentum
        self._gradient = np.zeros(SIZE)
        self.rates.append(learning_rate)
        return norm

    def seed(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def loss(self, batch: Batch) -> float:
        p = expit(_features(batch) @ self._weights)
        return float(np.average((p - batch.successes / batch.trials) ** 2, weights=batch.weights))

    def outputs(self, batch: Batch) -> NDArray[np.float64]:
        return np.asarray((_features(batch) @ self._weights)[:, None] + OFFSETS)

    def old_scores(self, batch: Batch) -> NDArray[np.float64]:
        return np.full(sum(map(len, batch.places)), 0.5)

    def state(self) -> bytes:
        return self._weights.tobytes()

    def load_state(self, state: bytes) -> None:
        self._weights = np.frombuffer(state).copy()

    def optimizer_state(self) -> bytes:
        return self._momentum.tobytes()

    def load_optimizer_state(self, state: bytes) -> None:
        self._momentum = np.frombuffer(state).copy()

    def save(
        self,
        folder: Path,
        *,
        trained_for: Mapping[str, Any],
        notes: Mapping[str, Any],
        examples: Sequence[tuple[str, Sequence[str]]],
        lower_shift: float = 0.0,
    ) -> None:
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "weights.safetensors").write_bytes(self.state())
        said = {"trained_for": dict(trained_for), "calibration": dict(notes), "lower_shift": lower_shift}
        (folder / "prm_config.json").write_text(json.dumps(said))
        (folder / "golden.json").write_text(json.dumps([[question, list(steps)] for question, steps in examples]))


def _features(batch: Batch) -> NDArray[np.float64]:
    prefixes = [ids[: place + 1] for ids, places in zip(batch.ids, batch.places, strict=True) for place in places]
    return np.array([np.bincount(np.array(prefix) % SIZE, minlength=SIZE) / 10 for prefix in prefixes])


FAKE: TrainingEngine = FakeTraining()
"""Says to mypy that the fake has the protocol."""


def rollout_row(
    problem_id: str, node_id: int, steps: Sequence[str], successes: int, trials: int, **other: Any
) -> RolloutRow:
    """A row with what does not matter filled in."""
    values: dict[str, Any] = {
        "problem_id": problem_id,
        "node_id": node_id,
        "question": f"Compute {problem_id}.",
        "steps": tuple(steps),
        "token_ids": (),
        "depth": len(steps),
        "terminal": False,
        "num_trajectories": 1,
        "successes": successes,
        "trials": trials,
        "cut_trials": 0,
        "generator": "a" * 64,
        "temperature": 0.7,
        "generated_tokens": 0,
        "prompt_tokens": 0,
        "cached_tokens": 0,
    }
    return RolloutRow(**values | other)
