"""vLLM's own OpenAI server with the engine arguments and the environment of a generator replica.

    python -m benchmarks.versus.openai_server SETTINGS PORT

The process becomes `vllm.entrypoints.openai.api_server`, whose chat template writes a question as our prompt template
does, and steps after it as they were sampled.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from actors.engines.serving.common import has_cuda, prepare_environment
from actors.engines.serving.vllm_generator import generator_arguments
from actors.engines.settings import GeneratorSettings
from benchmarks.versus.processes import be_as_polite_as_replicas, read_settings

CHAT_TEMPLATE = Path(__file__).parent / "chat_template.jinja"
MODEL_NAME = "generator"


def command_line(arguments: Mapping[str, Any]) -> Iterator[str]:
    """Engine arguments as vLLM's command line spells them; None is left out."""
    for name, value in arguments.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{option}" if value else f"--no-{option}"
        elif value is not None:
            yield f"--{option}={value}"


def main(argv: Sequence[str]) -> None:
    """Become the server."""
    settings, port = read_settings(GeneratorSettings, argv[0]), argv[1]
    be_as_polite_as_replicas()
    cuda = has_cuda()
    prepare_environment(settings, cuda=cuda)
    arguments = generator_arguments(settings, cuda=cuda)
    arguments.pop("use_tqdm_on_load")
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *command_line(arguments)]
    command += ["--host=127.0.0.1", f"--port={port}", f"--served-model-name={MODEL_NAME}"]
    command += [f"--chat-template={CHAT_TEMPLATE}", "--chat-template-content-format=string"]
    command += ["--generation-config=vllm", "--disable-uvicorn-access-log", "--uvicorn-log-level=warning"]
    os.execv(sys.executable, command)  # noqa: S606 - our own interpreter


if __name__ == "__main__":
    main(sys.argv[1:])
