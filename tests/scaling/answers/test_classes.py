"""Answers of a problem fall into classes: each into one, whatever comes later, and as the grader says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.path import FinishReason, Path
from scaling.answers.canonical import canonical_answer
from scaling.answers.classes import AnswerClasses, AnswerPolicy
from scaling.answers.equivalence import same_answer
from scaling.answers.extract import Extraction, Way
from scaling.answers.stated import answer_of, form_of

ANSWERS = [
    "18", r"18\text{ dollars}", r"\$18", "18.0", "x=18", "B", "B) Paris", r"\text{B}", r"\sqrt2", r"\sqrt{2}", "x=5",
    "5", "2,3", "3,2", "(x+1)^2", "x^2+2x+1", "(1+x)(1+x)", "0.3333333", "1/3", "Evelyn", "evelyn", "28%", "28",
    "0.28", r"\foo{3}",
]  # fmt: skip
MERGED = [
    ("18", r"18\text{ dollars}", r"\$18", "18.0", "x=18"),
    ("B", "B) Paris", r"\text{B}"),
    (r"\sqrt2", r"\sqrt{2}"),
    ("x=5", "5"),
    ("2,3", "3,2"),
    ("(x+1)^2", "x^2+2x+1", "(1+x)(1+x)"),
    ("Evelyn", "evelyn"),
]


def placed(answers: list[str], grader: str = "math-verify") -> AnswerClasses:
    classes = AnswerClasses(AnswerPolicy(grader=grader))
    settle(classes, answers)
    return classes


def settle(classes: AnswerClasses, answers: list[str]) -> None:
    classes.settle(answers, {pair: same_answer(*pair) for pair in classes.pairs(answers)})


@pytest.mark.parametrize("same", MERGED)
def test_votes_are_not_split(same: tuple[str, ...]) -> None:
    classes = placed(list(same))
    assert len({classes.form(answer) for answer in same}) == 1


def test_the_graders_decide_who_is_the_same() -> None:
    for grader, left, right, together in [
        ("exact", "(x+1)^2", "x^2+2x+1", False),
        ("numeric", "0.3333333", "1/3", True),
        ("numeric", "0.3333", "1/3", False),
        ("multiple-choice", "the answer is B", "(b)", True),
        ("math-verify", "18 eggs", "19 eggs", False),
    ]:
        classes = placed([left, right], grader)
        assert (classes.form(left) == classes.form(right)) is together, (grader, left, right)


def test_only_what_no_form_decides_is_asked_for() -> None:
    classes = AnswerClasses(AnswerPolicy())
    assert classes.pairs(["18", "19", "B", "Evelyn", r"\$18", "(B)"]) == ()
    assert classes.pairs(["(x+1)^2", "x^2+2x+1"]) == (("x^2+2x+1", "(x+1)^2"),)
    assert AnswerClasses(AnswerPolicy(grader="my:own")).pairs(["18", "19"]) == (("19", "18"),)
    assert AnswerClasses(AnswerPolicy(grader="exact")).pairs(["a+b", "b+a"]) == ()


@given(st.lists(st.lists(st.sampled_from(ANSWERS), min_size=1), min_size=1))
def test_a_class_never_changes(replies: list[list[str]]) -> None:
    classes = AnswerClasses(AnswerPolicy())
    seen: dict[str, str] = {}
    for reply in replies:
        settle(classes, reply)
        for answer in reply:
            seen.setdefault(answer, classes.form(answer))
        assert {answer: classes.form(answer) for answer in seen} == seen
    at_once = placed([answer for reply in replies for answer in reply])
    assert {answer: at_once.form(answer) for answer in seen} == seen, "how replies were cut changes nothing"
    assert set(seen.values()) <= {canonical_answer(other) for other in seen}


@given(st.permutations(ANSWERS))
def test_who_is_together_does_not_depend_on_the_order(answers: list[str]) -> None:
    exact = [answer for answer in answers if answer not in ("28%", "0.28", "28", "0.3333333", "1/3")]
    classes = placed(exact)
    together = {frozenset(other for other in exact if classes.form(other) == classes.form(one)) for one in exact}
    assert together == {frozenset(other for other in exact if same_answer(one, other)) for one in exact}


def test_what_was_recorded_holds() -> None:
    first = placed(["(x+1)^2", "x^2+2x+1"])
    again = AnswerClasses(AnswerPolicy())
    assert not again.has_records
    for answer in ("(x+1)^2", "x^2+2x+1"):
        again.recall(f"The answer is {answer}", answer, first.form(answer))
    again.recall("nothing", None, None)
    assert again.has_records
    assert again.form("x^2+2x+1") == again.form("(x+1)^2") == first.form("(x+1)^2")
    assert again.answer("The answer is (x+1)^2") == "(x+1)^2"
    assert again.answer("nothing") is None
    assert again.pairs(["x^2+2x+1"]) == ()


def test_a_path_is_read_as_its_root_says() -> None:
    policy = AnswerPolicy(Extraction((Way.LAST_NUMBER,)))
    root = Path(0, None, "question", answers=AnswerClasses(policy))
    path = Path(1, root, r"\boxed{3} after 4 steps", (), FinishReason.EOS)
    assert answer_of(path) == "4"
    assert answer_of(Path(1, Path(0, None, "question"), path.text)) == "3", "by the defaults"
    assert form_of(path, "4.0") == "4"
    own = Path(0, None, "question", answers=AnswerClasses(AnswerPolicy(extractor=lambda text: text[:2])))
    assert answer_of(Path(1, own, "abc")) == "ab"
