"""Distinct answers are graded once, what is known stays, and without an answer key nobody is asked."""

from hypothesis import given
from hypothesis import strategies as st

from actors.grading.verdicts import distinct_verdicts

ANSWERS = st.sampled_from(["1", "2", "3", None])


class Counting:
    """A grader that is asked; "1" is right, "3" cannot be graded."""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, str | None]] = []
        self.failures: dict[str, int] = {}

    async def grade(self, requests):
        self.asked += [(request.answer, request.reference) for request in requests]
        return [None if request.answer == "3" else request.answer == request.reference for request in requests]

    async def same(self, pairs):
        raise AssertionError("nobody asks whether answers are the same")


@given(st.lists(st.tuples(st.sampled_from(["1", None]), st.lists(ANSWERS), st.dictionaries(ANSWERS, st.booleans()))))
async def test_each_answer_has_its_verdict_and_is_asked_for_once(problems):
    grader = Counting()
    references, answers, known = ([one[at] for one in problems] for at in range(3))
    found = await distinct_verdicts(grader, references, answers, known)
    for own, reference, wanted, before in zip(found, references, answers, known, strict=True):
        assert own.keys() == before.keys() | set(wanted)
        for answer, verdict in own.items():
            graded = None if reference is None or answer == "3" else answer == reference
            assert verdict == before.get(answer, graded)
    owed = sum(len(set(wanted) - before.keys()) for reference, wanted, before in problems if reference is not None)
    assert len(grader.asked) == owed
