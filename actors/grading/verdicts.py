"""Verdicts of answers that nobody chose: each distinct answer of a problem is graded once, all problems at a time."""

from collections.abc import Collection, Mapping, Sequence

from actors.grading.grader import AnswerGrader, GradeRequest

Verdicts = Mapping[str | None, bool | None]
"""Answer as extracted -> whether it is right; null where nobody could tell."""


async def distinct_verdicts(
    grader: AnswerGrader,
    references: Sequence[str | None],
    answers: Sequence[Collection[str | None]],
    known: Sequence[Verdicts] | None = None,
) -> list[Verdicts]:
    """The verdict of each distinct answer of each problem.

    Args:
        grader: of the answers that are not known.
        references: answer key of each problem; without one no verdict is asked for, and there is none.
        answers: of each problem.
        known: verdicts of each problem that stand already, and stay; None: none does.
    """
    verdicts = [dict(own) for own in known] if known is not None else [{} for _ in answers]
    owed = [
        (own, answer, reference)
        for own, reference, wanted in zip(verdicts, references, answers, strict=True)
        for answer in dict.fromkeys(wanted)
        if answer not in own
    ]
    asked = [one for one in owed if one[2] is not None]
    for own, answer, _ in owed:
        own[answer] = None
    if not asked:  # a grader starts its processes when it is first asked
        return list(verdicts)
    found = await grader.grade([GradeRequest(answer, reference) for _, answer, reference in asked])
    for (own, answer, _), verdict in zip(asked, found, strict=True):
        own[answer] = verdict
    return list(verdicts)
