"""How much of the engine a run gets: generated tokens per second of `score` over vLLM's own `LLM.generate`.

    python -m benchmarks.engine_ceiling --problems 64 --repeats 5 > ceiling.json

Both sides run on this machine, with the same engine arguments, one after the other, again and again:

    A  `jobs.score.score`: Ray actors, controller, grader, writer, real vLLM; another run seed each time
    A' (beam search only) the same run again, with the PRM's scores played back instead of computed
    B  `LLM.generate` on what A (A') asked its generator for, as recorded in the run's tables: the same prefixes, token
       limits, stop conditions, temperature, seeds and log-probabilities, in one flat batch
    C  the same work as vLLM does it fastest: siblings in one request with `n`, no seeds, no log-probabilities

A's time is from the first call that the controller sends to the last result that it gets; B's and C's is that of
`generate`. Loading is on neither side, and all engines are warmed up before. B's and C's prefix cache is emptied each
time. Their engine runs in a process of its own beside its caller: that is the fastest of vLLM's layouts.

**PRM time excluded** means A': every remote call to the PRM, its tokens and its mailbox stay, and only the forward pass
is replaced by a look-up of what the real PRM said in A (`benchmarks.recorded_prm`). Subtracting the PRM's time from A's
would be wrong where both share two cores: the engines slow each other down, and partly wait for each other. Seeds are
the same in A and A', so nearly all paths are too; `known_paths` says how many, the others get a score of one half.

A pair counts only as long as nobody else uses the machine: `cores` has what each process used while A ran, "others"
what does not belong to this program.
"""

import argparse
import json
import os
import pickle
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from actors.engines.formats import PrmFormat
from actors.engines.model_files import TOKENIZER_FILE
from actors.engines.prm.families import find_family
from actors.engines.prm.public_heads import PrmFolder
from actors.engines.text import TextTokenizer, read_tokenizer
from actors.replicas.prm import Prm
from benchmarks.observed import CoreUse, ObservedReplica
from benchmarks.offline import OfflineEngine
from benchmarks.recorded import RecordedSample, Row, lineage, path_ids, ratio, recorded_samples, recorded_scores
from benchmarks.recorded_prm import RecordedPrm
from jobs.command_line.score import ScoreOptions
from jobs.recipes.sections import Recipe
from jobs.recipes.settings import generator_settings, prm_settings, sampling
from jobs.score import ray_session, score
from jobs.scoring.plan import Plan, make_plan
from jobs.scoring.replicas import Replicas, launch
from records.failure import InvalidInput
from records.nodes import Demand
from records.path import PrmScore
from records.run_folder.reader import Run, read_run

EXAMPLE = Path(__file__).parent.parent / "examples" / "arithmetic"
RECIPES = ("majority", "beam-16")
WARM_UP_PROBLEMS = 8
WARM_UP_SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorePass:
    """One timed run of `score`.

    Attributes:
        seconds: from the first call to the last result.
        run_seconds: of `score` as a whole, with the start of writer, controller and graders, and the last commit.
        cores: in use in `seconds`, by role.
        calls: remote calls, results and the controller's processor time by replica.
        cached_share: of the generator's prompt tokens, found in its prefix cache.
        mean_running: samples in the engine's batch, on average (`mean_queued`: that waited in the replica).
    """

    tokens: int
    seconds: float
    run_seconds: float
    cores: dict[str, float]
    calls: dict[str, Any]
    cached_share: float
    mean_running: float
    mean_queued: float


