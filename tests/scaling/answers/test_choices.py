import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.answers.canonical import canonical_answer
from scaling.answers.choices import choice_equal, concluding_choice, stated_choice
from scaling.answers.extract import extract_answer
from scaling.answers.references import reference_mistake

LETTERS = "ABCDEFGHIJ"
ALONE = [
    "{}", "({})", "[{}]", "{}.", "{})", "({}).", "**{}**", "**({})**", "`{}`", "${}$", r"\boxed{{{}}}",
    r"\text{{{}}}", r"\boxed{{\text{{{}}}}}", r"$\boxed{{({})}}$", r"\(\mathbf{{{}}}\)", r"\textbf{{({})}}",
]  # fmt: skip
SET_OFF = ["{}. Paris", "({}) Paris", "{}) A city", "{}: Paris", "{} - Paris", "**{}.** Paris", r"\boxed{{{}. Paris}}"]
SAID = [
    "The answer is {}", "The answer is ({}).", "answer: {}", "**Answer:** {}", "The correct answer is option {}.",
    "the correct choice is ({})", "Option {} is correct.", "the best option is **{}**",
]  # fmt: skip


@pytest.mark.parametrize("pattern", [*ALONE, *SET_OFF, *SAID])
def test_a_letter_is_found_however_it_is_written(pattern: str) -> None:
    for letter in LETTERS:
        assert stated_choice(pattern.format(letter)) == letter


@pytest.mark.parametrize("pattern", ["{}", "({})", "{}.", "{})", "({}) Paris", r"\text{{({})}}"])
def test_small_letters_count_where_they_are_set_off(pattern: str) -> None:
    for letter in LETTERS:
        assert choice_equal(pattern.format(letter.lower()), letter)


@pytest.mark.parametrize(
    ("answer", "choice"),
    [
        ("I think B", "B"),
        ("B is right, since A is wrong", "B"),
        ("The answer is B and not C", "B"),
        ("(B), not C", "B"),
        ("A is wrong. The answer is B.", "B"),
        ("First answer: A. No, the answer is C", "C"),
        ("Option B is wrong, option A is correct.", "A"),
        ("Statement A is correct, so the answer is C.", "C"),
        ("A car", None),
        ("I do not know", None),
        ("the answer is a number", None),
        ("The answer is A car", None),
        ("A or B", None),
        ("(A) or (B)", None),
        ("A, B", None),
        ("A and C", None),
        ("18", None),
        ("K", None),
        ("DNA", None),
        ("B-52", None),
        ("", None),
    ],
)
def test_what_names_no_letter_or_several_is_no_choice(answer: str, choice: str | None) -> None:
    assert stated_choice(answer) == choice


@pytest.mark.parametrize(
    "pattern", [*ALONE, "{}. Paris", "({}) Paris", *SAID, "Let me think.\n\n({})", "So ({}) is correct."]
)
def test_the_letter_of_a_solution_gets_through_to_the_grader(pattern: str) -> None:
    for letter in LETTERS:
        extracted = extract_answer(pattern.format(letter))
        assert extracted is not None
        assert choice_equal(extracted, letter)


@pytest.mark.parametrize(
    "solution", ["x", "a", "so\n\ne", "A car is fast.", "B\nC. None of these", "I have no idea", ""]
)
def test_a_solution_that_comes_to_no_letter_has_none(solution: str) -> None:
    assert concluding_choice(solution) is None
    assert extract_answer(solution) is None


def test_brackets_do_not_split_a_vote() -> None:
    assert {canonical_answer(answer) for answer in ("B", "(B)", "B.", r"\text{(B)}", "$[B]$")} == {"B"}


pieces = st.sampled_from([*"ABIa ().,}\n", "answer", "option", " is ", "or", "correct", "\\text{"])


@given(st.text() | st.lists(pieces).map("".join))
def test_no_text_breaks_it(text: str) -> None:
    assert stated_choice(text) in {None, *LETTERS}
    concluded = concluding_choice(text)
    assert concluded is None or (concluded in LETTERS and concluded in text)


def test_endless_repetition_is_read_in_linear_time() -> None:
    began = time.perf_counter()
    for repeated in ["answer is ", "(", "A ", "(A)", "option is ", "A or ", "\\text{", "is ", "\n", " ", "B is "]:
        text = repeated * (300_000 // len(repeated))
        stated_choice(text)
        concluding_choice(text)
    assert time.perf_counter() - began < 10, "a quadratic pass takes minutes"


@pytest.mark.parametrize(
    ("grader", "reference", "usable"),
    [
        ("numeric", "18 apples", True),
        ("numeric", "many", False),
        ("exact", "many", True),
        ("exact", "$", False),
        ("multiple-choice", "(c)", True),
        ("multiple-choice", "18", False),
        ("math-verify", "anything", True),
        ("my.module:grade", "anything", True),
    ],
)
def test_a_grader_says_what_key_it_cannot_use(grader: str, reference: str, usable: bool) -> None:
    mistake = reference_mistake(grader, reference)
    assert (mistake is None) == usable
    assert mistake is None or repr(reference) in mistake
