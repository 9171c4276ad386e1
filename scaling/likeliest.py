"""The answer that the posterior of `scaling.posterior` thinks likeliest, with its probability as the answer's own."""

from collections.abc import Sequence
from dataclasses import replace

from records.path import Path, PrmScore
from scaling.aggregation import Aggregation
from scaling.answers import canonical_answer, extract_answer
from scaling.posterior import AnswerPosterior
from scaling.selection import Selection, choose, choose_best
from scaling.strategy import Choice


def choose_likeliest(
    samples: Sequence[Path],
    posterior: AnswerPosterior,
    aggregation: Aggregation,
    selection: Selection | None,
) -> Choice:
    """The choice among scored samples: of the likeliest answer the sample with the highest score.

    Args:
        samples: scored; may be none.
        posterior: of their answers.
        aggregation: of the steps' scores, for ranking.
        selection: takes the posterior's place in choosing; the probability is the posterior's all the same.
    """
    if selection is None:
        leading = [path for path in samples if stated_answer(path) == posterior.leading]
        choice = replace(choose_best(leading, aggregation), candidates=tuple(samples))
    else:
        choice = choose(samples, selection, aggregation)
    if choice.answer is None:
        return choice
    p = posterior.probabilities[canonical_answer(choice.answer)]
    return replace(choice, answer_p=PrmScore(p, p, p))


def stated_answer(path: Path) -> str | None:
    """A sample's final answer in canonical form; None if it states none."""
    answer = extract_answer(path.solution)
    return None if answer is None else canonical_answer(answer)