class Session:
    """The engines of one recipe, all warm, and the folder of its runs."""

    def __init__(self, recipe: str, arguments: argparse.Namespace, folder: Path, stack: ExitStack) -> None:
        self.recipe_name = recipe
        self._problems: int = arguments.problems
        self._overrides: tuple[str, ...] = tuple(arguments.set)
        self.folder = folder
        self.recipe = self.plan("warm-up", WARM_UP_SEED, WARM_UP_PROBLEMS).recipe
        settings = generator_settings(self.recipe)
        if settings.chat:
            raise InvalidInput("this benchmark replays plain prompts: set generator.chat to false")
        self._settings = settings
        self.tokenizer: TextTokenizer = read_tokenizer(Path(settings.model) / TOKENIZER_FILE)
        stack.enter_context(ray_session(self.recipe))
        launched = launch(self.recipe)
        self.replicas = replace(
            launched,
            generators=tuple(self.observed(handle) for handle in launched.generators),
            prms=tuple(self.observed(handle) for handle in launched.prms),
        )
        self.offline = stack.enter_context(OfflineEngine(settings, sampling(self.recipe)))

    def observed(self, handle: Any) -> ObservedReplica[Any, Any]:
        """The handle, noting its traffic."""
        return ObservedReplica(handle, self.folder)

    def plan(self, name: str, seed: int, num_problems: int | None = None) -> Plan:
        """A run of its own."""
        path = EXAMPLE / f"{self.recipe_name}.toml"
        return make_plan(
            ScoreOptions(
                problems=str(EXAMPLE / "test.jsonl"),
                recipe=path if path.exists() else Path(self.recipe_name),
                output=str(self.folder / name),
                overrides=(*self._overrides, f"seed={seed}"),
                limit=num_problems or self._problems,
            )
        )

    def score(self, plan: Plan, replicas: Replicas) -> ScorePass:
        """Run `score` and say how long the engines were at work."""
        from cluster.remote import wait_for  # noqa: PLC0415 - Ray reads its environment when it is imported

        handles: list[Any] = [*replicas.generators, *replicas.prms]
        present = {*handles, *self.replicas.generators, *self.replicas.prms}
        roles = {wait_for(handle.inner._actor.process_id.remote()): handle.replica_id for handle in present}
        with CoreUse(roles | {self.offline.process_id: "offline"}) as use:
            summary = score(plan, replicas)
        self.replicas.prepare_run()
        if summary.problems["succeeded"] != plan.problems.num_problems:
            raise RuntimeError(f"the run did not succeed: {summary.problems}")
        traffic = {handle.replica_id: handle.take_traffic() for handle in handles}
        first_s = min(each.first_call_s for each in traffic.values())
        last_s = max(each.last_result_s for each in traffic.values())
        steps = read_run(plan.options.output).steps().to_pylist()
        calls = {(row["problem_id"], row["seed"]): row for row in steps}.values()  # a sample's rows repeat its times
        return ScorePass(
            tokens=summary.tokens["generated"],
            seconds=last_s - first_s,
            run_seconds=summary.wall_seconds,
            cores=use.cores(first_s, last_s),
            calls={name: asdict(each) for name, each in traffic.items()},
            cached_share=summary.tokens["cached"] / summary.tokens["prompt"],
            mean_running=sum(row["run_seconds"] for row in calls) / (last_s - first_s),
            mean_queued=sum(row["queued_seconds"] for row in calls) / (last_s - first_s),
        )

    def samples(self, plan: Plan, run: Run) -> list[RecordedSample]:
        """What a run asked its generator for."""
        template = self._settings.prompt_template
        return recorded_samples(
            questions(plan),
            run.steps().to_pylist(),
            run.requests().to_pylist(),
            lambda question: self.tokenizer.encode(template.replace("{question}", question)),
        )


@contextmanager
def playback(session: Session, plan: Plan, run: Run) -> Iterator[tuple[Replicas, dict[tuple[int, ...], PrmScore]]]:
    """The replicas with a PRM that plays back the scores of a run; and those scores."""
    import ray  # noqa: PLC0415

    from cluster.launch import launch_replicas  # noqa: PLC0415

    settings = prm_settings(session.recipe)
    if settings is None:
        raise InvalidInput(f"{session.recipe_name} has no [prm]")
    scores = recorded_scores(
        questions(plan), run.problems().to_pylist(), run.steps().to_pylist(), prm_format(session.recipe)
    )
    with tempfile.NamedTemporaryFile(suffix=".scores") as file:
        file.write(pickle.dumps(scores))
        file.flush()
        [handle] = launch_replicas(
            partial(Prm, settings, build_engine=partial(RecordedPrm, Path(file.name))),
            Demand(role="prm"),
            numbers=(0,),
            start_timeout_s=session.recipe.cluster.start_timeout_s,
        )
        try:
            yield replace(session.replicas, prms=(session.observed(handle),)), scores
        finally:
            ray.kill(handle._actor)


def prm_format(recipe: Recipe) -> PrmFormat:
    """How the recipe's PRM writes its input."""
    if recipe.prm is None:
        raise InvalidInput("the recipe has no [prm]")
    model = Path(recipe.prm.model)
    return find_family(model, recipe.prm.family).make_format(PrmFolder(model, read_tokenizer(model / TOKENIZER_FILE)))


