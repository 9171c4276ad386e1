"""Published PRMs through the whole serving path: the replica's scores against plain transformers in float32."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio
import torch

from actors.replicas.prm import Prm
from records.calls import ScoreCall, Scored, TextPrefix, root_prefix_id
from tests.actors.conftest import REAL_PRM, Client, PrmClient
from tests.actors.engines.test_families import expected_score
from tests.actors.engines.test_public_formats import PUBLISHED
from tests.support.tiny_prms import FAMILY_NAMES, language_model, make_prm

pytestmark = [pytest.mark.vllm, pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

QUESTION = "Janet's ducks lay 16 eggs per day. How much does she make?"
STEPS = [f"Step {number}: She sells {number} * 2 = ${2 * number} of eggs every day." for number in range(1, 16)]
CONTEXT = 320


@dataclass
class Served:
    """A PRM on vLLM, and the same by transformers."""

    family: str
    folder: Path
    replica: Prm
    client: PrmClient
    model: torch.nn.Module

    def expected(self, question: str, steps: list[str]) -> float:
        """The authors' prompt, model and head."""
        with torch.no_grad():
            ids = torch.tensor([PUBLISHED[self.family](question, steps)])
            hidden = self.model.model(ids).last_hidden_state[0, -1]  # type: ignore[operator]
        return expected_score(self.family, self.folder, hidden)


ASKED = {"math-shepherd": "math-shepherd", "rlhflow": "rlhflow"}
"""Families that do not show; the others are found by themselves."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=FAMILY_NAMES)
async def served(request, tmp_path_factory) -> AsyncIterator[Served]:
    family = request.param
    folder = make_prm(family, tmp_path_factory.mktemp("prms") / family)
    deaths: list[int] = []
    settings = replace(REAL_PRM, model=str(folder), family=ASKED.get(family, "auto"), max_model_len=CONTEXT)
    replica = Prm(settings, die=deaths.append)
    client = Client(replica, await replica.hello(), real=True)
    yield Served(family, folder, replica, client, language_model(family, folder))
    await replica.close()
    assert deaths == []


def score_call(key: str, question: str, before: list[str], steps: list[str]) -> ScoreCall:
    """Score every one of `steps` after `before`, in full: the prefix ids are not chained from call to call."""
    prefix = TextPrefix(question, tuple(before))
    return ScoreCall(key, root_prefix_id(f"{question}{before}"), prefix, tuple(steps), every=bool(steps))


async def fresh(served: Served) -> None:
    await served.replica.engine._thread.reset_prefix_cache()  # type: ignore[attr-defined]


async def test_scores_are_those_of_transformers_cached_and_not(served):
    sampled = [f"{step}\n\n" for step in STEPS[:4]]
    await fresh(served)
    root, path = await served.client.ask(
        [score_call("root", QUESTION, [], []), score_call("path", QUESTION, [], sampled)]
    )
    cached = [root.scores[0].median, *(score.median for score in path.scores)]
    block = served.client.info.details["block_size"]
    before = [len(PUBLISHED[served.family](QUESTION, STEPS[:number])) for number in range(1, 4)]
    assert path.cached_tokens >= sum(length // block * block for length in before) > 0
    wanted = [served.expected(QUESTION, STEPS[:number]) for number in range(5)]
    assert cached == pytest.approx(wanted, abs=1e-4)
    assert max(wanted) - min(wanted) > 1e-2
    for number in range(5):
        await fresh(served)
        (single,) = await served.client.ask([score_call("x", QUESTION, sampled[:number], [])])
        assert single.cached_tokens == 0
        assert single.scores[0].median == pytest.approx(cached[number], abs=1e-6)


async def test_an_over_long_path_keeps_prompt_and_last_steps(served):
    dropped = next(
        number for number in range(len(STEPS)) if len(PUBLISHED[served.family](QUESTION, STEPS[number:])) <= CONTEXT
    )
    assert 0 < dropped < len(STEPS) - 1
    (result,) = await served.client.ask([score_call("long", QUESTION, STEPS, [])])
    assert isinstance(result, Scored)
    assert result.truncated
    assert result.scores[0].median == pytest.approx(served.expected(QUESTION, STEPS[dropped:]), abs=1e-4)


async def test_the_replica_says_what_it_is(served):
    details = served.client.info.details
    assert details["family"] == served.family
    assert details["num_quantiles"] == 1
    assert details["separator"] is None
