"""How sure is the answer of a search that samples whole solutions by themselves? Ours.

The PRM's view of the chosen path is what the best of many scores looks like, and knows nothing of the other samples:
whether they agree with it. The posterior of `posterior` reads both. Its model here says nothing of the problem
beforehand (a sample is right with a chance that is uniform in [0, 1]), so the bare question need not be scored:

    mean 1/2, strength 2    Beta(1, 1)
    spread 10               two wrong samples agree seldom
    weight 1, correlation 1 samples with one answer are misjudged alike: the mean of their scores is worth one score

It holds for samples that know nothing of each other. Candidates of a search by steps share prefixes and were selected
by their scores: there the chosen path's own score stands.
"""

from dataclasses import replace
from typing import Any

from records.path import Path, PrmScore
from scaling.answers.stated import answer_of, form_of
from scaling.strategy import Choice, Strategy
from scaling.uncertainty.aggregation import ScoreEstimate, success_probability
from scaling.uncertainty.fitted_answers import FittedAnswers
from scaling.uncertainty.posterior import AnswerModel, answer_posterior

SCORED = AnswerModel(mean=0.5, strength=2.0, spread=10.0, weight=1.0, correlation=1.0)
UNSCORED = replace(SCORED, weight=0.0)


def with_answer_p(function: Any, root: Path, *, believed: FittedAnswers | None = None, **arguments: Any) -> Strategy:
    """The strategy `function`, whose candidates are all its whole samples, with the posterior of its answer.

    A strategy that says itself how sure it is keeps its word. `believed`: a fitted model in place of ours.
    """
    choice: Choice = yield from function(root, **arguments)
    return choice if choice.answer_p is not None else replace(choice, answer_p=posterior_of(choice, believed))


def posterior_of(choice: Choice, believed: FittedAnswers | None = None) -> PrmScore | None:
    """That the chosen answer is right, given all candidates: one number, as the three quantiles.

    None without an answer, and where there is one sample only: then the PRM's view of it is all there is.
    """
    if choice.answer is None or len(choice.candidates) < 2:
        return None
    scored = all(path.score is not None for path in choice.candidates)
    chances = [success_probability(path, ScoreEstimate.MEAN) if scored else 0.5 for path in choice.candidates]
    answers = [answer_of(path) for path in choice.candidates]
    root = choice.candidates[0].root
    forms = [None if answer is None else form_of(root, answer) for answer in answers]
    model = SCORED if scored else UNSCORED
    if believed is not None:
        model = ((believed.scores if scored else None) or believed.votes).begin(None)
    p = answer_posterior(forms, chances, model).probabilities[form_of(root, choice.answer)]
    return PrmScore(p, p, p)
