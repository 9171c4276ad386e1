"""What one timed pass of one side came to, and how two sides compare: plain values and arithmetic, no engine.

The two sides take turns as A B B A, so that a machine that gets slower or faster evenly favours neither.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

from benchmarks.versus.watch import IDLE, OTHERS

OURS, PEER = "ours", "peer"
TURNS = (OURS, PEER, PEER, OURS)
"""The order of one pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What the engines did, as the engines count it.

    Attributes:
        generated: by the generator, what was thrown away included.
        prompt: that the generator was given, request by request (`cached`: of these, found in its prefix cache).
        prm: that the PRM was given (`prm_cached` alike).
    """

    generated: int
    prompt: int = 0
    cached: int = 0
    prm: int = 0
    prm_cached: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One timed pass over all problems.

    Attributes:
        seconds: from the first call to the last result.
        whole_seconds: of everything that the side does for a pass with its models loaded.
        problems: that were asked.
        failed: of these, those that ended with an error.
        accuracy: share of all problems with a right answer.
        cpu_seconds: processor time within `seconds`, by process (`benchmarks.versus.watch`).
        notes: anything else worth knowing, by name.
    """

    seconds: float
    whole_seconds: float
    problems: int
    failed: int
    accuracy: float
    tokens: Tokens
    cpu_seconds: Mapping[str, float]
    notes: Mapping[str, float] = field(default_factory=dict)

    @property
    def own_cpu_seconds(self) -> float:
        """Processor time of all processes of the side; 0 for a pass too short to be sampled."""
        return sum(spent for role, spent in self.cpu_seconds.items() if role not in (IDLE, OTHERS))


class Side(Protocol):
    """One way to get the answers, with its models loaded."""

    def warm_up(self) -> None:
        """One pass over a few problems that nobody times."""
        ...

    def run(self, seed: int) -> Pass:
        """One timed pass over all problems."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The median over pairs, with the lowest and the highest pair."""

    median: float
    lowest: float
    highest: float


Pair = Mapping[str, Sequence[Pass]]
"""OURS and PEER -> the two passes of each."""


def take_turns(ours: Side, peer: Side, first_seed: int) -> dict[str, list[Pass]]:
    """One pair: both sides twice, A B B A. Our second pass has another seed, as a peer's second has other samples."""
    sides = {OURS: ours, PEER: peer}
    passes: dict[str, list[Pass]] = {OURS: [], PEER: []}
    for turn, name in enumerate(TURNS):
        passes[name].append(sides[name].run(first_seed + turn))
    return passes


def ratios(pairs: Sequence[Pair]) -> dict[str, Spread]:
    """How many times better ours is, for each measure: above 1 is in our favour. Only what both sides have is there."""
    found: dict[str, Spread] = {}
    for name, (measure, more_is_better) in MEASURES.items():
        values = [_both(pair, measure) for pair in pairs]
        if values and all(ours > 0 and theirs > 0 for ours, theirs in values):
            found[name] = spread([ours / theirs if more_is_better else theirs / ours for ours, theirs in values])
    return found


def spread(values: Sequence[float]) -> Spread:
    """Median, lowest and highest.

    Raises:
        ValueError: there are none.
    """
    if not values:
        raise ValueError("nothing was measured")
    return Spread(median=median(values), lowest=min(values), highest=max(values))


Measure = Callable[[Sequence[Pass]], float]


def _both(pair: Pair, measure: Measure) -> tuple[float, float]:
    return measure(pair[OURS]), measure(pair[PEER])


def _seconds(passes: Sequence[Pass]) -> float:
    return sum(each.seconds for each in passes)


def _whole_seconds(passes: Sequence[Pass]) -> float:
    return sum(each.whole_seconds for each in passes)


def _generated(passes: Sequence[Pass]) -> float:
    return sum(each.tokens.generated for each in passes)


def _tokens_per_s(passes: Sequence[Pass]) -> float:
    return _generated(passes) / _seconds(passes)


def _cpu_seconds(passes: Sequence[Pass]) -> float:
    return sum(each.own_cpu_seconds for each in passes)


def _cpu_per_token(passes: Sequence[Pass]) -> float:
    return _cpu_seconds(passes) / _generated(passes) if _generated(passes) else 0.0


MEASURES: Mapping[str, tuple[Measure, bool]] = {
    "problems_per_s": (_seconds, False),
    "problems_per_whole_s": (_whole_seconds, False),
    "tokens_per_s": (_tokens_per_s, True),
    "fewer_tokens": (_generated, False),
    "less_cpu": (_cpu_seconds, False),
    "less_cpu_per_token": (_cpu_per_token, False),
}
"""Name -> the number of one side of a pair, and whether more of it is better."""
