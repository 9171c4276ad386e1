"""Self-consistency: the answer that most samples agree on (Wang et al., arXiv 2203.11171).

With `stop_when_decided` (ours) samples are counted as they finish, and the rest is cancelled once no other answer can
win:

    votes of the leading answer - votes of the next > samples that are still to come

A vote weighs at most one, so whatever they say, the answer is that of all samples. Short samples finish first; that
changes only how soon it is known.

With `begin_as_needed` too only so many samples are under way as could decide if all of them said what leads: of sixteen
nine at first, and others as these disagree. Fewer are begun to be cancelled, and a problem takes longer.
"""

import math

from records.path import Path
from records.request import Expand, Scoring, Until
from scaling.answers.stated import answer_of, form_of
from scaling.strategies.as_they_finish import Look, as_they_finish
from scaling.strategy import SearchLimits, Strategy
from scaling.uncertainty.aggregation import Aggregation, aggregate
from scaling.uncertainty.selection import choose_by_vote, two_most

_ROUNDING = 1e-6
"""Lead that is one of summation: weights are added up in order of arrival here, and in child order by the vote."""


def majority(
    root: Path,
    *,
    limits: SearchLimits,
    num_samples: int,
    weight_by: Aggregation | None = None,
    stop_when_decided: bool = False,
    begin_as_needed: bool = False,
) -> Strategy:
    """Sample `num_samples` solutions and vote; with `weight_by`, a vote weighs as much as its PRM score.

    `begin_as_needed` has a say where `stop_when_decided`.
    """
    scoring = Scoring.NONE if weight_by is None else weight_by.scoring
    if not stop_when_decided:
        reply = yield Expand(((root, num_samples),), Until.END, limits.max_tokens, scoring)
        return choose_by_vote(reply.paths, weight_by)
    votes: dict[str, float] = {}

    def decided(path: Path, num_left: int) -> bool:
        answer = answer_of(path)
        if answer is not None:
            form = form_of(path, answer)
            votes[form] = votes.get(form, 0.0) + (1.0 if weight_by is None else aggregate(path, weight_by))
        first, second = two_most(votes.values())
        return first - second > num_left + _ROUNDING

    def could_decide(num_left: int) -> int:
        """The fewest votes that decide if all are for what leads."""
        first, second = two_most(votes.values())
        return min(num_left, math.floor((num_left - (first - second) + _ROUNDING) / 2) + 1)

    one = Expand(((root, 1),), Until.END, limits.max_tokens, scoring)
    at_once = could_decide if begin_as_needed else num_samples
    samples = yield from as_they_finish(
        one, num_samples=num_samples, at_once=at_once, look=Look.ARRIVAL, enough=decided
    )
    return choose_by_vote(samples, weight_by)
