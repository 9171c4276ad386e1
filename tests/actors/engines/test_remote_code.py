"""Code that a model's folder brings along: it runs where `trust_remote_code` says so, and nowhere else."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from actors.engines.protocol import SampleRequest
from actors.replicas.generator import Generator
from records.calls import Sampling
from records.request import Until
from tests.actors.conftest import EXAMPLE, REAL_GENERATOR

pytestmark = [pytest.mark.vllm, pytest.mark.asyncio(loop_scope="session")]

CODE = """
from pathlib import Path

from transformers import LlamaConfig

Path({marker!r}).write_text("ran")


class MineConfig(LlamaConfig):
    model_type = "parsimony-mine"
"""


@pytest.mark.ci
async def test_it_runs_only_where_it_is_trusted(tmp_path):
    marker = tmp_path / "ran"
    folder = Path(shutil.copytree(EXAMPLE / "generator", tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "parsimony-mine", "auto_map": {"AutoConfig": "configuration_mine.MineConfig"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "configuration_mine.py").write_text(CODE.format(marker=str(marker)))
    settings = replace(REAL_GENERATOR, model=str(folder))

    with pytest.raises(Exception, match="trust_remote_code"):
        await Generator(settings, die=lambda _: None).hello()
    assert not marker.exists()

    trusted = Generator(replace(settings, trust_remote_code=True), die=lambda _: None)
    await trusted.hello()
    request = SampleRequest(prompt_ids=(1, 2, 3), until=Until.END, max_tokens=4, seed=1, sampling=Sampling(0.0))
    assert (await trusted.engine.sample(request)).token_ids
    await trusted.close()
    assert marker.read_text() == "ran"
