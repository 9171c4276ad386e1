"""A calibrated PRM on vLLM, prefix cache on: the replica's quantiles against those of the PRM that was trained."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import pytest_asyncio

from actors.engines.formats import path_ids
from actors.engines.training.trainable import TrainablePrm
from actors.replicas.prm import Prm
from records.path import PrmScore
from scaling.calibration.heads import HeadSpec, predict_success
from tests.actors.conftest import REAL_PRM, Client, PrmClient
from tests.actors.engines.test_public_prms import score_call
from tests.actors.engines.test_trainable import LORA, QUESTION, STEPS, TRAINED_FOR, fit, settings_of
from tests.support.tiny_prms import make_prm

pytestmark = [pytest.mark.vllm, pytest.mark.asyncio(loop_scope="module")]

Dtype = Literal["float32", "bfloat16"]
CASES = [
    ("separator", "beta-binomial", "float32"),
    ("separator", "quantile", "bfloat16"),
    pytest.param(("qwen2.5-math-prm", "quantile", "float32"), marks=pytest.mark.long),
    pytest.param(("reasoneval", "beta-binomial", "float32"), marks=pytest.mark.long),
]
"""A family, a head and a type of weights."""
SHIFT = 0.02
NEAR: dict[Dtype, float] = {"float32": 1e-4, "bfloat16": 3e-2}
"""How far what is served may be from training; in bfloat16 processors differ in how they add up (0.02 was seen)."""


@dataclass
class Calibrated:
    """A PRM after some training, and the same on vLLM."""

    trained: TrainablePrm
    client: PrmClient
    dtype: Dtype

    def expected(self, paths: list[list[int]]) -> np.ndarray:
        """Served quantiles, [paths, 3]."""
        outputs = self.trained.predicted(paths, [[len(ids) - 1] for ids in paths])
        return predict_success(replace(self.trained.head, lower_shift=SHIFT), outputs, (0.1, 0.5, 0.9)).quantiles


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=CASES)
async def calibrated(request, tmp_path_factory) -> AsyncIterator[Calibrated]:
    family, kind, dtype = request.param
    made = tmp_path_factory.mktemp("prms")
    base = Path(REAL_PRM.model) if family == "separator" else make_prm(family, made / "base")
    trained = TrainablePrm.open(settings_of(family, base, dtype), HeadSpec(kind=kind), LORA, device="cpu")
    fit(trained, num_steps=6, lr=0.005)
    examples = [(QUESTION, STEPS)]
    trained.save(made / "prm", trained_for=TRAINED_FOR, notes={}, examples=examples, lower_shift=SHIFT)
    deaths: list[int] = []
    settings = replace(settings_of("auto", made / "prm", dtype), max_model_len=320)
    replica = Prm(settings, die=deaths.append)
    yield Calibrated(trained, Client(replica, await replica.hello(), real=True), dtype)
    await replica.close()
    assert deaths == []


def numbers(scores: tuple[PrmScore, ...]) -> list[list[float]]:
    return [[score.lower, score.median, score.upper] for score in scores]


async def test_served_quantiles_are_those_of_training(calibrated):
    root, path = await calibrated.client.ask(
        [score_call("root", QUESTION, [], []), score_call("path", QUESTION, [], STEPS)]
    )
    assert path.cached_tokens > 0
    paths = [path_ids(calibrated.trained.form, QUESTION, STEPS[:number]) for number in range(len(STEPS) + 1)]
    wanted = calibrated.expected(paths)
    assert (wanted[:, 2] - wanted[:, 0]).max() > 0.1
    assert np.ptp(wanted[:, 1]) > 0.02
    served = np.array(numbers((*root.scores, *path.scores)))
    assert served == pytest.approx(wanted, abs=NEAR[calibrated.dtype])


async def test_the_replica_says_what_it_was_calibrated_for(calibrated):
    details = calibrated.client.info.details
    assert details["num_quantiles"] == 3
    assert details["trained_for_generator"] == TRAINED_FOR["generator"]
    assert details["trained_for_temperature"] == TRAINED_FOR["temperature"]
    assert details["golden_max_error"] <= (1e-4 if calibrated.dtype == "float32" else 1e-2)
