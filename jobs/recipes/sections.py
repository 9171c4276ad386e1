"""The recipe and its sections: every field says what it is, in which unit, within which bounds."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from jobs.recipes.answers.section import AnswerSection
from jobs.recipes.calibration import CalibrationSection
from jobs.recipes.engines import PrmSection, ScriptSection
from jobs.recipes.generator import GeneratorSection
from jobs.recipes.presentation import LoggersSection, ReportSection
from jobs.recipes.prompt import PromptSection
from jobs.recipes.section import PLUGIN, Section, is_plugin, setting, without_password
from jobs.recipes.strategies.basic import PluginStrategy
from jobs.recipes.strategies.registry import StrategySection
from jobs.recipes.thinking import ThinkingSection

_GRADERS = ("math-verify", "exact", "numeric", "multiple-choice")


class ProblemsSection(Section):
    """Which columns of the problem file hold what."""

    preset: Literal["auto", "gsm8k", "math", "generic"] = setting(
        "auto",
        'Layout of the file: gsm8k (key after "####"), math (problem; answer, or a box in solution), generic (the key '
        'as it stands); "auto" goes by the first row.',
    )
    problem_id: str = setting("auto", 'Column with the unique name of a problem; "auto" finds it.', min_length=1)
    question: str = setting("auto", 'Column with the question; "auto" finds it.', min_length=1)
    reference: str = setting(
        "auto", 'Column with the answer key; "auto" takes one if there is one, "" or "none" reads none.'
    )
    carry: tuple[str, ...] = setting(
        (),
        "Other columns that the run's table of problems has as well, as text (`columns`).",
        operational=True,
        silent=True,
        strict=False,
        max_length=64,
    )


class BudgetSection(Section):
    """Caps of the whole run; a resume may change them."""

    total_tokens: int | None = setting(
        None, "Generated tokens that the run may spend, never exceeded; omitted: no cap.", operational=True, ge=1
    )
    total_usd: float | None = setting(
        None,
        "USD that the replicas' time may cost, by the instances in [cost]; a call that is under way is still finished. "
        "Omitted: no cap.",
        operational=True,
        gt=0,
    )
    total_gpu_seconds: float | None = setting(
        None, "GPU-seconds for which the run may hold its replicas, likewise; omitted: no cap.", operational=True, gt=0
    )
    deadline_s: float | None = setting(
        None, "Seconds after which open problems end with their best answer; omitted: none.", operational=True, gt=0
    )

    @property
    def caps(self) -> dict[str, float]:
        """Those that are set, by key."""
        return {f"budget.{name}": value for name, value in self.model_dump().items() if value is not None}

    @property
    def time_caps(self) -> dict[str, float]:
        """Of these, those on time and what it costs: what they leave undone depends on how fast the replicas were."""
        return {key: value for key, value in self.caps.items() if key != "budget.total_tokens"}


NO_CAPS = tuple(f"budget.{name}=" for name in BudgetSection.model_fields)
"""Overrides that take every cap away."""
NO_ABSTAINING = tuple(f"answer.{name}=" for name in ("abstain_below", "target_error", "risk"))
"""Overrides for strategies that say nothing of how sure they are."""


class GraderSection(Section):
    """How an answer is compared with the answer key."""

    kind: str = setting(
        "math-verify", "math-verify, exact, numeric, multiple-choice, or the user's own as module:function."
    )
    timeout_s: float = setting(5.0, "Seconds for one answer; after that `correct` is null.", gt=0)
    num_workers: int = setting(1, "Grader processes.", operational=True, ge=1, le=1024)

    @field_validator("kind")
    @classmethod
    def _kind_is_known(cls, kind: str) -> str:
        if kind not in _GRADERS and not is_plugin(kind):
            raise ValueError(f"must be one of {', '.join(_GRADERS)}, or {PLUGIN}")
        return kind


class OutputSection(Section):
    """When finished problems are written, and when a run gives up."""

    flush_problems: int = setting(64, "Finished problems that are committed together.", operational=True, ge=1)
    flush_interval_s: float = setting(10.0, "Longest time between two commits; early on less.", operational=True, gt=0)
    stop_on_failures: int = setting(8, "Stop if the first so many all fail alike; 0: never.", operational=True, ge=0)


class ClusterSection(Section):
    """Where the run takes place."""

    address: str | None = setting(
        None, "Ray cluster to join; omitted: the one around, or a local one.", operational=True, min_length=1
    )
    device: Literal["cpu", "gpu"] | None = setting(
        None,
        "What the replicas run on; omitted: GPUs if the cluster has one now. An autoscaled one may have none yet.",
        operational=True,
    )
    num_cpus: int | None = setting(None, "CPU cores that a local Ray may use; omitted: all.", operational=True, ge=1)
    start_timeout_s: float = setting(
        900.0, "Seconds in which a replica's engine has to come up.", operational=True, gt=0
    )
    max_open_problems: int | None = setting(
        None,
        "Problems in work and not yet written, at most; omitted: as many as keep the engines' slots full. Where "
        "problems compete for a cap, so many do at a time; omitted: 512, or more where the slots need them.",
        operational=True,
        ge=1,
    )
    max_open_paths: int | None = setting(
        None,
        "Steps that problems in work and not yet written may have come to before another is begun, which bounds the "
        "controller's memory; omitted: 64 for each slot of the generators, at least 500000.",
        operational=True,
        ge=1,
    )

    _no_password = field_validator("address", mode="before")(without_password)


class CostSection(Section):
    """What the run's machines cost; without it a run counts tokens and seconds, and no money."""

    prices: str | None = setting(
        None, "TOML file in the layout of cluster/prices.toml; omitted: that one.", operational=True, min_length=1
    )
    generator_instance: str | None = setting(
        None, "Instance that generators run on, by its name in the price table.", operational=True, min_length=1
    )
    prm_instance: str | None = setting(
        None, "Instance that PRMs run on; omitted: their cost is unknown.", operational=True, min_length=1
    )
    market: Literal["on-demand", "spot"] = setting("on-demand", "Which price counts.", operational=True)


