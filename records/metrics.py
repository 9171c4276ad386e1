"""The metrics of a run, as data: what is exported, what the dashboard shows of it, and nothing else anywhere.

    controller --readings, once a second--> exporter --> Ray's agent of the node --scraped--> Prometheus --> dashboard

Names follow Prometheus' conventions; Ray puts `ray_` before them. Every metric has the label `run`, the run's address.
A counter counts from 0 in each controller's process, so rates and increases over several of them add up; a gauge says
where the run stands, earlier epochs included.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

PREFIX = "ray_"
"""What Ray puts before every name."""

RUN = "run"
"""The label that every metric has."""


class Kind(StrEnum):
    """How a metric behaves."""

    COUNTER = "counter"
    """Only grows."""
    GAUGE = "gauge"
    """Goes up and down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        name: without Ray's prefix; ends in its unit, and a counter's in `_total`.
        kind: how it behaves.
        unit: of one: "tokens", "seconds", "problems", ...
        help: what it means, in a sentence.
        labels: beside `run`.
        summed: its panel shows what a counter has come to, not its rate.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    summed: bool = False

    @property
    def exported(self) -> str:
        """The metric's name in Prometheus."""
        return PREFIX + self.name

    def of(self, value: float, *labels: str) -> "Reading":
        """A reading of it; `labels` are values, in the order of its labels."""
        return Reading(self, labels, value)

    def query(self, **matching: str) -> str:
        """PromQL for its panel: a gauge's value, a counter's rate or sum, of each run and of each value of its labels.

        A controller that has just been replaced is still exported for a while beside its successor: of gauges the
        larger is taken, and rates are added.

        Args:
            matching: values of labels; those labels are not told apart then.
        """
        matchers = "".join(f', {label}="{value}"' for label, value in matching.items())
        series = f'{self.exported}{{{RUN}=~"$run"{matchers}}}'
        kept = ", ".join([RUN, *(label for label in self.labels if label not in matching)])
        if self.summed:
            return f"sum by ({kept}) ({series})"
        if self.kind is Kind.COUNTER:
            return f"sum by ({kept}) (rate({series}[$__rate_interval]))"
        return f"max by ({kept}) ({series})"


class Reading(NamedTuple):
    """What a metric is at a moment; of a counter, since the controller began."""

    metric: Metric
    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """What is read off two metrics: its name in a legend, what it means, PromQL for its panel, labels beside `run`."""

    name: str
    help: str
    query: str
    labels: tuple[str, ...] = ()


def _counter(name: str, unit: str, text: str, *labels: str, summed: bool = False) -> Metric:
    name = f"parsimony_{name}_total"
    return Metric(name=name, kind=Kind.COUNTER, unit=unit, help=text, labels=labels, summed=summed)


def _gauge(name: str, unit: str, text: str, *labels: str) -> Metric:
    return Metric(name=f"parsimony_{name}", kind=Kind.GAUGE, unit=unit, help=text, labels=labels)


