"""The answer in hand after some samples: the one that the posterior of `posterior` thinks likeliest.

Strategies that sample in waves ask after each how sure it is; each sample is read once, when it comes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from records.path import Path, PrmScore
from scaling.answers.stated import answer_of, form_of
from scaling.strategy import Choice
from scaling.uncertainty.aggregation import Aggregation, ScoreEstimate, success_probability
from scaling.uncertainty.posterior import AnswerModel, AnswerPosterior, answer_posterior
from scaling.uncertainty.selection import Selection, choose, choose_best


@dataclass(slots=True)
class Evidence:
    """The scored samples of one problem so far, and what they say of its answer.

    Attributes:
        model: what was believed before the first.
        estimate: what of the PRM's view of a sample is its chance.
        aggregation: of the steps' scores, for ranking.
        selection: takes the posterior's place in choosing; the probability is the posterior's all the same.
        samples: in the order of the waves.
        posterior: of their answers.
    """

    model: AnswerModel
    estimate: ScoreEstimate
    aggregation: Aggregation
    selection: Selection | None
    samples: list[Path] = field(default_factory=list, init=False)
    posterior: AnswerPosterior = field(init=False)
    _answers: list[str | None] = field(default_factory=list, init=False)
    _chances: list[float] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        """Begin with no sample."""
        self.posterior = answer_posterior((), (), self.model)

    def add(self, wave: Sequence[Path]) -> None:
        """Take in some samples, scored."""
        self.samples += wave
        self._answers += [_form(path) for path in wave]
        self._chances += [success_probability(path, self.estimate) for path in wave]
        self.posterior = answer_posterior(self._answers, self._chances, self.model)

    @property
    def answer(self) -> str | None:
        """The answer in hand, as it is counted; None if there is none."""
        if self.selection is None:
            return self.posterior.leading
        chosen = choose(self.samples, self.selection, self.aggregation)
        return None if chosen.path is None or chosen.answer is None else form_of(chosen.path, chosen.answer)

    def choice(self) -> Choice:
        """The best-scored sample of the answer in hand, or the selection's choice, with the answer's probability."""
        if self.selection is None:
            pairs = zip(self.samples, self._answers, strict=True)
            leading = [path for path, answer in pairs if answer == self.posterior.leading]
            choice = replace(choose_best(leading, self.aggregation), candidates=tuple(self.samples))
        else:
            choice = choose(self.samples, self.selection, self.aggregation)
        if choice.answer is None:
            return choice
        p = self.posterior.probabilities[form_of(self.samples[0], choice.answer)]
        return replace(choice, answer_p=PrmScore(p, p, p))


def _form(path: Path) -> str | None:
    answer = answer_of(path)
    return None if answer is None else form_of(path, answer)
