r"""Which answers of one problem are one answer: what votes, posteriors and stopping rules count.

    answer --extract--> "x = \frac{2}{4}" --canonical form--> "1/2" --class--> the form of the first that is the same

Forms that differ may still be the same answer by the run's grader. Each new form is compared with one example of every
class so far, in the order of the children of a reply, and joins the first that it equals: a class never changes, so
neither order of arrival nor a later answer moves a vote. `AnswerPolicy.quick` decides what needs no grader process;
the rest is asked for (`pairs`), and what nobody could decide is different.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from records.failure import StrategyFailed
from scaling.answers.canonical import canonical_answer, is_decided
from scaling.answers.choices import choice_equal
from scaling.answers.equivalence import same_reading
from scaling.answers.extract import DEFAULT, Extraction, extract_answer
from scaling.answers.numeric import numeric_equal
from scaling.answers.reading import Kind, read_answer

MAX_ERROR_CHARS = 2000
"""Of what code of the user's own says when it fails."""
MAX_COMPARED = 64
"""Classes that a new answer is compared with; later ones are different."""

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class AnswerPolicy:
    """How a run finds answers, by which grader two are the same, and what of a solution the PRM reads.

    Attributes:
        extraction: how answers are found.
        grader: kind of the run's grader.
        extractor: a function of the user's own, solution -> answer or None; it takes the place of `extraction`.
        prm_reads_thoughts: the PRM is given thoughts and answer; False: the answer only.
    """

    extraction: Extraction = DEFAULT
    grader: str = "math-verify"
    extractor: Callable[[str], str | None] | None = None
    prm_reads_thoughts: bool = True

    def answer(self, solution: str | None) -> str | None:
        """The answer that a solution states, after its thought; None where it states none, or there is none.

        Raises:
            StrategyFailed: a function or a pattern of the user's own could not tell.
        """
        if solution is None:
            return None
        if self.extractor is None:
            return extract_answer(solution, self.extraction)
        try:
            found: object = self.extractor(solution)
        except Exception as error:
            raise StrategyFailed(f"answer.extract raised {type(error).__name__}: {error}"[:MAX_ERROR_CHARS]) from error
        if found is not None and not isinstance(found, str):
            raise StrategyFailed(f"answer.extract returned {type(found).__name__}, and has to return text or None")
        return found

    def quick(self, left: str, right: str) -> bool | None:
        """Whether two answers of different forms are the same; None where only the grader can tell."""
        rule = _QUICK.get(self.grader)
        return None if rule is None else rule(left, right)


def _quick_mathematics(left: str, right: str) -> bool | None:
    readings = read_answer(left), read_answer(right)
    if {reading.kind for reading in readings} != {Kind.MATHEMATICS}:
        return same_reading(*readings)
    return False if is_decided(left) and is_decided(right) else None


_QUICK: dict[str, Callable[[str, str], bool | None]] = {
    "math-verify": _quick_mathematics,
    "exact": lambda _left, _right: False,
    "numeric": numeric_equal,
    "multiple-choice": choice_equal,
}


DEFAULT_POLICY = AnswerPolicy()


class AnswerClasses:
    """The answers of one problem so far."""

    def __init__(self, policy: AnswerPolicy) -> None:
        self._policy = policy
        self._class_of: dict[str, str] = {}
        self._examples: dict[str, str] = {}
        self._recorded: dict[str | None, str | None] = {}

    @property
    def has_records(self) -> bool:
        """Whether another process has told what solutions state."""
        return bool(self._recorded)

    def answer(self, solution: str | None) -> str | None:
        """The answer that a solution states after its thought: as it was recorded, else as the policy finds it."""
        return self._recorded[solution] if solution in self._recorded else self._policy.answer(solution)

    def form(self, answer: str) -> str:
        """What an answer is counted as."""
        form = canonical_answer(answer)
        return self._class_of.get(form, form)

    def pairs(self, answers: Iterable[str]) -> tuple[Pair, ...]:
        """The pairs of answers that the grader has to compare before `settle` can place some new ones."""
        found: list[Pair] = []
        new: dict[str, str] = {}
        known = list(self._examples.values())
        for answer in answers:
            form = canonical_answer(answer)
            if form in self._class_of or form in new:
                continue
            others = [*known, *new.values()][:MAX_COMPARED]
            found += [(answer, other) for other in others if self._policy.quick(answer, other) is None]
            new[form] = answer
        return tuple(found)

    def settle(self, answers: Sequence[str], same: Mapping[Pair, bool]) -> None:
        """Place some answers, in this order; a pair that is not in `same` is different."""
        for answer in answers:
            form = canonical_answer(answer)
            if form in self._class_of:
                continue
            joined = next((name for name, other in self._first_examples() if self._is_same(answer, other, same)), None)
            self._class_of[form] = form if joined is None else joined
            if joined is None:
                self._examples[form] = answer

    def recall(self, solution: str | None, answer: str | None, form: str | None) -> None:
        """What another process has found: the answer of a finished solution (after its thought), and its class."""
        self._recorded[solution] = answer
        if answer is not None and form is not None:
            self._class_of[canonical_answer(answer)] = form
            self._examples.setdefault(form, answer)

    def _first_examples(self) -> list[tuple[str, str]]:
        return list(self._examples.items())[:MAX_COMPARED]

    def _is_same(self, left: str, right: str, same: Mapping[Pair, bool]) -> bool:
        verdict = self._policy.quick(left, right)
        return same.get((left, right), False) if verdict is None else verdict
