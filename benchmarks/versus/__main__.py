"""Parsimony beside its alternatives, as one command that prints one JSON document.

    python -m benchmarks.versus --problems 60 --pairs 5 \
        --method self-consistency best-of-n beam-search particle-filtering \
        --peer its_hub lock-step one-per-worker ray-data > versus.json

Held equal on all sides: weights, engine arguments, threads and environment of the engines, priority of processes,
prompt token ids (checked at the servers), temperature, samples per problem, token limits, problems.
Loading is on nobody's time, everything is warmed up. The sides take turns A B B A. No prefix cache is emptied: each
side finds what its own passes over the same problems have left, with other samples each time.

    ours             `score` with warm replicas: Ray actors, controller, grader, writer
    its_hub          its_hub 1.2.0, all problems at once, asynchronous client of vLLM's OpenAI server and a PRM server
    lock-step        all problems step by step: one `LLM.generate` and one PRM pass over all paths (the shape of
                     search-and-learn and prm-calibration)
    one-per-worker   workers that take one problem each to its end against the same servers (compute-optimal-tts)
    ray-data         self-consistency only: `ray.data.llm`, which loads its engine again for each pass

`seconds` is from the first call to the last result; `whole_seconds` all of `score`, and for a peer all of a pass up to
the graded answers. Tokens are counted at the engines. Ratios are medians over pairs with the lowest and the highest
pair; each is above 1 where ours is better.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from actors.engines.model_files import TOKENIZER_FILE
from actors.engines.text import read_tokenizer
from benchmarks.engine_ceiling import environment, say
from benchmarks.versus.its_hub import open_its_hub
from benchmarks.versus.job import EXAMPLE, RECIPES, Job
from benchmarks.versus.lock_step import open_lock_step
from benchmarks.versus.one_per_worker import open_one_per_worker
from benchmarks.versus.ours import open_ours
from benchmarks.versus.passes import OURS, PEER, Pass, Side, ratios, take_turns
from benchmarks.versus.problem_mix import choose_problems, length_facts, solution_length
from benchmarks.versus.ray_data import open_ray_data
from examples.arithmetic.common import write_problems

Opener = Callable[[Job], AbstractContextManager[Side]]
PEERS: dict[str, dict[str, Opener]] = {
    "its_hub": {
        "its_hub": open_its_hub,
        "its_hub, equal first candidates": partial(open_its_hub, variant="equal-first"),
    },
    "lock-step": {"lock-step": open_lock_step},
    "one-per-worker": {"one-per-worker": open_one_per_worker},
    "ray-data": {"ray-data": open_ray_data},
}
"""Peer -> its variants."""
METHODS_OF = {
    "its_hub, equal first candidates": ("beam-search",),
    "ray-data": ("self-consistency",),
}
"""Variants that know some methods only."""
FIRST_SEED = 100


def variants(peers: Sequence[str], method: str) -> Iterator[tuple[str, Opener]]:
    """What a method is compared with."""
    for peer in peers:
        for name, opener in PEERS[peer].items():
            if method in METHODS_OF.get(name, (method,)):
                yield name, opener


def compare(ours: Side, opener: Opener, job: Job, num_pairs: int, name: str) -> dict[str, Any]:
    """All pairs of ours and one peer."""
    say(f"{job.method}: loading {name}")
    pairs = []
    with opener(job) as peer:
        for side in (ours, peer):
            side.warm_up()
        for number in range(num_pairs):
            pair = take_turns(ours, peer, FIRST_SEED + 10 * number)
            pairs.append(pair)
            for side_name, passes in pair.items():
                said = ", ".join(f"{each.seconds:.2f} s ({each.tokens.generated} tokens)" for each in passes)
                say(f"{job.method} {number}: {name if side_name == PEER else OURS} {said}")
    return {
        "ratios": {measure: asdict(found) for measure, found in ratios(pairs).items()},
        "pairs": [{side: [as_data(each) for each in passes] for side, passes in pair.items()} for pair in pairs],
    }


def as_data(measured: Pass) -> dict[str, Any]:
    """A pass as JSON."""
    return asdict(measured) | {
        "problems_per_s": measured.problems / measured.seconds,
        "tokens_per_s": measured.tokens.generated / measured.seconds,
    }


def as_text(result: dict[str, Any]) -> str:
    """The document."""
    return json.dumps(result, indent=1) + "\n"


def measure(arguments: argparse.Namespace, method: str, folder: Path, result: dict[str, Any]) -> None:
    """All peers of one method; `result`, and the output file, get each as soon as it is there."""
    file = folder / "problems.jsonl"
    tokenizer = read_tokenizer(EXAMPLE / "generator" / TOKENIZER_FILE)
    length_of = solution_length(lambda text: len(tokenizer.encode(text, special=False)))
    problems = choose_problems(arguments.lengths, arguments.problems, length_of)
    write_problems(file, problems)
    job = Job(method, problems, file, folder, tuple(arguments.set))
    result["solution_tokens"] = asdict(length_facts([length_of(problem) for problem in problems]))
    result["environment"] = environment(job.plan("none", 0))
    say(f"{method}: loading ours")
    with open_ours(job) as ours:
        found = result["methods"].setdefault(method, {})
        for name, opener in variants(arguments.peer, method):
            load = os.getloadavg()[0]
            found[name] = compare(ours, opener, job, arguments.pairs, name)
            found[name]["load_average"] = {"before": load, "after": os.getloadavg()[0]}
            if arguments.output is not None:
                arguments.output.write_text(as_text(result), encoding="utf-8")


def arguments_of(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.versus", description="Parsimony beside alternatives")
    parser.add_argument("--problems", type=int, default=60, help="problems of a pass (60)")
    parser.add_argument("--pairs", type=int, default=5, help="A B B A, so many times for each method and peer (5)")
    parser.add_argument("--method", nargs="+", choices=tuple(RECIPES), default=list(RECIPES), help="(all)")
    parser.add_argument("--peer", nargs="+", choices=tuple(PEERS), default=list(PEERS), help="(all)")
    parser.add_argument(
        "--lengths", choices=("example", "long-tail"), default="example", help="which problems (example)"
    )
    parser.add_argument("--set", action="append", default=[], help="section.key=value, for all sides")
    parser.add_argument("--output", type=Path, help="write the JSON here as well, after every peer")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print one JSON document."""
    arguments = arguments_of(argv)
    result: dict[str, Any] = {
        "problems": arguments.problems,
        "pairs": arguments.pairs,
        "lengths": arguments.lengths,
        "methods": {},
    }
    for method in arguments.method:
        with tempfile.TemporaryDirectory(prefix="versus-") as folder:
            measure(arguments, method, Path(folder), result)
    sys.stdout.write(as_text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
