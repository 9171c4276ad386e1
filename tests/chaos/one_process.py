"""A run in one process, without Ray: real controller, writer and store around scripted engines.

    python -m tests.chaos.one_process beam-search --output RUN [--take-over] [...]

What chaos finds out about schedules in seconds: the driver is all that there is to strike. Options of `parsimony score`
that it does not know are ignored.
"""

import argparse
import asyncio
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from actors.engines.settings import Script
from actors.replicas.generator import Generator
from actors.replicas.prm import Prm
from actors.writer.store_retry import patiently_blocking
from records.failure import Failure, first_failure
from scaling.strategies.beam_search import beam_search
from scaling.strategies.best_of_n import best_of_n
from scaling.strategy import StrategyFactory
from tests.support.fakes import GENERATOR_SETTINGS, PRM_SETTINGS, deaths
from tests.support.local import LIMITS, LocalRun, problems

NUM_PROBLEMS = 30
SCRIPT = Script(tokens_per_s=60.0)
STRATEGIES: dict[str, StrategyFactory] = {
    "best-of-n": partial(best_of_n, limits=LIMITS, num_samples=6),
    "beam-search": partial(beam_search, limits=LIMITS, num_samples=4, beam_width=2, max_steps=8),
}


def main() -> int:
    """Work until the run is finished; the exit status is that of `parsimony score`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("strategy", choices=STRATEGIES)
    parser.add_argument("--output", type=Path, required=True)
    options, _ = parser.parse_known_args()
    try:
        asyncio.run(_work(options.output, STRATEGIES[options.strategy]))
    except Failure as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    except ExceptionGroup as group:
        failure_of = first_failure(group)
        if failure_of is None:
            raise
        sys.stderr.write(f"{failure_of}\n")
        return 1
    return 0


async def _work(folder: Path, strategy: StrategyFactory) -> None:
    begin = partial(
        LocalRun,
        folder,
        problems(NUM_PROBLEMS),
        strategy=strategy,
        make_generator=_generator,
        make_prm=lambda: Prm(replace(PRM_SETTINGS, kind="scripted")),
    )
    run = patiently_blocking(begin, _note)  # as the driver of a run opens it
    if not run.state.finished:
        await run.run()


def _note(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _generator() -> Generator:
    settings = replace(GENERATOR_SETTINGS, kind="scripted", script=SCRIPT)
    replica = Generator(settings, die=lambda status: deaths(replica).append(status))
    return replica


if __name__ == "__main__":
    sys.exit(main())
