r"""The world of the scripted engines: what there is to say about a question, all of it hashed from its text.

A question has a right answer, a number of steps and a difficulty. A sample goes through the steps; in each it slips
with the question's probability, by its seed, and says so ("Step 2 of 4: slip"); one that thinks does so in its thought.
It ends in the right `\boxed{answer}` if it never slipped, and in a wrong one otherwise. The PRM reads the slips.
"""

import hashlib
import re
from collections.abc import Mapping

from records.path import PrmScore

WORLD_VERSION = 1
"""Goes up when the same question, seed and prefix come to something else."""
SLIP = "slip"
FINE = "fine"
NO_ANSWERS: Mapping[bytes, str] = {}


def draw(*name: str | int) -> float:
    """A number in [0, 1) that depends on nothing but the name."""
    digest = hashlib.blake2b(repr(name).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def question_key(question: str) -> bytes:
    """By what an answer key is found: 8 bytes, so that those of many problems travel well."""
    return hashlib.blake2b(question.encode(), digest_size=8).digest()


def right_answer(question: str, answers: Mapping[bytes, str] = NO_ANSWERS) -> str:
    """What a sample that never slips ends with: the key in `answers`, by `question_key`, else a number."""
    return answers.get(question_key(question)) or str(int(draw(question, "answer") * 1000))


def wrong_answer(right: str, seed: int) -> str:
    """One of three others, of the same kind as the right one where that is a number or a letter."""
    number = 1 + int(draw(seed, "wrong") * 3)
    if re.fullmatch(r"-?\d+", right):
        return str(int(right) + number)
    if re.fullmatch(r"[A-D]", right):
        return "ABCD"[("ABCD".index(right) + number) % 4]
    return f"not {right}" if number == 1 else str(number)


def num_steps(question: str) -> int:
    """Steps before the final one."""
    return 2 + int(draw(question, "steps") * 4)


def slip_rate(question: str) -> float:
    """Probability that a step slips: hard questions slip often."""
    return 0.5 * draw(question, "difficulty")


def success_rate(question: str) -> float:
    """Probability that a sample of the question is right."""
    return (1 - slip_rate(question)) ** num_steps(question)


def next_piece(
    question: str, solution: str, seed: int, *, separator: str, answers: Mapping[bytes, str] = NO_ANSWERS
) -> tuple[str, bool]:
    """What follows `solution` up to the next separator, or to the end; and whether that is the end.

    A solution that was cut in the middle of a step is completed, whatever the seed would have said.
    """
    done = solution.count(separator)
    begun = solution.rpartition(separator)[2]
    if done < num_steps(question):
        slips = draw(seed, done) < slip_rate(question)
        head = f"Step {done + 1} of {num_steps(question)}: "
        variants = [head + word + separator for word in ((SLIP, FINE) if slips else (FINE, SLIP))]
    else:
        variants = [_conclusion(question, solution, seed, answers)]
    chosen = next((each for each in variants if each.startswith(begun)), begun + variants[0])
    return chosen[len(begun) :], done >= num_steps(question)


def _conclusion(question: str, solution: str, seed: int, answers: Mapping[bytes, str]) -> str:
    right = right_answer(question, answers)
    answer = wrong_answer(right, seed) if SLIP in solution else right
    return f"The answer is \\boxed{{{answer}}}."


def next_thinking_piece(
    question: str,
    solution: str,
    seed: int,
    *,
    tags: tuple[str, str],
    separator: str,
    answers: Mapping[bytes, str] = NO_ANSWERS,
) -> tuple[str, bool]:
    """The same of a sample that goes through its steps in a thought, and answers after it, whoever ended the thought.

    Args:
        question: as in `next_piece`.
        solution: likewise.
        seed: likewise.
        tags: what begins the thought, empty where the prompt has begun it; and what ends it.
        separator: as in `next_piece`.
        answers: likewise.
    """
    start, end = tags
    begins = start.startswith(solution)
    opening, thought = (start[len(solution) :], "") if begins else ("", solution.removeprefix(start))
    thought, ended, after = thought.partition(end)
    if ended:
        said, begun = _conclusion(question, thought, seed, answers), after.lstrip()
        return said.removeprefix(begun), True
    piece, final = next_piece(question, thought, seed, separator=separator, answers=answers)
    if not final:
        return opening + piece, False
    begun = thought.rpartition(separator)[2]  # where the end itself was cut
    closing = end.removeprefix(begun)
    return opening + closing + _conclusion(question, thought, seed, answers), True


def true_score(question: str, solution: str, *, separator: str) -> PrmScore:
    """What the PRM says of a solution so far, whose steps each end with one separator: unsure at first, then surer."""
    done = solution.count(separator)
    left = max(0, num_steps(question) - done)
    p = 0.02 if SLIP in solution else (1 - slip_rate(question)) ** left
    margin = 0.2 * left / num_steps(question)
    return PrmScore(lower=max(0.0, p - margin), median=p, upper=min(1.0, p + margin))
