"""Best-of-N in which problems compete for each sample: under the run's cap, the best offer is sampled first (ours).

    offer        what the problem's next wave can win, per expected token: the `priority` of its request
                   coverage   chance that no sample so far is right and the wave holds a right one,
                              E[(1 - p)^n - (1 - p)^(n + wave)] given answers and scores so far
                   accuracy   the same, and `RIVALS_SHARE` of the chance that some sample so far is right, the answer
                              in hand is not, and the wave holds a right one
    grant        the controller's: of all waiting waves of all open problems the one that is worth most
    end          the run's cap, `num_samples`, or an offer below `min_gain` per sample

Both by the model of `uncertainty.posterior`, from the PRM's view of the question and of all samples so far. What easy
problems save goes to hard ones, and hopeless ones stop eating the budget. Without a cap and without `min_gain` every
problem gets `num_samples`.
"""

from enum import StrEnum

from records.path import Path
from records.request import Expand, ReplyKind, Score, Until
from scaling.strategy import SearchLimits, Strategy
from scaling.uncertainty.aggregation import Aggregation, ScoreEstimate, success_probability
from scaling.uncertainty.allocation import belief_of
from scaling.uncertainty.evidence import Evidence
from scaling.uncertainty.fitted_answers import FittedAnswers
from scaling.uncertainty.posterior import AnswerModel
from scaling.uncertainty.selection import Selection

TYPICAL_SHARE = 0.25
"""Of `max_tokens`: what a sample is taken to need before any is known."""

RIVALS_SHARE = 0.3
"""How often one more right sample makes a right answer win that was there and not chosen. A rule of thumb: with 1, what
a wave can win at best, problems whose samples all differ eat the budget; with 0 answers stay in doubt."""


class Objective(StrEnum):
    """What a sample is worth."""

    ACCURACY = "accuracy"
    COVERAGE = "coverage"


def marginal(
    root: Path,
    *,
    limits: SearchLimits,
    num_samples: int,
    wave_size: int = 1,
    objective: Objective = Objective.COVERAGE,
    min_gain: float = 0.0,
    typical_tokens: int | None = None,
    prior_strength: float | None = None,
    wrong_spread: float = 10.0,
    score_weight: float = 0.2,
    estimate: ScoreEstimate = ScoreEstimate.MEAN,
    aggregation: Aggregation = Aggregation.LAST,
    selection: Selection | None = None,
    fitted: FittedAnswers | None = None,
) -> Strategy:
    """At most `num_samples`; the answer is chosen as `sequential` does, and a `fitted` model begins as there.

    `typical_tokens` counts as the length of one sample more; None: a quarter of `max_tokens`.
    """
    reply = yield Score((root,))
    [scored] = reply.paths
    belief = belief_of(scored, prior_strength)
    model = AnswerModel(mean=belief.mean, strength=belief.strength, spread=wrong_spread, weight=score_weight)
    model = model if fitted is None else fitted.begin(success_probability(scored, estimate))
    tokens = TYPICAL_SHARE * limits.max_tokens if typical_tokens is None else float(typical_tokens)
    evidence = Evidence(model, estimate, aggregation, selection)
    num_logprobs = 0 if selection is None else selection.top_logprobs
    while (num_drawn := len(evidence.samples)) < num_samples:
        wave = min(wave_size, num_samples - num_drawn)
        gain = _gain(objective, evidence, wave)
        if num_drawn and gain < min_gain * wave:
            break
        priority = gain / (wave * tokens / (1 + num_drawn))
        asked = ((root, wave),)
        reply = yield Expand(
            asked, Until.END, limits.max_tokens, aggregation.scoring, top_logprobs=num_logprobs, priority=priority
        )
        evidence.add(reply.paths)
        tokens += sum(path.num_tokens for path in reply.paths)
        if reply.kind is not ReplyKind.FULL:
            break
    return evidence.choice()


def _gain(objective: Objective, evidence: Evidence, num_samples: int) -> float:
    """What so many samples more can win, in [0, 1]."""
    new = evidence.posterior.coverage_gain(num_samples)
    if objective is Objective.COVERAGE:
        return new
    return new + RIVALS_SHARE * (evidence.posterior.gain(evidence.answer, num_samples) - new)
