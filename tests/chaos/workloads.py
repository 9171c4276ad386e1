"""What is run under chaos: commands on the arithmetic example, small enough to be run many times.

Engines are the example's own on vLLM, told to compute one sequence at a time (`SAME_TOKENS`), or scripted ones.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.support.engines import SAME_TOKENS
from tests.support.scripted import KINDS, sets

EXAMPLE = Path(__file__).parents[2] / "examples/arithmetic"
Engines = Literal["scripted", "real"]

QUICK = ("output.flush_interval_s=0.5", "output.flush_problems=6")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A command.

    Attributes:
        name: of it, on the command line of `tests.chaos`.
        command: module of `jobs`; or a strategy of `tests.chaos.one_process`, which has no recipe.
        recipe: of the example.
        problems: file of the example.
        settings: `--set`.
        more: further words.
        scripted: how many problems with scripted engines.
        real: how many with real ones.
        has_prm: a PRM is used.
        same_rows: the rows do not depend on the order in which things happen.
        cap: on the run's tokens; None for none.
    """

    name: str
    command: str
    recipe: str = ""
    problems: str = "test.jsonl"
    settings: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    scripted: int
    real: int
    has_prm: bool = True
    same_rows: bool = True
    cap: int | None = None

    def num_problems(self, engines: Engines) -> int:
        """How many problems it has."""
        return self.scripted if engines == "scripted" else self.real

    def words(self, engines: Engines) -> list[str]:
        """Those of `python -m`, but for the output."""
        if not self.recipe:
            return ["tests.chaos.one_process", self.command]
        problems = EXAMPLE / self.problems
        script = (*KINDS, f"script.answers={problems}", "script.tokens_per_s=60", "script.prm_tokens_per_s=20000")
        settings = [*QUICK, *self.settings, *(script if engines == "scripted" else SAME_TOKENS)]
        settings += [f"budget.total_tokens={self.cap}"] if self.cap else []
        recipe = ("--recipe", str(EXAMPLE / f"{self.recipe}.toml"), "--limit", str(self.num_problems(engines)))
        return [f"jobs.{self.command}", str(problems), *recipe, "--json", *self.more, *sets(*settings)]


WORKLOADS = (
    Workload(
        name="samples", command="score", recipe="majority", settings=("strategy.num_samples=8",),
        scripted=60, real=12, has_prm=False,
    ),
    Workload(
        name="decided", command="score", recipe="majority",
        settings=("strategy={name='short-m-of-k',num_samples=8,num_first=3}",),
        scripted=60, real=12, has_prm=False, same_rows=False,
    ),
    Workload(
        name="beam", command="score", recipe="beam-16",
        settings=("strategy.num_samples=8", "strategy.beam_width=2"), scripted=48, real=8,
    ),
    Workload(
        name="sequential", command="score", recipe="sequential",
        settings=("strategy.num_samples=12",), scripted=40, real=8,
    ),
    Workload(
        name="marginal", command="score", recipe="best-of-16",
        settings=("strategy={name='marginal',num_samples=12}", "cluster.max_open_problems=12"),
        scripted=36, real=12, same_rows=False, cap=6000,
    ),
    Workload(
        name="rollout", command="rollout", recipe="majority", problems="calibration.jsonl",
        more=("--trajectories", "2", "--continuations", "2"), scripted=30, real=5, has_prm=False,
    ),
    Workload(
        name="compare", command="compare", recipe="best-of-16",
        more=("--strategies", "best-of-n:num_samples=4,beam-search:num_samples=4:beam_width=2", "--orders", "2"),
        scripted=24, real=5,
    ),
    Workload(
        name="estimate", command="estimate", recipe="best-of-16",
        more=("--pilot", "6", "--strategies", "best-of-n:num_samples=4"), scripted=24, real=8,
    ),
)  # fmt: skip


ONE_PROCESS = tuple(
    Workload(name=f"one-process-{strategy}", command=strategy, scripted=30, real=30, has_prm=strategy != "best-of-n")
    for strategy in ("best-of-n", "beam-search")
)
"""Without Ray, and only the driver to be struck: what a schedule comes to in seconds."""


def named(name: str) -> Workload:
    """The workload of that name."""
    return next(workload for workload in (*WORKLOADS, *ONE_PROCESS) if workload.name == name)
