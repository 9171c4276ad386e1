"""The two servers of the peers that are clients, and what they have done between two moments."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from benchmarks.versus.job import Job
from benchmarks.versus.metrics import parse_metrics, requests_between, tokens_between
from benchmarks.versus.openai_server import MODEL_NAME
from benchmarks.versus.passes import Tokens
from benchmarks.versus.processes import free_port, get_json, get_text, server, settings_text
from examples.arithmetic.problems import parse_question, solve

CHECKED_PROMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where they listen.

    Attributes:
        generator_url: of vLLM's OpenAI server, without a path.
        prm_url: of the PRM's server; None where the method asks for no scores.
        roles: process id -> what it is.
    """

    generator_url: str
    prm_url: str | None
    roles: dict[int, str]

    def counters(self) -> "Counters":
        """What the servers have counted so far."""
        prm = {} if self.prm_url is None else get_json(f"{self.prm_url}/counts")
        return Counters(generator=parse_metrics(get_text(f"{self.generator_url}/metrics")), prm=prm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """The counters of both servers at one moment."""

    generator: dict[str, float]
    prm: dict[str, int]

    def tokens_since(self, before: "Counters") -> Tokens:
        """What the engines were given and wrote since."""
        return replace(
            tokens_between(before.generator, self.generator),
            prm=self._prm_since(before, "tokens"),
            prm_cached=self._prm_since(before, "cached"),
        )

    def notes_since(self, before: "Counters") -> dict[str, float]:
        """Requests and scored paths since."""
        return {
            "generator_requests": requests_between(before.generator, self.generator),
            "prm_requests": self._prm_since(before, "requests"),
            "prm_paths": self._prm_since(before, "paths"),
        }

    def _prm_since(self, before: "Counters", name: str) -> int:
        return self.prm.get(name, 0) - before.prm.get(name, 0)


@contextmanager
def open_servers(job: Job) -> Iterator[Servers]:
    """Both servers, loaded; the prompts that they see are checked to be ours."""
    with ExitStack() as stack:
        port = free_port()
        arguments = [settings_text(job.generator), str(port)]
        log = job.folder / "generator-server.log"
        module = "benchmarks.versus.openai_server"
        roles = {
            stack.enter_context(server(module, arguments, port=port, health="/health", log=log)): "generator server"
        }
        generator_url, prm_url = f"http://127.0.0.1:{port}", None
        if job.prm is not None:
            prm_port = free_port()
            arguments, log = [settings_text(job.prm), str(prm_port)], job.folder / "prm-server.log"
            module = "benchmarks.versus.prm_server"
            process_id = stack.enter_context(server(module, arguments, port=prm_port, health="/health", log=log))
            roles[process_id] = "prm server"
            prm_url = f"http://127.0.0.1:{prm_port}"
        servers = Servers(generator_url=generator_url, prm_url=prm_url, roles=roles)
        check_prompts(job, servers)
        yield servers


def check_prompts(job: Job, servers: Servers) -> None:
    """Compare what the server's chat template makes of questions and first steps with what our generator is given.

    Raises:
        RuntimeError: they differ.
    """
    for problem in job.problems[:CHECKED_PROMPTS]:
        solved = solve(parse_question(problem.question))
        steps = solved[0] if solved is not None else []
        for num_steps in range(len(steps)):
            text = "".join(step + job.generator.separator for step in steps[:num_steps])
            seen = server_prompt_ids(servers, problem.question, text)
            ours = (*job.prompt_ids(problem.question), *job.tokenizer.encode(text, special=False))
            if tuple(seen) != ours:
                raise RuntimeError(f"the server sees {seen} where our generator is given {ours}")


def server_prompt_ids(servers: Servers, question: str, steps: str) -> Sequence[int]:
    """The token ids of a chat with a question and the steps so far."""
    messages = [{"role": "user", "content": question}]
    request = {"model": MODEL_NAME, "messages": messages, "add_generation_prompt": True}
    if steps:
        messages.append({"role": "assistant", "content": steps})
        request |= {"add_generation_prompt": False, "continue_final_message": True}
    tokens: Sequence[int] = get_json(f"{servers.generator_url}/tokenize", request)["tokens"]
    return tokens
