"""Synthetic thoughts: attempts at a problem, tentative answers, checks that confirm or not, and far too many of them.

An attempt is the problem, said again, and a worked solution of a solver that guesses (`examples.arithmetic.guesses`).
Around the attempts:

    wrong start   a sum is done before a product, noticed (`No, products first.`), and begun anew
    correction    a guess is noticed at once (`Wait.`) and worked out
    tentative     after an attempt: `Perhaps 31.`; the first result that was seen before: `So it is 31.`; from then on
                  `Still 31.` after every check, whatever the check came to
    slip again    a check repeats an earlier guess more often than not, so wrong results are confirmed as well
    the end       a thinker may stop at a tentative answer. Once it is confirmed, it checks on: a few times, or, if it
                  is `very careful`, many times. So lengths have a heavy tail, and most of a long thought comes after
                  the answer was found.

The answer after the thought is the tentative one at its end.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

from examples.arithmetic.common import SEPARATOR
from examples.arithmetic.guesses import WRONG_GUESSES, guess_rate, wrong_number
from examples.arithmetic.problems import take_step
from examples.thinking.tokenizer import (
    AGAIN,
    CAREFUL,
    CHECK,
    CONFIRMED,
    END_THINK,
    NO,
    PERHAPS,
    STILL,
    THINK,
    WAIT,
)

MAX_ATTEMPTS: Final = 60


@dataclass(frozen=True, slots=True)
class Habits:
    """How a thinker goes about it; shares in [0, 1].

    Attributes:
        guess_scale: multiplies the guess rates of the arithmetic example's solver.
        wrong_start: of attempts at expressions with a product behind a sum.
        correction: of wrong guesses that are noticed at once.
        slip_again: of operations guessed before that come out the same in the next attempt.
        content: of unconfirmed tentative answers at which it stops.
        careful: of thinkers that are very careful once an answer is confirmed.
        stop: of confirmed answers at which a thinker stops; `stop_careful`: a careful one.
        patience: characters after which a thinker grows weary, and then stops with `weary` at any tentative answer.
    """

    guess_scale: float = 0.5
    wrong_start: float = 0.15
    correction: float = 0.2
    slip_again: float = 0.65
    content: float = 0.1
    careful: float = 0.4
    stop: float = 0.3
    stop_careful: float = 0.06
    patience: int = 550
    weary: float = 0.75


HABITS: Final = Habits()


@dataclass(slots=True)
class Thinker:
    """One thought in the making: its paragraphs, the guesses it remembers, the results it has seen."""

    rng: random.Random
    terms: list[str]
    habits: Habits = HABITS
    paragraphs: list[str] = field(default_factory=list)
    slips: dict[str, str] = field(default_factory=dict)
    results: list[str] = field(default_factory=list)

    def think(self) -> str:
        """Write the whole thought; its last tentative answer is returned."""
        belief, confirmed, stop = "", False, self.habits.content
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                self.paragraphs += [self._encouragement(confirmed, stop), f"Compute {''.join(self.terms)}."]
            result = self._attempt()
            if confirmed:
                self.paragraphs.append(f"{STILL}{belief}.")
            elif result in self.results:
                belief, confirmed = result, True
                self.paragraphs.append(f"{CONFIRMED}{belief}.")
                careful = self.rng.random() < self.habits.careful
                stop = self.habits.stop_careful if careful else self.habits.stop
            else:
                belief = result
                self.paragraphs.append(f"{PERHAPS}{belief}.")
            self.results.append(result)
            weary = sum(map(len, self.paragraphs)) > self.habits.patience
            if self.rng.random() < (max(stop, self.habits.weary) if weary else stop):
                break
        return belief

    def _encouragement(self, confirmed: bool, stop: float) -> str:
        if not confirmed:
            return AGAIN
        return CAREFUL if stop == self.habits.stop_careful else CHECK

    def _attempt(self) -> str:
        """Work the expression through once; its result."""
        left = list(self.terms)
        if self._may_start_wrong() and self.rng.random() < self.habits.wrong_start:
            self._start_wrong()
        while len(left) > 1:
            done, at, after = take_step(left)
            written = self._written(done, after[at])
            if written.startswith("~") and written[1:] != after[at] and self.rng.random() < self.habits.correction:
                self._step(done, written, [*after[:at], written[1:], *after[at + 1 :]])
                self.paragraphs.append(WAIT)
                self.slips.pop(done, None)
                written = f"={after[at]}"
            after[at] = written[1:]
            self._step(done, written, after)
            left = after
        return left[0]

    def _written(self, done: str, value: str) -> str:
        """What is written behind an operation: `=` or `~`, and a number."""
        known = self.slips.get(done)
        if known is not None and self.rng.random() < self.habits.slip_again:
            return known
        self.slips.pop(done, None)
        if self.rng.random() >= self.habits.guess_scale * guess_rate(done):
            return f"={value}"
        wrong = self.rng.random() < WRONG_GUESSES
        guess = f"~{wrong_number(self.rng, int(value)) if wrong else value}"
        self.slips[done] = guess
        return guess

    def _step(self, done: str, written: str, left: list[str]) -> None:
        self.paragraphs.append(f"{done}{written} so {''.join(left)}")

    def _may_start_wrong(self) -> bool:
        return len(self.terms) > 3 and "*" in self.terms[2:] and self.terms[1] != "*"

    def _start_wrong(self) -> None:
        left, operator, right = self.terms[:3]
        value = int(left) + int(right) if operator == "+" else int(left) - int(right)
        self._step("".join(self.terms[:3]), f"={value}", [str(value), *self.terms[3:]])
        self.paragraphs += [NO, f"Compute {''.join(self.terms)}."]


def thought_text(paragraphs: list[str]) -> str:
    """A closed thought as the model writes it."""
    return f"{THINK}{SEPARATOR.join(paragraphs)}{END_THINK}{SEPARATOR}"


def answer_text(answer: str) -> str:
    """What follows a thought."""
    return f"\\boxed{{{answer}}}"
