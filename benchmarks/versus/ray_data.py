"""`ray.data.llm`, for whole samples: one row for each sample, in a Ray of its own beside ours.

It keeps no engine between two data sets, so `whole_seconds` has the loading of the model in it and nothing is warmed
up. `seconds` is by vLLM's own clocks, from the arrival of the first request at the engine to the last token: what Ray
Data does before and after is not in it. It takes the first of a request's samples only, so siblings are rows.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actors.engines.serving.common import has_cuda
from actors.engines.serving.vllm_generator import generator_arguments
from benchmarks.versus.environments import interpreter_of
from benchmarks.versus.job import Job
from benchmarks.versus.passes import Pass, Tokens
from benchmarks.versus.pool_peer import Answered, timed_pass
from benchmarks.versus.processes import Pipe, client, settings_text
from examples.arithmetic.common import boxed_answer

REQUIREMENTS = Path(__file__).parent / "requirements-ray-data.txt"


@contextmanager
def open_ray_data(job: Job) -> Iterator["RayData"]:
    """The process with its Ray."""
    arguments = generator_arguments(job.generator, cuda=has_cuda())
    arguments.pop("use_tqdm_on_load")
    options = {
        "settings": settings_text(job.generator),
        "model": arguments.pop("model"),
        "engine": {name: value for name, value in arguments.items() if value is not None},
        "sampling": {"temperature": job.recipe.generator.temperature, "max_tokens": job.recipe.generator.max_tokens},
    }
    interpreter = interpreter_of(REQUIREMENTS, over_ours=True)
    with client(interpreter, "benchmarks.versus.ray_data_client", options, log=job.folder / "ray-data.log") as pipe:
        job.watch.name_peers({pipe.process_id: "driver"})
        yield RayData(job, pipe)


class RayData:
    """Implements `Side`."""

    def __init__(self, job: Job, pipe: Pipe) -> None:
        self._job = job
        self._pipe = pipe

    def warm_up(self) -> None:
        """See `Side.warm_up`: there is nothing that would stay warm."""

    def run(self, seed: int) -> Pass:
        """See `Side.run`."""
        questions = [problem.question for problem in self._job.problems]
        num_samples = getattr(self._job.recipe.strategy, "num_samples", 1)
        prompts = [self._job.prompt_ids(question) for question in questions for _ in range(num_samples)]

        def answer() -> Answered:
            reply = self._pipe.ask({"prompts": prompts})
            groups = [reply["texts"][at : at + num_samples] for at in range(0, len(prompts), num_samples)]
            return answered(reply, [voted(texts) for texts in groups])

        measured, _ = timed_pass(self._job, questions, answer)
        return measured


def answered(reply: dict[str, Any], solutions: Sequence[str]) -> Answered:
    """The reply of the process with the chosen solutions."""
    return Answered(
        first_s=reply["first_s"],
        last_s=reply["last_s"],
        solutions=solutions,
        errors=(),
        tokens=Tokens(generated=reply["generated"], prompt=reply["prompt"]),
    )


def voted(texts: Sequence[str]) -> str:
    """The first of the samples with the answer that most of them have; samples without one are not counted."""
    answers = [boxed_answer(text) for text in texts]
    stated = [answer for answer in answers if answer is not None]
    return texts[answers.index(max(stated, key=stated.count))] if stated else texts[0]