def questions(plan: Plan) -> dict[str, str]:
    """Problem id -> question."""
    return {problem.problem_id: problem.question for problem in plan.problems}


def known_paths(plan: Plan, run: Run, scores: dict[tuple[int, ...], PrmScore], form: PrmFormat) -> float:
    """Share of a run's paths whose score was played back."""
    asked = questions(plan)
    rows: list[Row] = run.steps().to_pylist()
    nodes = {(row["problem_id"], row["node_id"]): row for row in rows}
    known = 0
    for problem_id, node_id in nodes:
        texts = [node["text"] for node in lineage(nodes, problem_id, node_id)]
        known += path_ids(form, asked[problem_id], texts) in scores
    return known / len(nodes)


def measure(session: Session, repeats: int) -> dict[str, Any]:
    """All passes of one recipe, and what they say."""
    passes: dict[str, list[Any]] = {"score": [], "playback": [], "offline": [], "offline_plain": []}
    known = []
    for repeat in range(-1, repeats):  # the first one warms everything up
        plan = session.plan(f"run{repeat}", 100 + repeat, WARM_UP_PROBLEMS if repeat < 0 else None)
        found: dict[str, Any] = {"score": session.score(plan, session.replicas)}
        run = read_run(plan.options.output)
        if session.recipe.strategy.needs_prm:
            again = session.plan(f"playback{repeat}", 100 + repeat, WARM_UP_PROBLEMS if repeat < 0 else None)
            with playback(session, plan, run) as (replicas, scores):
                found["playback"] = session.score(again, replicas)
            run = read_run(again.options.output)
            known.append(known_paths(again, run, scores, prm_format(session.recipe)))
        samples = session.samples(plan, run)
        replayed, plain = session.offline.replay(samples), session.offline.plain(samples)
        for name, each in (*found.items(), ("offline", replayed), ("offline_plain", plain)):
            say(f"{session.recipe_name} {repeat}: {name} {each.tokens / each.seconds:,.0f} tokens/s")
            if repeat >= 0:
                passes[name].append(each)
    return {"ratios": ratios(passes), "known_paths": known[1:], "passes": _as_data(passes)}


def ratios(passes: dict[str, list[Any]]) -> dict[str, Any]:
    """Every way of `score` over every ceiling."""
    speeds = {name: [each.tokens / each.seconds for each in several] for name, several in passes.items()}
    return {
        f"{name}/{ceiling}": asdict(ratio(speeds[name], speeds[ceiling]))
        for name in ("score", "playback")
        for ceiling in ("offline", "offline_plain")
        if speeds[name]
    }


def _as_data(passes: dict[str, list[Any]]) -> dict[str, list[dict[str, Any]]]:
    return {
        name: [asdict(each) | {"tokens_per_s": each.tokens / each.seconds} for each in several]
        for name, several in passes.items()
        if several
    }


def environment(plan: Plan) -> dict[str, Any]:
    """Where and with what this was measured."""
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": cpu[0].partition(":")[2].strip() if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "versions": plan.manifest.versions,
        "git_revision": plan.manifest.git_revision,
    }


def say(text: str) -> None:
    """Progress, on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def arguments_of(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="score against LLM.generate, in generated tokens per second")
    parser.add_argument("--problems", type=int, default=64, help="of examples/arithmetic/test.jsonl (64)")
    parser.add_argument("--repeats", type=int, default=3, help="pairs that are timed (3)")
    parser.add_argument("--recipe", action="append", help="recipe of the example, or a file; may be repeated (both)")
    parser.add_argument("--set", action="append", default=[], help="section.key=value, for both sides")
    parser.add_argument("--output", type=Path, help="write the JSON here as well")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print one JSON document."""
    arguments = arguments_of(argv)
    result: dict[str, Any] = {"problems": arguments.problems, "repeats": arguments.repeats, "recipes": {}}
    for recipe in arguments.recipe or RECIPES:
        say(f"{recipe}: loading")
        with tempfile.TemporaryDirectory(prefix="ceiling-") as folder, ExitStack() as stack:
            load = os.getloadavg()[0]
            session = Session(recipe, arguments, Path(folder), stack)
            result["environment"] = environment(session.plan("none", 0))
            measured = measure(session, arguments.repeats)
            result["recipes"][recipe] = measured | {"load_average": {"before": load, "after": os.getloadavg()[0]}}
    text = json.dumps(result, indent=1) + "\n"
    sys.stdout.write(text)
    if arguments.output is not None:
        arguments.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
