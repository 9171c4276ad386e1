"""Parsimony as a library: what the command line does, for notebooks and scripts, and what a strategy is written with.

    import parsimony

    run = parsimony.score("my.jsonl", recipe="my.toml", output="runs/first", settings={"strategy.num_samples": 8})
    run.summary().accuracy
    run.problems(as_="polars")

The packages `jobs`, `scaling` and their like do the work; this module is a front, and loads nothing until a name is
used. What goes wrong is a `Failure` with a sentence that says what to do.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parsimony.deciding import Comparison, Replay, compare, estimate, replay
    from parsimony.running import score
    from parsimony.runs import StoredRun, open_run
    from records.failure import FailedAlike, Failure, InvalidInput, RunLocked, RunMismatch, StrategyFailed
    from records.path import FinishReason, Path, PrmScore
    from records.request import Deliver, Expand, Next, Reply, ReplyKind, Score, Scoring, Until
    from scaling.strategy import Choice, PrefixTrials, SearchLimits, Strategy
    from scaling.toy import ToyProblem, toy_run
    from scaling.uncertainty.aggregation import Aggregation
    from scaling.uncertainty.selection import choose_best, choose_by_vote

_HOMES = {
    "parsimony.running": ("score",),
    "parsimony.runs": ("StoredRun", "open_run"),
    "parsimony.deciding": ("Comparison", "Replay", "compare", "estimate", "replay"),
    "records.failure": ("Failure", "FailedAlike", "InvalidInput", "RunLocked", "RunMismatch", "StrategyFailed"),
    "records.path": ("FinishReason", "Path", "PrmScore"),
    "records.request": ("Deliver", "Expand", "Next", "Reply", "ReplyKind", "Score", "Scoring", "Until"),
    "scaling.strategy": ("Choice", "PrefixTrials", "SearchLimits", "Strategy"),
    "scaling.toy": ("ToyProblem", "toy_run"),
    "scaling.uncertainty.aggregation": ("Aggregation",),
    "scaling.uncertainty.selection": ("choose_best", "choose_by_vote"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Aggregation", "Choice", "Comparison", "Deliver", "Expand", "FailedAlike", "Failure", "FinishReason",
    "InvalidInput", "Next", "Path", "PrefixTrials", "PrmScore", "Replay", "Reply", "ReplyKind", "RunLocked",
    "RunMismatch", "Score", "Scoring", "SearchLimits", "StoredRun", "Strategy", "StrategyFailed", "ToyProblem",
    "Until", "choose_best", "choose_by_vote", "compare", "estimate", "open_run", "replay", "score", "toy_run",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """The public name, from where it is defined."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'parsimony' has no attribute {name!r}")
    found = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names, for completion."""
    return sorted(__all__)
