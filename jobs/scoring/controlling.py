"""The controller of a run, made in its own process from what its driver sends: plan, replicas, state, writer."""

import gc
import time
from functools import partial
from typing import TYPE_CHECKING

from actors.controller.controller import Controller
from actors.controller.settings import FlushPolicy, RunSettings, RunSoFar
from actors.grading.grader import Grader
from actors.writer.journals import read_journals
from actors.writer.run_state import RunState
from jobs.recipes.sections import GraderSection
from jobs.recipes.settings import abstention, answer_policy, sampling
from jobs.scoring.admission import most_open_paths, window_problems
from jobs.scoring.plan import OwedProblems, Plan
from jobs.scoring.replicas import Replicas
from records.progress import Progress
from records.run_folder.manifest import replica_differences
from scaling.budget.time_caps import TimeCaps, replica_seconds

if TYPE_CHECKING:
    from actors.controller.protocols import NodeWatch
    from cluster.remote import RemoteWriter

HEARTBEAT_S = 5.0


def build_controller(plan: Plan, replicas: Replicas, state: RunState, writer: "RemoteWriter") -> Controller:
    """The controller of a run, made in its own process, on the driver's machine."""
    from cluster.metrics import RayExporter

    # Searches keep what they make until their problem ends, and nothing of it is a cycle: Python's default looks
    # through it all for a tenth of this process's time.
    gc.set_threshold(50_000, 20, 100)
    recipe = plan.recipe
    most_problems = recipe.cluster.max_open_problems
    settings = RunSettings(
        replica_epoch=time.time_ns() // 1_000_000,
        run_seed=recipe.seed,
        strategy_name=recipe.strategy.name,
        sampling=sampling(recipe),
        total_tokens=recipe.budget.total_tokens,
        deadline_s=recipe.budget.deadline_s,
        total_usd=recipe.budget.total_usd,
        total_gpu_seconds=recipe.budget.total_gpu_seconds,
        max_open_problems=most_problems,
        max_open_paths=most_open_paths(recipe),
        window_problems=window_problems(recipe),
        samples_at_once=recipe.strategy.samples_at_once,
        competing=recipe.strategy.allocates and recipe.budget.total_tokens is not None,
        # Rows that wait to be written count as open: never so many that they keep others from being begun.
        flush=FlushPolicy(
            num_problems=max(1, min(recipe.output.flush_problems, (most_problems or 2**31) // 2)),
            interval_s=recipe.output.flush_interval_s,
        ),
        heartbeat_s=HEARTBEAT_S,
        abstention=abstention(recipe),
        policy=answer_policy(recipe),
        stop_on_failures=recipe.output.stop_on_failures or None,
        rates=replicas.rates,
        held_s=replicas.unmetered_s(time.time()),
        node_kinds=replicas.node_kinds,
        check_replica=partial(replica_differences, plan.manifest),
        nodes=_node_watch(replicas),
    )
    so_far = RunSoFar(
        visible=progress_of(plan, state, replicas),
        spent_tokens=state.spent_tokens,
        leased_tokens=state.leased_tokens,
        usages=state.usages,
        next_batch=state.next_batch,
        num_left=plan.problems.num_problems - len(state.done),
        num_owed=plan.num_owed(state.done),
        journals=partial(read_journals, plan.store, state.open_problems),
    )
    return Controller(
        problems=OwedProblems(plan.problems, state.done, plan.only),
        strategy=plan.strategy,
        settings=settings,
        so_far=so_far,
        generators=replicas.generators,
        prms=replicas.prms,
        writer=writer,
        grader=_grader(recipe.grader),
        metrics=RayExporter(plan.store.uri),
        growth=replicas.growth,
    )


def _grader(section: GraderSection) -> Grader:
    return Grader(section.kind, num_workers=section.num_workers, timeout_s=section.timeout_s, warm_spare=True)


def _node_watch(replicas: Replicas) -> "NodeWatch | None":
    if replicas.demands is None:
        return None
    from cluster.nodes import watched_nodes

    return watched_nodes


def progress_of(plan: Plan, state: RunState, replicas: Replicas) -> Progress:
    """Where the run stands before a controller has done anything."""
    totals, budget = state.totals, plan.recipe.budget
    earlier = TimeCaps(rates=replicas.rates, before_s=replica_seconds(state.usages))
    held = earlier.held(replicas.unmetered_usage(time.time()))
    return Progress(
        phase="loading models",
        total_problems=len(state.done) + plan.num_owed(state.done),
        done_problems=totals.problems,
        failed_problems=totals.failed,
        exhausted_problems=totals.budget_exhausted,
        graded=totals.graded,
        correct=totals.correct,
        finished_samples=totals.finished_samples,
        unanswered_samples=totals.unanswered_samples,
        open_problems=0,
        generated_tokens=state.spent_tokens,
        prompt_tokens=totals.prompt_tokens,
        cached_tokens=totals.cached_tokens,
        prm_tokens=totals.prm_tokens,
        total_tokens_cap=budget.total_tokens,
        usd=held.usd,
        total_usd_cap=budget.total_usd,
        gpu_seconds=held.gpu_seconds,
        total_gpu_seconds_cap=budget.total_gpu_seconds,
        elapsed_s=0.0,
        replicas_ready=0,
        replicas_wanted=len(replicas),
        replicas_lost=0,
    )