INPUT_PROBLEMS = _gauge("input_problems", "problems", "Problems of the input; in a pilot, those with a row at its end.")
OPEN_PROBLEMS = _gauge("open_problems", "problems", "Problems begun whose row is not visible yet.")
DONE_PROBLEMS = _gauge("done_problems", "problems", "Problems with a visible row, by status.", "status")
GRADED_PROBLEMS = _gauge("graded_problems", "problems", "Problems with a visible row whose answer has a verdict.")
CORRECT_PROBLEMS = _gauge("correct_problems", "problems", "Of the graded problems, those whose answer is right.")
SPENT_TOKENS = _gauge(
    "spent_tokens", "tokens", "Generated tokens that the ledger counts as spent, those lost in crashes included."
)
RESERVED_TOKENS = _gauge("reserved_tokens", "tokens", "Tokens that the ledger holds for samples in flight.")
CAP_TOKENS = _gauge("cap_tokens", "tokens", "The run's cap on generated tokens; absent where there is none.")
SPENT_USD = _gauge("spent_usd", "USD", "What the replicas' time has cost in all epochs; absent without prices.")
CAP_USD = _gauge("cap_usd", "USD", "The run's cap on that; absent where there is none.")
SPENT_GPU_SECONDS = _gauge(
    "spent_gpu_seconds", "seconds", "GPUs times the seconds that they were held, in all epochs; absent without a GPU."
)
CAP_GPU_SECONDS = _gauge("cap_gpu_seconds", "seconds", "The run's cap on that; absent where there is none.")
SAMPLES = _counter("samples", "samples", "Expansions that generators have finished.")
SCORES = _counter("scores", "calls", "Scoring calls that PRMs have finished.")
TOKENS = _counter(
    "tokens",
    "tokens",
    "Tokens by kind: generated (of these, pruned, once their problem has its row), prompt (of these, cached), "
    "prm (of these, prm_cached).",
    "kind",
)
WAITING_CALLS = _gauge("waiting_calls", "calls", "Calls that wait for a replica or a grant, by role.", "role")
CALLS_IN_FLIGHT = _gauge("calls_in_flight", "calls", "Calls at a replica.", "role", "replica")
REPLICA_UP = _gauge("replica_up", "replicas", "1 while a replica takes calls, 0 while it does not.", "role", "replica")
REPLICA_DEATHS = _counter("replica_deaths", "deaths", "Deaths of a replica.", "role", "replica", summed=True)
HELD_SECONDS = _counter(
    "replica_held_seconds", "seconds", "Time that the run has held a replica, start-up included.", "role", "replica"
)
BUSY_SECONDS = _counter(
    "replica_busy_seconds", "seconds", "Of the time held, that with at least one call in flight.", "role", "replica"
)
CALL_SECONDS = _counter(
    "replica_call_seconds", "seconds", "Calls in flight, summed over time: its rate is their mean.", "role", "replica"
)
GPU_SECONDS = _counter(
    "gpu_seconds", "seconds", "Time held times the GPUs of a replica; absent without a GPU.", "role", summed=True
)
USD = _counter("usd", "USD", "Time held times the price of a replica; absent without a price.", "role", summed=True)
COMMIT_LAG = _gauge(
    "commit_lag_seconds", "seconds", "All that was ready longer ago than this is visible: what a kill would cost."
)

METRICS = (
    INPUT_PROBLEMS, OPEN_PROBLEMS, DONE_PROBLEMS, GRADED_PROBLEMS, CORRECT_PROBLEMS, SPENT_TOKENS, RESERVED_TOKENS,
    CAP_TOKENS, SPENT_USD, CAP_USD, SPENT_GPU_SECONDS, CAP_GPU_SECONDS, SAMPLES, SCORES, TOKENS, WAITING_CALLS,
    CALLS_IN_FLIGHT, REPLICA_UP, REPLICA_DEATHS, HELD_SECONDS, BUSY_SECONDS, CALL_SECONDS, GPU_SECONDS, USD, COMMIT_LAG,
)  # fmt: skip
"""All there are."""

ACCURACY = Ratio(
    name="accuracy",
    help="Share of the graded problems whose answer is right.",
    query=f"{CORRECT_PROBLEMS.query()} / ({GRADED_PROBLEMS.query()} > 0)",
)
SPENT_SHARE, SPENT_USD_SHARE, SPENT_GPU_SHARE = (
    Ratio(
        name=f"{unit} of the cap",
        help=f"Share of the cap on {of} that is spent.",
        query=f"{spent.query()} / {cap.query()}",
    )
    for unit, of, spent, cap in (
        ("tokens", "generated tokens", SPENT_TOKENS, CAP_TOKENS),
        ("USD", "USD", SPENT_USD, CAP_USD),
        ("GPU-seconds", "GPU-seconds", SPENT_GPU_SECONDS, CAP_GPU_SECONDS),
    )
)
GENERATOR_HITS = Ratio(
    name="generator prefix cache",
    help="Share of prompt tokens that generators found in their prefix caches.",
    query=f"{TOKENS.query(kind='cached')} / ({TOKENS.query(kind='prompt')} > 0)",
)
PRM_HITS = Ratio(
    name="PRM prefix cache",
    help="Share of PRM input tokens that PRMs found in their prefix caches.",
    query=f"{TOKENS.query(kind='prm_cached')} / ({TOKENS.query(kind='prm')} > 0)",
)
BUSY_SHARE = Ratio(
    name="busy share",
    help="Share of the time held in which a replica has at least one call in flight.",
    query=f"{BUSY_SECONDS.query()} / ({HELD_SECONDS.query()} > 0)",
    labels=("role", "replica"),
)
RATIOS = (ACCURACY, SPENT_SHARE, SPENT_USD_SHARE, SPENT_GPU_SHARE, GENERATOR_HITS, PRM_HITS, BUSY_SHARE)
"""What is not exported, because Prometheus divides better than we do: over any window, and over many runs."""
