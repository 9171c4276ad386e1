import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.answers.canonical import canonical_answer, exact_equal
from scaling.answers.extract import extract_answer
from scaling.answers.numeric import numeric_equal, stated_number

PIECES = (
    r"\boxed \fbox { } \frac \dfrac \text \left \right ^\circ $ % \ . , - / = ( ) #### Answer: answer is 1 23 456 e x"
)
pieces = st.sampled_from([*PIECES.split(), " ", "\n", "\u2212"])
latex_pieces = st.lists(pieces, max_size=30).map("".join)
texts = st.text() | latex_pieces


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        (r"So \boxed{4}, no: \boxed{5}.", "5"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed {7}", "7"),
        (r"\fbox{7}", "7"),
        (r"$\boxed 5$.", "5"),
        (r"\boxed C.", "C"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{x \in [0, \}1)}", r"x \in [0, \}1)"),
        (r"\\boxed{5}", "5"),
        (r"\boxed{5} and then \boxed{6", "5"),
        (r"{ \boxed{5}", "5"),
        (r"} \boxed{5}", "5"),
        (r"\boxed{5} Put it in \boxed{}.", "5"),
        (r"in \boxed form. #### 9", "9"),
        ("reasoning #### 3\n#### 1,234\nthanks", "1,234"),
        ("####\n18", "18"),
        (r"#### 3 but \boxed{4}", "4"),
        ("#### 3\nThe answer is 4", "3"),
        ("The answer is 42. I hope that helps.", "42"),
        ("The answer is 4. No!\nThe final answer is: 3.5.", "3.5"),
        ("**Answer:** 12", "12"),
        ("ANSWER: x\nsome more", "x"),
        ("answer is\nAnswer: 4", "4"),
        ("I do not know", None),
        ("my answers isolate", None),
        ("####   ", None),
        ("", None),
    ],
)
def test_the_final_answer_of_a_solution(solution: str, answer: str | None) -> None:
    assert extract_answer(solution) == answer


@pytest.mark.parametrize(
    ("answer", "canonical"),
    [
        ("0.50", "1/2"),
        ("1/2", "1/2"),
        (r"\frac{1}{2}", "1/2"),
        (r"\dfrac12", "1/2"),
        (r"$\tfrac{2}{4}$.", "1/2"),
        (r"-\frac{1}{2}", "-1/2"),
        (r"\frac{-1}{2}", "-1/2"),
        ("\u22123", "-3"),
        ("+3.0", "3"),
        ("-0", "0"),
        (".5", "1/2"),
        ("18.", "18"),
        ("1,234", "1234"),
        ("1{,}234,567.5", "2469135/2"),
        ("1,23", "1, 23"),
        ("(1,234)", "(1, 234)"),
        ("(1, 234)", "(1, 234)"),
        ("3, 4", "3, 4"),
        ("$1,000", "1000"),
        (r"\$18", "18"),
        (r"50\%", "50"),
        (r"90^\circ", "90"),
        (r"90^{\circ}", "90"),
        ("1e3", "1000"),
        (r"1 \frac{1}{2}", "3/2"),
        ("1 1/2", "3/2"),
        (r"-1\frac{1}{2}", "-3/2"),
        ("1/0", "1/0"),
        (r"\frac{1}{0}", r"\frac{1}{0}"),
        ("1,2/3", "2/3, 1"),
        (r"\text{Evelyn}", "evelyn"),
        (r"5 \text{ cm}", "5"),
        ("two   apples", "2"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac{\pi}{2})"),
        (r"x \leftarrow 3", r"x \leftarrow 3"),
        (r"2\pi x", r"2\pi x"),
        ("", ""),
        ("...", r"\dots"),
    ],
)
def test_the_form_that_votes_are_counted_by(answer: str, canonical: str) -> None:
    assert canonical_answer(answer) == canonical


@given(texts)
def test_no_text_breaks_extraction(solution: str) -> None:
    answer = extract_answer(solution)
    assert answer is None or (answer == answer.strip() != "" and answer in solution)


@given(texts)
def test_a_canonical_answer_is_its_own_canonical_answer(answer: str) -> None:
    canonical = canonical_answer(answer)
    assert canonical_answer(canonical) == canonical


@given(texts, texts)
def test_no_text_breaks_the_comparisons(left: str, right: str) -> None:
    assert exact_equal(left, right) == exact_equal(right, left)
    assert numeric_equal(left, right) == numeric_equal(right, left)


@given(st.fractions(), st.integers(1, 1000))
def test_every_writing_of_a_fraction_gets_the_same_votes(value: Fraction, factor: int) -> None:
    over, under = value.numerator * factor, value.denominator * factor
    assert canonical_answer(rf"\frac{{{over}}}{{{under}}}") == canonical_answer(f"{over}/{under}") == str(value)
    assert numeric_equal(f"{over}/{under}", f"{value}")


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6))
def test_a_decimal_is_exact(value: object) -> None:
    assert Fraction(canonical_answer(f"{value:,}")) == Fraction(str(value))


@given(st.text(alphabet="abc{} ", max_size=20))
def test_what_is_put_in_a_box_comes_out_if_it_is_balanced(content: str) -> None:
    depths = [content[:end].count("{") - content[:end].count("}") for end in range(len(content) + 1)]
    if min(depths) >= 0 and depths[-1] == 0:
        assert extract_answer(f"so \\boxed{{{content}}}.") == (content.strip() or None)


def test_numbers_agree_whatever_is_written_around_them() -> None:
    assert numeric_equal("18 apples", "18")
    assert numeric_equal("x = 18", "$18.00")
    assert numeric_equal("0.333333", "1/3")
    assert not numeric_equal("0.3333", "1/3")
    assert not numeric_equal("1000000", "1000001"), "integers have no tolerance"
    assert not numeric_equal("3 or 18", "18"), "two numbers are no answer"
    assert not numeric_equal("many", "many")
    assert stated_number("-2 degrees") == -2
    assert stated_number("H2O") is None


def test_exact_equality_needs_something_to_compare() -> None:
    assert exact_equal(r"\text{Evelyn}", "evelyn")
    assert not exact_equal("$", "")


def test_endless_repetition_is_read_in_linear_time() -> None:
    began = time.process_time()
    for repeated in [
        "\\boxed{",
        "\\boxed",
        "{",
        "}",
        "\\",
        "####",
        "answer is ",
        "\\text{",
        "\\left",
        "1,234,",
        "\\boxed ",
    ]:
        text = repeated * (300_000 // len(repeated))
        extract_answer(text)
        canonical_answer(text)
        canonical_answer(text[:2000])
        numeric_equal(text, text[:2000])
    assert time.process_time() - began < 10, "a quadratic pass takes minutes"
    assert canonical_answer("1e999999999") == "1e999999999", "never computed"
