"""A problem: what a user wants answered."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of the input.

    Attributes:
        problem_id: unique within a run.
        question: the text that the generator's prompt is made of.
        reference: the answer key; None when the input has none, and then `correct` stays null.
        columns: other columns of the input that its row carries, name and value as text, in the recipe's order.
    """

    problem_id: str
    question: str
    reference: str | None = None
    columns: tuple[tuple[str, str | None], ...] = ()
