"""What a path states, by the rules of its run: its root knows them; a path from nowhere goes by the defaults."""

from records.path import Path
from scaling.answers.canonical import canonical_answer
from scaling.answers.extract import extract_answer


def answer_of(path: Path) -> str | None:
    """The final answer of a path; None if it states none."""
    reader = path.root.answers
    text = path.answer_text
    if text is None:
        return None
    return extract_answer(text) if reader is None else reader.answer(text)


def form_of(path: Path, answer: str) -> str:
    """What an answer of a problem is counted as: one form for all that are the same (`scaling.answers.classes`).

    Args:
        path: any of the problem.
        answer: as extracted.
    """
    reader = path.root.answers
    return canonical_answer(answer) if reader is None else reader.form(answer)
