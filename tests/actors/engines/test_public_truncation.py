"""Over-long paths of published PRMs: the prompt stays, whole steps go, and what is left is written as by its authors.

The engine is a fake that keeps what it is asked to score; everything above it is the real replica.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from actors.engines.formats import PrmFormat
from actors.engines.prm.families import FAMILIES
from actors.engines.prm.public_heads import PrmFolder
from actors.engines.protocol import EngineScore
from actors.engines.text import TextTokenizer
from actors.replicas.prm import Prm
from records.calls import CallFailed, ScoreCall, Scored, ScoreResult, TextPrefix, root_prefix_id
from records.path import PrmScore
from tests.actors.conftest import Client
from tests.actors.engines.test_public_formats import PUBLISHED, QUESTION
from tests.support.fakes import PRM_SETTINGS, FakePrmEngine
from tests.support.tiny_prms import FAMILY_NAMES, tokenizer_of, write_tokenizer

STEPS = ("a = 1\n\n", "\n\n", "b = 2 so that\nc = 3\n\n", "d = 4\n\n", "e = 5")
WRITTEN = ["a = 1", "b = 2 so that\nc = 3", "d = 4", "e = 5"]


class Listening(FakePrmEngine):
    """Scores everything alike and keeps the ids."""

    def __init__(self, form: PrmFormat, context: int) -> None:
        super().__init__(replace(PRM_SETTINGS, max_model_len=context))
        self.format = form  # type: ignore[assignment]
        self.asked: list[list[int]] = []

    async def score(self, token_ids: Sequence[int]) -> EngineScore:
        self.asked.append(list(token_ids))
        return EngineScore(score=PrmScore(0.5, 0.5, 0.5), cached_tokens=0, queued_s=0.0, run_s=0.0)


@pytest.fixture(params=FAMILY_NAMES)
def family(request) -> str:
    return str(request.param)


async def asked(
    family: str, folder: Path, context: int, steps: tuple[str, ...], overlong: str = "keep_tail"
) -> tuple[ScoreResult, list[int]]:
    """The replica's answer to a path in a context of so many tokens, and the last ids that its engine saw."""
    write_tokenizer(family, folder)
    form = FAMILIES[family].make_format(PrmFolder(folder, TextTokenizer(tokenizer_of(family))))
    engine = Listening(form, 10_000)
    settings = replace(PRM_SETTINGS, max_model_len=context, overlong=overlong)  # type: ignore[arg-type]
    replica = Prm(settings, build_engine=lambda _: engine)
    client = Client(replica, await replica.hello(), real=False)
    engine.facts = replace(engine.facts, max_model_len=context)
    prefix = TextPrefix(QUESTION, steps)
    (result,) = await client.ask([ScoreCall("a", root_prefix_id(f"{QUESTION}{steps}"), prefix, (), every=False)])
    await replica.close()
    return result, engine.asked[-1]


async def test_every_cut_is_a_path_that_the_authors_would_write(family, tmp_path):
    longest = len(PUBLISHED[family](QUESTION, WRITTEN))
    for dropped in range(len(WRITTEN)):
        wanted = PUBLISHED[family](QUESTION, WRITTEN[dropped:])
        result, ids = await asked(family, tmp_path, len(wanted), STEPS)
        assert ids == wanted
        assert isinstance(result, Scored)
        assert result.prm_tokens == len(wanted)
        assert result.truncated == (len(wanted) < longest)


async def test_the_last_step_is_never_cut(family, tmp_path):
    least = len(PUBLISHED[family](QUESTION, WRITTEN[-1:]))
    result, _ = await asked(family, tmp_path, least - 1, STEPS)
    assert isinstance(result, CallFailed)
    assert not result.retryable


async def test_nothing_is_cut_where_that_is_refused(family, tmp_path):
    whole = len(PUBLISHED[family](QUESTION, WRITTEN))
    fits, _ = await asked(family, tmp_path, whole, STEPS, overlong="refuse")
    assert isinstance(fits, Scored)
    assert not fits.truncated
    refused, _ = await asked(family, tmp_path, whole - 1, STEPS, overlong="refuse")
    assert isinstance(refused, CallFailed)


@pytest.mark.parametrize("steps", [(), ("\n\n",), ("\n\n", " ")])
async def test_a_path_without_text_has_the_questions_score(family, tmp_path, steps):
    _, ids = await asked(family, tmp_path, 10_000, steps)
    assert ids == PUBLISHED[family](QUESTION, [])
