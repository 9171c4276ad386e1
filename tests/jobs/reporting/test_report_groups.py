"""Accuracy by group and pass@k: against obvious twins, and on the page."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.made_run import made_problems, write_run
from jobs.reporting.contents import contents, read_contents
from jobs.reporting.groups import MISSING, MOST_GROUPS, OTHERS, by_group, group_columns, groups_json
from jobs.reporting.page import render
from jobs.reporting.source import read_source
from records.run_folder.reader import read_run
from tests.records import builders

ROW = builders.record("a").problem
LEVELS = st.sampled_from([None, "1", "2", "10", "hard"])


@given(st.lists(st.tuples(LEVELS, st.sampled_from([True, False, None]))))
def test_groups_are_what_counting_says(told):
    rows = [replace(ROW, columns=(("x", "y"), ("level", level)), correct=right) for level, right in told]
    groups = {group.value: group for group in by_group(rows, "level")} if rows else {}
    assert set(groups) == {level or MISSING for level, _ in told}
    for value, group in groups.items():
        own = [right for level, right in told if (level or MISSING) == value]
        assert (group.num_problems, group.graded, group.correct) == (
            len(own),
            len(own) - own.count(None),
            own.count(True),
        )
        assert (group.accuracy is None) == (group.interval is None) == (group.graded == 0)


def test_numbers_come_in_their_order_and_what_is_missing_last():
    rows = [replace(ROW, columns=(("level", value),)) for value in ("10", "hard", "2", None, "easy")]
    rows.append(replace(ROW, columns=None))  # written before the column was carried
    assert [group.value for group in by_group(rows, "level")] == ["2", "10", "easy", "hard", MISSING]


def test_rare_values_are_put_together():
    rows = [replace(ROW, columns=(("id", str(number)),)) for number in range(MOST_GROUPS + 5)]
    groups = by_group([*rows, *rows[:3]], "id")
    assert (groups[-1].value, groups[-1].num_problems, len(groups)) == (OTHERS, 5, MOST_GROUPS + 1)


def test_without_columns_there_are_no_groups():
    assert group_columns([ROW], None) == ()
    assert groups_json([ROW], None) == {}


@pytest.mark.slow
def test_a_page_has_groups_and_pass_at_k(tmp_path: Path) -> None:
    problems = [replace(problem, columns=(("level", str(at % 3)),)) for at, problem in enumerate(made_problems(12))]
    write_run(tmp_path / "run", problems, strategy={"name": "best-of-n", "num_samples": 4}, seed=3)
    source = read_source(read_run(tmp_path / "run"))
    assert {row.problem_id: row.columns for row in source.rows} == {one.problem_id: one.columns for one in problems}
    found = read_contents(source, max_bytes=10**7, paired=None)
    assert [rate.k for rate in found.pass_rates] == [1, 2, 4]
    whole = [item.outcomes for item in found.witnesses]
    assert found.pass_rates[-1].share.value == pytest.approx(sum(any(own) for own in whole) / len(whole))
    assert found.pass_rates[0].share.value == pytest.approx(sum(sum(own) / len(own) for own in whole) / len(whole))
    page = render(contents(found))
    assert "Accuracy by level" in page
    assert "pass@4" in page