class Recipe(Section):
    """One evaluation, complete: two runs of one recipe differ by chance only."""

    seed: int = setting(0, "Every sample's seed is derived from it and the sample's name.", ge=0, lt=2**63)
    problems: ProblemsSection = setting(ProblemsSection(), "Columns of the problem file.")
    generator: GeneratorSection = Field(description="The model that solves the problems.")
    prompt: PromptSection = setting(PromptSection(), "Problems that the prompt shows solved.", silent=True)
    prm: PrmSection | None = setting(None, "The process reward model; omitted: none, for strategies without scores.")
    script: ScriptSection = setting(ScriptSection(), "What a scripted generator and PRM do.", silent=True)
    strategy: StrategySection = Field(description="How samples are spent on a problem.")
    budget: BudgetSection = setting(BudgetSection(), "Caps of the whole run.", operational=True)
    answer: AnswerSection = setting(AnswerSection(), "Which answers the run stands by.")
    grader: GraderSection = setting(GraderSection(), "How answers are compared with the answer key.")
    output: OutputSection = setting(OutputSection(), "When results are written.", operational=True)
    report: ReportSection = setting(ReportSection(), "What a report tells apart.", operational=True, silent=True)
    loggers: LoggersSection = setting(
        LoggersSection(), "Where the run is shown beside others.", operational=True, silent=True
    )
    cluster: ClusterSection = setting(ClusterSection(), "Where the run takes place.", operational=True)
    cost: CostSection = setting(CostSection(), "What its machines cost.", operational=True)
    calibration: CalibrationSection = setting(
        CalibrationSection(), "How `parsimony calibrate` fits the PRM; nothing to other commands.", operational=True
    )

    @model_validator(mode="after")
    def _strategy_has_its_prm(self) -> Self:
        plugin = isinstance(self.strategy, PluginStrategy)
        if self.strategy.needs_prm and not plugin and self.prm is None:
            raise ValueError(f"strategy {self.strategy.name} needs scores: add a [prm] section with a model")
        return self

    @model_validator(mode="after")
    def _generator_and_prm_are_of_one_kind(self) -> Self:
        prm, strategy = self.prm, self.strategy
        if prm is None or not (strategy.samples and strategy.needs_prm) or prm.kind == self.generator.kind:
            return self
        raise ValueError(
            f'generator.kind is "{self.generator.kind}" and prm.kind "{prm.kind}": a scripted PRM reads what a '
            "scripted generator writes, and nothing else; set both to one kind"
        )

    @model_validator(mode="after")
    def _answers_have_their_probability(self) -> Self:
        strategy = self.strategy
        key = "target_error" if self.answer.abstain_below is None else "abstain_below"
        if getattr(self.answer, key) is not None and strategy.answers and not strategy.gives_answer_p:
            raise ValueError(
                f"answer.{key} needs the probability of every answer, and strategy {strategy.name} gives none: "
                f"take another, or leave {key} out"
            )
        return self


SECTIONS: dict[str, type[Section]] = {
    "problems": ProblemsSection,
    "generator": GeneratorSection,
    "prompt": PromptSection,
    "prm": PrmSection,
    "script": ScriptSection,
    "budget": BudgetSection,
    "answer": AnswerSection,
    "grader": GraderSection,
    "output": OutputSection,
    "report": ReportSection,
    "loggers": LoggersSection,
    "cluster": ClusterSection,
    "cost": CostSection,
    "calibration": CalibrationSection,
}
"""All but `strategy`, which has a model for each kind."""
SUBSECTIONS: dict[str, type[Section]] = {"generator.thinking": ThinkingSection}
"""Tables within a section, which a recipe may leave out."""

MODELS = ("generator.model", "prm.model", "generator.adapter")
"""Settings that name a folder of weights, or a name on a hub."""
