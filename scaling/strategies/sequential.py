"""Best-of-N that stops when it is sure (ours): waves of samples, and after each the posterior of the answer in hand.

    wave         `wave_size` samples to the end, each scored by the PRM
    sure         P(the chosen answer is right | samples so far) >= threshold, by the model of `uncertainty.posterior`
    look         waves: when a wave is there; order, arrival: at each sample, `wave_size` being under way
                 (`scaling.strategies.as_they_finish`)
    hopeless     the chance that the chosen answer is wrong and the next wave holds a right one, per sample of the wave,
                 is below `min_gain`: another wave is not worth its price
    end          sure, hopeless, or `num_samples`

Best-of-N with a budget from the bare question stops when a right answer is probably there; this stops when it is found.
The posterior's chance becomes the answer's own probability.
"""

from collections.abc import Sequence
from dataclasses import replace

from records.path import Path
from records.request import Expand, ReplyKind, Score, Until
from scaling.strategies.as_they_finish import Look, as_they_finish
from scaling.strategy import SearchLimits, Strategy
from scaling.uncertainty.aggregation import Aggregation, ScoreEstimate, success_probability
from scaling.uncertainty.evidence import Evidence
from scaling.uncertainty.fitted_answers import FittedAnswers
from scaling.uncertainty.posterior import AnswerModel
from scaling.uncertainty.selection import Selection


def sequential(
    root: Path,
    *,
    limits: SearchLimits,
    num_samples: int,
    wave_size: int = 4,
    threshold: float = 0.95,
    min_gain: float = 0.001,
    prior_strength: float = 2.0,
    wrong_spread: float = 10.0,
    score_weight: float = 0.2,
    estimate: ScoreEstimate = ScoreEstimate.MEAN,
    aggregation: Aggregation = Aggregation.LAST,
    selection: Selection | None = None,
    look: Look = Look.WAVES,
    fitted: FittedAnswers | None = None,
) -> Strategy:
    """At most `num_samples`, in waves; without a `selection`, the likeliest answer under the posterior is chosen.

    A model that was `fitted` takes the place of `prior_strength`, `wrong_spread` and `score_weight`.
    """
    reply = yield Score((root,))
    [scored] = reply.paths
    model = AnswerModel(
        mean=success_probability(scored, estimate), strength=prior_strength, spread=wrong_spread, weight=score_weight
    )
    model = model if fitted is None else fitted.begin(success_probability(scored, estimate))
    evidence = Evidence(model, estimate, aggregation, selection)
    num_logprobs = 0 if selection is None else selection.top_logprobs

    def enough(paths: Sequence[Path]) -> bool:
        evidence.add(paths)
        answer = evidence.answer
        sure = answer is not None and evidence.posterior.probabilities[answer] >= threshold
        return sure or evidence.posterior.gain(answer, wave_size) < min_gain * wave_size

    asked = Expand(((root, 1),), Until.END, limits.max_tokens, aggregation.scoring, top_logprobs=num_logprobs)
    if look is not Look.WAVES:
        yield from as_they_finish(
            asked, num_samples=num_samples, at_once=wave_size, look=look, enough=lambda path, _: enough([path])
        )
        return evidence.choice()
    for begun in range(0, num_samples, wave_size):
        reply = yield replace(asked, parents=((root, min(wave_size, num_samples - begun)),))
        if enough(reply.paths) or reply.kind is not ReplyKind.FULL:
            break
    return evidence.choice()
