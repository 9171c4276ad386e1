"""Verdicts of the default grader: by kind on the labelled set, and what must hold for whatever answer."""

import json
import time
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.answers.canonical import canonical_answer
from scaling.answers.equivalence import same_answer
from scaling.answers.extract import extract_answer
from scaling.answers.reading import Kind, read_answer
from scaling.answers.references import reference_doubt
from scaling.answers.units import units_differ
from scaling.answers.verdict import is_right

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
LABELLED = [json.loads(line) for line in (ROOT / "benchmarks" / "verdicts.jsonl").read_text().splitlines()]
BY_KIND = defaultdict(list)
for case in LABELLED:
    BY_KIND[case["kind"]].append(case)

TOO_STRICT = {(r"\text{FF}_{16}", "255"), (r"6 \text{ is the maximum}", "6")}
"""Right answers that count as wrong: a base after a text, a sentence that begins with its answer."""
PUBLIC = [json.loads(line) for line in (Path(__file__).parent / "math_verify_cases.jsonl").read_text().splitlines()]
DIFFERENT = {
    "a condition, not a sentence about the value": {
        ("When multiplying by identity: $" + 2 * r"\begin{pmatrix}1 & 0 \\ 0 & 1\end{pmatrix} ")[:-1] + "$",
    },
    "no cue": {
        "Soucis : 2,74 $ a..",
        "the number is not 10 which is 1,000.99€",
        "so the number is 10 which is 1,000.99m²",
        "not it's not 10 it's 1,000.99m²",
    },
    "delimiters within a formula": {r"Answer $ \frac{1}{2} \$ = \frac{10}{9} $"},
    "line breaks in a formula": {"Answer $ \n 9 \n $", "Answer \\( \n 9 \n \\)"},
    "the key is false": {"$0$"},
    "a set is its inequality, whichever is the key": {"$-2 \\\\le x \\\\le 7$"},
    "the key is cut off": {"W(x)=1orW(x)=-1"},
    "boxes that nothing joins": {"${35 cm,4}$"},
    "math-verify takes upright e for nothing": {r"$1 + \frac{1}{\mathrm{e}}$"},
}
"""Cases of math-verify's own tests that come out otherwise here, by reason: what it is given."""
FORMS = st.sampled_from(sorted({text for case in LABELLED for text in (case["answer"], case["reference"])}))


@pytest.mark.parametrize("kind", BY_KIND)
def test_answers_are_told_apart_as_people_would(kind: str) -> None:
    for case in BY_KIND[kind]:
        answer, reference = case["answer"], case["reference"]
        if (answer, reference) in TOO_STRICT:
            assert not same_answer(answer, reference)
            continue
        assert is_right(answer, reference) == case["correct"], (answer, reference)
        assert same_or_none(reference, answer) in ((True,) if case["correct"] else (False, None)), (reference, answer)


def test_what_holds_for_math_verify_holds_here() -> None:
    excused = {text for texts in DIFFERENT.values() for text in texts}
    for case in PUBLIC:
        answer, reference = (extract_answer(case[name]) or case[name] for name in ("solution", "reference"))
        if case["solution"] not in excused:
            assert is_right(answer, reference) == case["correct"], case


@given(FORMS)
def test_what_can_be_read_is_itself(answer: str) -> None:
    assert same_answer(answer, answer) == (answer != "")
    form = canonical_answer(answer)
    assert canonical_answer(form) == form


@given(FORMS, FORMS)
def test_neither_side_is_the_key_of_the_other(left: str, right: str) -> None:
    assert same_answer(left, right) == same_answer(right, left)
    if canonical_answer(left) == canonical_answer(right):
        assert same_answer(left, right) or units_differ(read_answer(left).unit, read_answer(right).unit)


@pytest.mark.parametrize(
    "wrapped", [r"\boxed{%s}", "$%s$", "**%s**", "  %s ", "%s.", r"\(%s\)", r"$\boxed{%s}$.", "%s\n"]
)
def test_wrapping_changes_no_verdict(wrapped: str) -> None:
    for case in LABELLED:
        answer, reference = case["answer"], case["reference"]
        if "$" in answer or not balanced(answer) or answer.endswith((".", "\\")) or "answer" in answer.lower():
            continue
        assert same_or_none(wrapped % answer, reference) == same_or_none(answer, reference), (
            wrapped % answer,
            reference,
        )


def same_or_none(answer: str, reference: str) -> bool | None:
    try:
        return is_right(answer, reference)
    except ValueError:
        return None


def balanced(text: str) -> bool:
    return text.count("{") == text.count("}")


@given(st.text(alphabet=st.sampled_from("019.,+-*/^_(){}[]|<>=!%:; \\abexyAB") | st.characters(), max_size=60), FORMS)
def test_no_text_raises(text: str, other: str) -> None:
    read_answer(text)
    canonical_answer(text)
    same_answer(text, other)
    extract_answer(text)


@pytest.mark.parametrize(
    "piece",
    ["(", "{", "\\frac{1}{", "-", "\\sqrt", "x^", "1,", "|", "\\text{", "answer is ", "\\boxed{", "**", "9", "a ", "!"],
)
def test_endless_repetition_ends(piece: str) -> None:
    for number in (100, 2000, 20_000):
        text = piece * (number // len(piece))
        before = time.process_time()
        same_answer(text, text + "1")
        extract_answer(text)
        assert time.process_time() - before < 5


def test_a_key_that_cannot_be_read_decides_nothing_but_its_like() -> None:
    key = r"4\foo{3}"
    assert reference_doubt("math-verify", key)
    assert not reference_doubt("exact", key)
    assert is_right(rf"${key}$", key)
    with pytest.raises(ValueError, match=r"cannot be read: .*foo is not known"):
        is_right("4", key)


def test_a_solution_counts_by_the_answer_that_it_states() -> None:
    assert is_right(r"I first thought 7. So it is \boxed{18}.", "18")
    assert is_right("7", r"Worked out, the answer is 7.")
    assert not is_right(r"\boxed{18} is not it: the final answer is 19", "18")


def test_kinds_are_told_apart() -> None:
    found = {
        text: read_answer(text).kind
        for text in ("(B)", "B) Paris", "12:30", "3:05 p.m.", "2:3", "18 eggs", "Evelyn", r"\sqrt(2)", "7 if n is even")
    }
    assert list(found.values()) == [
        *(Kind.CHOICE, Kind.CHOICE, Kind.TIME, Kind.TIME, Kind.MATHEMATICS),
        *(Kind.MATHEMATICS, Kind.TEXT, Kind.UNREADABLE, Kind.TEXT),
    ]
