r"""The verdict of the default grader: is an answer what the key says?

Both are read as wholes. What is a solution rather than an answer (it has a box, or says "the answer is") counts by the
answer that it states. A key that no reading accounts for decides nothing: only the same text is right then, and any
other answer has no verdict.
"""

import re

from scaling.answers.equivalence import same_reading
from scaling.answers.extract import extract_answer
from scaling.answers.reading import Kind, Reading, read_answer

_STATES = re.compile(r"\\\\?boxed|\banswer\b", re.IGNORECASE)


def is_right(answer: str, reference: str) -> bool:
    """Whether an answer is right.

    Raises:
        ValueError: the key is empty, or cannot be read, and the answer is not the same text.
    """
    key = read_stated(reference)
    if not key.text:
        raise ValueError(f"nothing is left of the answer key {reference!r} to compare with")
    if same_reading(read_stated(answer), key):
        return True
    if key.kind is Kind.UNREADABLE:
        raise ValueError(f"the answer key {reference!r} cannot be read: {key.why}")
    return False


def read_stated(text: str) -> Reading:
    r"""The reading of an answer, or of the answer that a whole solution states.

    >>> read_stated(r"So it is $\boxed{18}$ eggs.").text, read_stated("18 eggs").text
    ('18', '18 eggs')
    """
    for _ in range(2):  # a box may hold a sentence
        if not _STATES.search(text):
            break
        text = extract_answer(text) or text
    return read_answer(text)
