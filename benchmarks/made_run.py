r"""A run of any size without an engine: the real searches, rows, writer and commits; a made-up model that talks.

    write_run(folder, made_problems(10_000), strategy={"name": "best-of-n", "num_samples": 16}, seed=1)

The model slips with the problem's own probability and ends in `\boxed{right}` or `\boxed{wrong}`; the PRM knows that
probability, and of a finished sample whether it is right, both with noise. Everything is drawn from the seed.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actors.writer.lease import this_process
from actors.writer.writer import Writer
from cluster.store import LocalStore
from jobs.recipes.resume import as_json
from jobs.recipes.sections import Recipe
from jobs.recipes.strategy_factory import strategy_factory
from records.calls import Sampled, SampledStep, Scored
from records.packing import packed_rows
from records.path import FinishReason, Phases, PrmScore
from records.problem import Problem
from records.request import Until
from records.rows import OpenRecord, ProblemRecord
from records.run_folder.manifest import Manifest, ModelIdentity
from records.schemas import SCHEMA_VERSION
from records.usage import ReplicaUsage, Role, Usage
from scaling.budget.metering import ReplicaRate, Share
from scaling.search.accounting import Models, problem_record, with_share
from scaling.search.problem_search import ProblemSearch
from scaling.search.tasks import CompareTask, SampleTask, ScoreTask, Task
from scaling.strategy import StrategyFactory

MODELS = Models(1_000_000_000, 500_000_000, None)
FLUSH_PROBLEMS = 500
BROKEN = "replica generator-{} died: out of memory at 0x{:x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """How the model talks, and how much of it is paid for.

    Attributes:
        num_steps: of a sample, on average.
        num_words: of a step, on average.
        say: a step's text, from a source of chance and the number of words.
        most_samples: of one problem; the budget has nothing beyond. None: no cap.
        thinks: all of a sample but what follows the end of its thought, in its last step, is thought.
    """

    num_steps: int = 4
    num_words: int = 14
    say: Callable[[random.Random, int], str]
    most_samples: int | None = None
    thinks: bool = False


def _vocabulary() -> list[str]:
    rng = random.Random(0)
    syllables = [first + vowel for first in "bcdfglmnprstvw" for vowel in ("a", "e", "i", "o", "u", "an", "er", "is")]
    return ["".join(rng.choices(syllables, k=rng.choice((1, 1, 2, 2, 3)))) for _ in range(3000)]


_WORDS = _vocabulary()
_WEIGHTS = [1 / (10 + rank) for rank in range(len(_WORDS))]


def chatter(rng: random.Random, num_words: int) -> str:
    """Words as frequent as words are, with numbers among them: about as compressible as text is."""
    words = rng.choices(_WORDS, _WEIGHTS, k=num_words)
    return " ".join(word if rng.random() < 0.7 else str(rng.randrange(1000)) for word in words)


CHATTER = Talk(say=chatter)


def made_problems(count: int, *, seed: int = 0) -> list[Problem]:
    """So many questions, each with a key."""
    rng = random.Random(seed)
    return [Problem(f"p-{number:06d}", f"{chatter(rng, 40)}?", str(rng.randrange(1000))) for number in range(count)]


def made_manifest(strategy: Mapping[str, Any], num_problems: int, seed: int) -> Manifest:
    """Of a run with that strategy."""
    recipe = Recipe.model_validate(
        {
            "seed": seed,
            "generator": {"model": "made-up"},
            "prm": {"model": "made-up-prm"},
            "strategy": dict(strategy),
            "grader": {"kind": "exact"},
        }
    )
    return Manifest(
        schema_version=SCHEMA_VERSION,
        created_at="2026-11-22T12:00:00.000+00:00",
        recipe=as_json(recipe),
        versions={},
        git_revision=None,
        models={
            "generator": ModelIdentity("made-up", None, None, MODELS.num_generator_parameters),
            "prm": ModelIdentity("made-up-prm", None, None, MODELS.num_prm_parameters),
        },
        seed=seed,
        input_fingerprint="made-up",
        num_problems=num_problems,
    )


def write_run(
    folder: Path,
    problems: Sequence[Problem],
    *,
    strategy: Mapping[str, Any],
    seed: int = 0,
    num_done: int | None = None,
    num_open: int = 0,
    failing: Callable[[int], bool] = lambda number: number % 50 == 49,
    talk: Talk = CHATTER,
    usd_per_hour: float | None = None,
) -> None:
    """Write a run.

    Args:
        folder: of the run; must not be there.
        problems: of the input.
        strategy: section of the recipe.
        seed: of all that is drawn.
        num_done: problems with a row, from the first on; None: all, and the run is finished.
        num_open: problems after these of which some requests are written, and no row.
        failing: which problems fail, by number.
        talk: how the model talks.
        usd_per_hour: price of a replica, each on a GPU of its own; None: there are no GPUs and no prices.
    """
    rates = _rates(usd_per_hour)
    manifest = made_manifest(strategy, len(problems), seed)
    begin = strategy_factory(Recipe.model_validate(manifest.recipe))
    writer = Writer(LocalStore(folder), folder.parent / f"{folder.name}-spool")
    writer.open(manifest, this_process())
    done = problems[:num_done]
    spent_tokens = 0
    for batch, start in enumerate(range(0, len(done), FLUSH_PROBLEMS)):
        numbers = range(start, min(start + FLUSH_PROBLEMS, len(done)))
        records = [_record(done[at], begin, seed, talk, rates, fails=failing(at)) for at in numbers]
        spent_tokens += sum(record.problem.generated_tokens for record in records)
        writer.append(batch, *packed_rows(records))
        writer.flush(usage=_usage(batch))
    if num_done is None:
        writer.finish([problem.problem_id for problem in problems], spent_tokens=spent_tokens)
        return
    opened = [_open_record(problem, begin, seed, talk) for problem in problems[num_done : num_done + num_open]]
    writer.append(len(done), *packed_rows([], opened))
    writer.flush(usage=_usage(len(done)))
    writer.release(spent_tokens=spent_tokens + sum(record.generated_tokens for record in opened))


def _usage(batch: int) -> Usage:
    held_s = 30.0 * (batch + 1)
    return Usage(
        elapsed_s=held_s,
        replicas=(
            ReplicaUsage(name="generator-0", role="generator", held_s=held_s, busy_s=0.9 * held_s, call_s=20 * held_s),
            ReplicaUsage(name="prm-0", role="prm", held_s=held_s, busy_s=0.4 * held_s, call_s=2 * held_s),
        ),
    )


def _rates(usd_per_hour: float | None) -> dict[Role, ReplicaRate]:
    num_gpus = 0 if usd_per_hour is None else 1
    return {"generator": ReplicaRate(num_gpus, usd_per_hour), "prm": ReplicaRate(num_gpus, usd_per_hour)}


def _record(
    problem: Problem,
    begin: StrategyFactory,
    seed: int,
    talk: Talk,
    rates: Mapping[Role, ReplicaRate],
    *,
    fails: bool,
) -> ProblemRecord:
    rng = random.Random(f"{seed} {problem.problem_id}")
    search = ProblemSearch(problem, begin, run_seed=seed)
    for number, _ in enumerate(_serve(search, rng, talk)):
        if fails and number == 2:
            search.failed(BROKEN.format(rng.randrange(4), rng.getrandbits(40)))
            break
    answer = search.choice.answer if search.choice else None
    correct = answer == problem.reference if search.choice and problem.reference is not None else None
    seconds = sum(step.run_seconds for step in search.steps) / 4
    share = Share(seconds, seconds / 3)
    record = problem_record(
        search,
        correct=correct,
        models=MODELS,
        strategy="made-up",
        wall_seconds=seconds,
        share=share,
    )
    return replace(record, problem=with_share(record.problem, share, rates))


def _open_record(problem: Problem, begin: StrategyFactory, seed: int, talk: Talk) -> OpenRecord:
    """What is written of a problem whose first samples are there."""
    search = ProblemSearch(problem, begin, run_seed=seed)
    for _ in _serve(search, random.Random(f"{seed} {problem.problem_id}"), talk):
        if any(request.kind == "expand" for request in search.requests):
            break
    return OpenRecord(problem_id=problem.problem_id, steps=tuple(search.steps), requests=tuple(search.requests))


def _serve(search: ProblemSearch, rng: random.Random, talk: Talk) -> Iterator[None]:
    """Do what a search wants, task by task, until it has concluded."""
    slip = rng.random()
    num_samples = 0
    tasks: list[Task] = search.begin()
    while tasks:
        task = tasks.pop()
        if isinstance(task, SampleTask) and num_samples == talk.most_samples:
            tasks += search.denied(task)
        elif isinstance(task, SampleTask):
            num_samples += 1
            sampled = _sample(task, search.problem, rng, slip, talk)
            tasks += search.sampled(task, sampled, granted_tokens=task.max_tokens, replica="generator-0")
        elif isinstance(task, CompareTask):
            tasks += search.compared(task, {})
        elif isinstance(task, ScoreTask):
            tasks += search.scored(task, _score(task, search.problem, rng, slip), replica="prm-0")
        yield


def _sample(task: SampleTask, problem: Problem, rng: random.Random, slip: float, talk: Talk) -> Sampled:
    depth = task.parent.depth
    steps: list[SampledStep] = []
    while True:
        before = depth + len(steps)
        ends = (before > 0 and rng.random() < 1 / talk.num_steps) or before >= 3 * talk.num_steps
        text = talk.say(rng, max(3, int(rng.gauss(talk.num_words, talk.num_words / 3))))
        if ends:
            right = rng.random() >= slip
            text += f" \\boxed{{{problem.reference if right else rng.randrange(1000)}}}"
        token_ids = tuple(rng.randrange(32000) for _ in range(len(text) // 4 + 1))
        reason = FinishReason.EOS if ends else FinishReason.SEPARATOR
        certainty = _certainty(task, rng, len(token_ids))
        phases = _phases(text, len(token_ids), ends=ends) if talk.thinks else None
        whole = text + ("" if ends else "\n\n")
        steps.append(SampledStep(whole, token_ids, reason, -0.4 * len(token_ids), *certainty, phases=phases))
        if ends or task.until is not Until.END:
            num_tokens = sum(len(step.token_ids) for step in steps)
            return Sampled(task.key, tuple(steps), 60 + 30 * depth, 48 if depth else 0, 0.01, 0.02 * num_tokens)


def _phases(text: str, num_tokens: int, *, ends: bool) -> Phases:
    """What of a step is thought: all of it, but for the box that the last one ends with."""
    if not ends:
        return Phases(num_tokens, len(text) + 2, is_open=True)
    answer = len(text) - text.rindex("\\boxed")
    return Phases(num_tokens - answer // 4, len(text) - answer, is_open=False)


def _certainty(task: SampleTask, rng: random.Random, num_tokens: int) -> tuple[tuple[float, ...] | None, float | None]:
    """Confidences, which Parquet holds exactly, and the log-probability as drawn, where they are asked for."""
    if task.top_logprobs == 0:
        return None, None
    return tuple(rng.randrange(8, 128) / 8 for _ in range(num_tokens)), -0.4 * num_tokens


def _score(task: ScoreTask, problem: Problem, rng: random.Random, slip: float) -> Scored:
    texts = [*task.steps] or [""]
    scores = []
    for text in texts if task.every else texts[-1:]:
        wanted, weight = 1 - slip, 12.0
        if "\\boxed{" in text:
            wanted, weight = (0.8, 3.0) if f"\\boxed{{{problem.reference}}}" in text else (0.3, 1.5)
        median = rng.betavariate(0.05 + wanted * weight, 0.05 + (1 - wanted) * weight)
        scores.append(PrmScore(0.8 * median, median, median + 0.5 * (1 - median)))
    num_tokens = 60 + 30 * (task.prefix.depth + len(task.steps))
    return Scored(task.key, tuple(scores), num_tokens, num_tokens // 2, False, 0.01, 0.02)
