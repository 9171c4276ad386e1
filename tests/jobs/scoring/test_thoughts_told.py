"""What a run's summary and status say of its thoughts; nothing where it does not tell them apart."""

from dataclasses import replace

from jobs.scoring.summary import Summary, summarize, thoughts_text
from records.run_folder.commits import Totals
from tests.records.builders import record


def summary(totals: Totals) -> Summary:
    return summarize(totals, run="r", recipe={}, finished=True, num_problems=3)


def test_thoughts_are_added_up_over_problems():
    rows = [record(name).problem for name in "abc"]  # 10 generated tokens each
    told = [
        replace(rows[0], thinking_tokens=8, answer_tokens=2, num_unfinished_thoughts=2, num_closed_thoughts=0),
        replace(rows[1], thinking_tokens=4, answer_tokens=6, num_unfinished_thoughts=0, num_closed_thoughts=3),
        replace(rows[2], num_prolonged_thoughts=None),  # one that was never begun tells nothing
    ]
    found = summary(Totals().plus(told))
    assert (found.tokens["thinking"], found.tokens["answer"], found.tokens["generated"]) == (12, 18, 30)
    assert thoughts_text(found) == "40.0% of the generated tokens; 2 never ended, 3 closed by the budget"


def test_a_run_without_thoughts_says_nothing_of_them():
    found = summary(Totals().plus([record("a").problem]))
    assert "thinking" not in found.tokens
    assert thoughts_text(found) == ""
