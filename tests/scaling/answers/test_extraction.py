"""Which answer a solution states: cues, headings, boxes, thoughts, and the ways that a recipe may choose."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.failure import StrategyFailed
from scaling.answers.extract import Extraction, Way, extract_answer

CASES = [
    ("The final answer is:\n12", "12"),
    ("**Answer:**\n12", "12"),
    ("The answer is:\n$$\n\\frac{1}{2}\n$$", r"\frac{1}{2}"),
    ("The answer is\n\\[\n12\n\\]", "12"),
    ("**Answer**: 12", "12"),
    ("**Answer** 12", "12"),
    ("## Final answer\n\n$x = 4$", "x = 4"),
    ("### Answer:\n\n**12**", "12"),
    ("The answer to the question is 12.", "12"),
    ("The answer to this problem would be 12 apples.", "12 apples"),
    ("The answer should be 12.", "12"),
    ("The answer is therefore 12.", "12"),
    ("The answer must be $12$.", "12"),
    ("Answer：12", "12"),
    ("Answer: we compute step by step.\n\n**Final Answer**\n\n12", "12"),
    ("Answer: First, note that 3+4=7.\n\nThe answer is 7", "7"),
    ("#### Step 1: compute\nThe answer is 12.", "12"),
    ("#### Conclusion\nThe answer is 12.", "12"),
    ("#### Final Answer\n12", "12"),
    ("3+4=7\n#### 7", "7"),
    ("3+4=7\n#### 7 dollars\nThat is all.", "7 dollars"),
    ("The answer is 12 because 3*4=12.", "12"),
    ("The answer is 12, since 3*4=12.", "12"),
    ("So 12 is the answer.", "12"),
    ("Therefore, $x \\geq 5$ is our final answer.", r"x \geq 5"),
    ("<think>\\boxed{5}</think>\n\nThe answer is 12.", "12"),
    ("<think>maybe \\boxed{5}", None),
    ("<think>the answer is 5</think>\n12", "12"),
    ("<think>So the answer is 12.</think>\n\nI cannot tell.", None),
    ("I try \\boxed{5}.\n</think>\nFinal: \\boxed{6}", "6"),
    ("Hence 7 or 8, I think", None),
    ("\\boxed{\\Delta E}\n\n**Answer: D**", "D"),
    ("\\boxed{A \\cap B}\nThe answer is D.", "D"),
    ("\\boxed{B}\nThe answer is D.", "B"),
    ("\\boxed{255} after six months, so 10,200 + 255. Final Answer: The final answer is 10,455.", "10,455"),
    ("\\boxed{1} and \\boxed{2}", "1, 2"),
    ("\\boxed{1}, \\boxed{2}, \\boxed{2}", "1, 2"),
    ("\\boxed{3} is too small, so \\boxed{5}", "5"),
    ("\\boxed{4}, no: \\boxed{5}", "5"),
    ("I would pick B.", "B"),
    ("Answer seems to be A", "A"),
    ("The correct answer would be C", "C"),
    ("The answer is not 5.", None),
    ("12", "12"),
    ("x", None),
    ("Let us begin.", None),
]


@pytest.mark.parametrize(("solution", "answer"), CASES)
def test_what_a_solution_states(solution: str, answer: str | None) -> None:
    assert extract_answer(solution) == answer


def test_ways_are_tried_in_order_and_no_others() -> None:
    text = "\\boxed{1}\n#### 2\nThe answer is 3. It took 4 steps."
    found = [extract_answer(text, Extraction((way,))) for way in (Way.BOXED, Way.MARKER, Way.CUE, Way.LAST_NUMBER)]
    assert found == ["1", "2", "3", "4"]
    assert extract_answer(text, Extraction((Way.LAST_NUMBER, Way.BOXED))) == "4"
    assert extract_answer("She has 1,234 eggs left.", Extraction((Way.BOXED,))) is None
    assert extract_answer("She has 1,234 eggs left.", Extraction((Way.BOXED, Way.LAST_NUMBER))) == "1,234"


@pytest.mark.parametrize(
    ("text", "number"),
    [("It is -3.5%.", "-3.5%"), ("H2O and 7/8", "7/8"), ("AZYUK2A", None), ("x = 5.", "5"), ("none", None)],
)
def test_the_last_number(text: str, number: str | None) -> None:
    assert extract_answer(text, Extraction((Way.LAST_NUMBER,))) == number


def test_a_pattern_that_would_take_for_ever_is_ended_and_named() -> None:
    begun_s = time.monotonic()
    with pytest.raises(StrategyFailed, match=r"answer.pattern .* takes more than 1 s on 61 characters"):
        extract_answer("a" * 60 + "b", Extraction(pattern=r"^(a|a|aa)+$"))
    assert time.monotonic() - begun_s < 5


def test_a_pattern_takes_the_place_of_all_ways() -> None:
    by_group = Extraction(pattern=r"ANSWER<(.*?)>")
    assert extract_answer("ANSWER<3> no ANSWER< 4 > \\boxed{5}", by_group) == "4"
    assert extract_answer("\\boxed{5}", by_group) is None
    assert extract_answer("a1 b2", Extraction(pattern=r"[a-z]\d")) == "b2"
    assert extract_answer("<think>ANSWER<3></think>", by_group) is None


@given(st.text(max_size=200), st.lists(st.sampled_from(Way), unique=True, min_size=1))
def test_extraction_is_total(text: str, ways: list[Way]) -> None:
    answer = extract_answer(text, Extraction(tuple(ways)))
    assert answer is None or answer.strip()
