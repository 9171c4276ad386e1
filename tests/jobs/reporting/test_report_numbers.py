"""The numbers of a report, each against an obvious twin."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.made_run import CHATTER, MODELS, made_problems, write_run
from cluster.store import LocalStore
from jobs.recipes.strategies.registry import STRATEGIES
from jobs.reporting.contents import contents, read_contents
from jobs.reporting.costs import Difficulty, by_difficulty, difficulty_of, flops_by_phase
from jobs.reporting.curve import COVERAGE, NUM_ORDERS, curve
from jobs.reporting.facts import failure_groups, known_total, summary_of
from jobs.reporting.graded_samples import Witness, finished_outcomes, graded, root_outcomes, witness
from jobs.reporting.page import render
from jobs.reporting.predicted import predicted_section
from jobs.reporting.source import ReportSource, read_source
from jobs.reporting.trees import tree_json
from jobs.reporting.utilisation import MAX_INTERVALS, usage_intervals
from records.jsonio import encode
from records.path import PrmScore
from records.problem import Problem
from records.rows import Status
from records.run_folder.prediction import ESTIMATE, Prediction, Range
from records.run_folder.reader import read_run
from records.usage import ReplicaUsage, Usage, UsagePoint
from scaling.calibration.within_run import ScoredOutcome, check_scores
from tests.records import builders
from tests.support.tiers import some_of

pytestmark = pytest.mark.slow

BEST_OF_8 = {"name": "best-of-n", "num_samples": 8}
BEAM = {"name": "beam-search", "num_samples": 8, "beam_width": 2, "max_steps": 6}


def source_of(folder: Path, strategy: dict[str, object], *, num_problems: int = 40) -> ReportSource:
    write_run(folder, made_problems(num_problems), strategy=strategy, seed=3)
    return read_source(read_run(folder))


def witnesses_of(source: ReportSource, *, whole: bool) -> list[Witness]:
    found = [witness(tree, takes_whole_samples=whole) for tree in source.trees()]
    told, why_not = graded([item for item in found if item], source.replayer.recipe)
    assert why_not is None
    return told


@pytest.fixture(scope="module")
def best_of_8(tmp_path_factory: pytest.TempPathFactory) -> ReportSource:
    return source_of(tmp_path_factory.mktemp("best") / "run", BEST_OF_8)


@pytest.fixture(scope="module")
def told(best_of_8: ReportSource) -> list[Witness]:
    return witnesses_of(best_of_8, whole=True)


@pytest.mark.parametrize("name", [name for name in STRATEGIES if ":" not in name])
def test_a_replayed_choice_is_the_one_that_the_rows_are_made_of(tmp_path: Path, name: str) -> None:
    num_problems = some_of(6)
    source = source_of(tmp_path / "run", {"name": name}, num_problems=num_problems)
    for tree in source.trees():
        row = tree.row
        assert row is not None
        assert tree.pruned_tokens == row.pruned_tokens
        if row.answer is not None:
            answers = {leaf.node_id: leaf.answer for leaf in tree.leaves}
            assert answers[tree.chosen or 0] == row.answer
    found = read_contents(source, max_bytes=10**7, paired=None)
    assert len(found.chunks.places) == num_problems


DRAWN = {"best-of-n", "beam-search"}
"""Strategies whose page is made before a commit: its diagrams take seconds. Those of all others are `long`."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in DRAWN else pytest.mark.long) for name in STRATEGIES if ":" not in name],
)
def test_a_page_shows_the_trees_of_any_strategy(tmp_path: Path, name: str) -> None:
    source = source_of(tmp_path / "run", {"name": name}, num_problems=2)
    found = read_contents(source, max_bytes=10**7, paired=None)
    assert "search tree" in render(contents(found))


@pytest.mark.parametrize("strategy", [BEST_OF_8, BEAM], ids=["best-of-n", "beam-search"])
def test_a_choice_that_the_budget_cut_is_replayed_with_what_was_granted(
    tmp_path: Path, strategy: dict[str, object]
) -> None:
    write_run(tmp_path / "run", made_problems(6), strategy=strategy, talk=replace(CHATTER, most_samples=5))
    for tree in read_source(read_run(tmp_path / "run")).trees():
        assert tree.row is not None
        assert tree.row.status is Status.BUDGET_EXHAUSTED
        assert tree.row.num_samples == 5
        assert tree.pruned_tokens == tree.row.pruned_tokens
        held = tree_json(tree)
        cut = [request for request in held["requests"] if request["reply"] in {"reduced", "budget_exhausted"}]
        assert cut[0]["granted"] < cut[0]["samples"]


def test_a_failed_problem_has_no_choice(tmp_path: Path) -> None:
    write_run(tmp_path / "run", made_problems(3), strategy=BEAM, failing=lambda number: number == 1)
    trees = {tree.problem_id: tree for tree in read_source(read_run(tmp_path / "run")).trees()}
    failed = trees["p-000001"]
    assert failed.row is not None
    assert failed.row.status is Status.FAILED
    assert (failed.chosen, failed.kept, failed.pruned_tokens) == (None, None, None)
    fine = trees["p-000000"]
    assert fine.row is not None
    assert fine.chosen_score is not None
    assert fine.chosen_score.median == fine.row.answer_p_median


def test_the_curve_is_what_a_direct_computation_says(best_of_8: ReportSource, told: list[Witness]) -> None:
    found = curve(told, best_of_8.replayer.recipe, why_ungraded=None)
    assert (found.num_problems, found.num_orders, found.why_not) == (40, NUM_ORDERS, None)
    lines = {line.label: {point.num_samples: point for point in line.points} for line in found.lines}
    assert list(lines) == ["best-of-n", "majority", COVERAGE]
    for count in (1, 2, 4, 8):
        right, covered, tokens = [], [], []
        for item in told:
            assert item.stored is not None
            for number in range(NUM_ORDERS):
                taken = [item.stored.samples[at] for at in item.stored.order(3, number)[:count]]
                best = max(taken, key=lambda sample: sample.path.score.median if sample.path.score else -1)
                right.append(best.answer == item.row.reference)
                covered.append(any(sample.answer == item.row.reference for sample in taken))
                tokens.append(sum(sample.cost.generated_tokens for sample in taken))
        assert lines["best-of-n"][count].accuracy.value == pytest.approx(np.mean(right))
        assert lines[COVERAGE][count].accuracy.value == pytest.approx(np.mean(covered))
        assert lines["best-of-n"][count].tokens == pytest.approx(np.mean(tokens))
    whole = lines["best-of-n"][8].accuracy.value
    assert whole == pytest.approx(np.mean([item.row.correct for item in told]))


def test_a_search_has_no_curve_and_says_why(tmp_path: Path) -> None:
    source = source_of(tmp_path / "run", BEAM, num_problems=3)
    found = curve(witnesses_of(source, whole=False), source.replayer.recipe, why_ungraded=None)
    assert found.lines == ()
    assert "does not draw whole samples" in str(found.why_not)


def test_a_strategy_that_stops_early_is_played_in_the_order_drawn_and_no_further_than_all_go(tmp_path: Path) -> None:
    source = source_of(tmp_path / "run", {"name": "adaptive-consistency", "num_samples": 12})
    told = witnesses_of(source, whole=True)
    fewest = min(item.row.num_samples for item in told)
    found = curve(told, source.replayer.recipe, why_ungraded=None)
    assert found.num_orders == 1
    assert max(point.num_samples for line in found.lines for point in line.points) == fewest
    assert fewest < max(item.row.num_samples for item in told)


def test_a_run_that_abstains_has_a_curve_of_strategies_that_cannot(
    told: list[Witness], best_of_8: ReportSource
) -> None:
    recipe = best_of_8.replayer.recipe
    assert recipe is not None
    tables = recipe.model_dump()
    tables["answer"]["abstain_below"] = 0.5
    abstaining = type(recipe).model_validate(tables)
    assert curve(told, abstaining, why_ungraded=None) == curve(told, recipe, why_ungraded=None)


def test_verdicts_of_samples_are_the_graders(told: list[Witness]) -> None:
    for item in told:
        expected = [answer == item.row.reference for answer, _ in item.answers]
        assert item.outcomes == expected
    [root] = [row for row in root_outcomes(told) if row.problem_id == told[0].row.problem_id]
    assert (root.successes, root.trials) == (sum(told[0].outcomes), 8)
    assert len(finished_outcomes(told)) == sum(len(item.answers) for item in told)


def quantiles() -> st.SearchStrategy[PrmScore]:
    return st.lists(st.floats(0, 1), min_size=3, max_size=3).map(lambda numbers: PrmScore(*sorted(numbers)))


@st.composite
def scored_outcomes(draw: st.DrawFn) -> ScoredOutcome:
    trials = draw(st.integers(1, 9))
    return ScoredOutcome(draw(st.sampled_from("abcd")), draw(quantiles()), draw(st.integers(0, trials)), trials)


@given(outcomes=st.lists(scored_outcomes(), min_size=1, max_size=30))
@settings(max_examples=some_of(60))
def test_scores_against_outcomes_are_what_loops_say(outcomes: list[ScoredOutcome]) -> None:
    found = check_scores(outcomes, seed=1)
    shares = [row.successes / row.trials for row in outcomes]
    medians = [row.score.median for row in outcomes]
    assert found.observed.value == pytest.approx(np.mean(shares))
    assert found.brier.value == pytest.approx(np.mean([(m - s) ** 2 for m, s in zip(medians, shares, strict=True)]))
    bins: dict[int, list[float]] = {}
    for median, share in zip(medians, shares, strict=True):
        bins.setdefault(min(int(median * 10), 9), []).append(median - share)
    error = sum(abs(sum(errors)) for errors in bins.values()) / len(outcomes)
    assert found.calibration_error.value == pytest.approx(error)
    several = [row for row in outcomes if row.trials > 1]
    if found.coverage is None:
        assert not several or all(row.score.lower == row.score.upper for row in outcomes)
        return
    parts = (found.coverage.below.value, found.coverage.within.value, found.coverage.above.value)
    assert sum(part or 0.0 for part in parts) == pytest.approx(1)
    sure = [row.score.lower <= row.successes / row.trials <= row.score.upper for row in several]
    assert (found.coverage.within.value or 0.0) >= np.mean(sure) - 1e-9


def test_an_interval_that_only_the_grid_misses_holds() -> None:
    outcomes = [ScoredOutcome("a", PrmScore(0.3, 0.4, 0.45), 2, 4), ScoredOutcome("b", PrmScore(0.3, 0.4, 0.45), 3, 4)]
    found = check_scores(outcomes, seed=1).coverage
    assert found is not None
    assert (found.below.value, found.within.value, found.above.value) == (0, 0.5, 0.5)


def test_flops_of_the_phases_add_up_with_and_without_known_sizes(best_of_8: ReportSource) -> None:
    rows, manifest = best_of_8.rows, best_of_8.run.manifest
    nameless = replace(
        manifest, models={role: replace(model, num_parameters=None) for role, model in manifest.models.items()}
    )
    for known in (manifest, nameless):
        found = flops_by_phase(rows, known)
        assert found is not None
        assert found.decode + found.prefill + found.prm == pytest.approx(sum(row.flops for row in rows), rel=1e-9)
        generated = sum(row.generated_tokens for row in rows)
        assert found.decode == pytest.approx(2 * MODELS.num_generator_parameters * generated)
    assert flops_by_phase(rows[:1], nameless) is None
    assert flops_by_phase([], manifest) is None


def test_difficulty_prefers_the_prm_and_says_what_it_is() -> None:
    row = builders.record("a").problem
    scored = replace(row, problem_id="b", p_lower=0.1, p_median=0.25, p_upper=0.5)
    assert difficulty_of([row, scored], {"a": 1.0}).values == {"b": 0.75}
    by_share = difficulty_of([row], {"a": 0.75})
    assert by_share.values == {"a": 0.25}
    assert "share of right samples" in by_share.meaning
    assert difficulty_of([row], {}).values == {}


def test_spending_by_difficulty_is_mean_and_quartiles_of_each_bin() -> None:
    rows = [
        replace(builders.record(f"p{number}").problem, generated_tokens=100 * number, wall_seconds=float(number))
        for number in range(8)
    ]
    hard = Difficulty({row.problem_id: (0.05 if number < 4 else 1.0) for number, row in enumerate(rows)}, "made up")
    easy, last = by_difficulty(rows, hard)
    assert (easy.lower, easy.num_problems, easy.tokens, easy.seconds) == (0.0, 4, 150.0, 1.5)
    assert (last.lower, last.upper, last.num_problems) == (0.9, 1.0, 4)
    assert (last.tokens_low, last.tokens_high) == tuple(np.quantile([400, 500, 600, 700], [0.25, 0.75]))


def test_failures_that_differ_in_numbers_and_names_are_one_kind() -> None:
    row = replace(builders.record("a").problem, status=Status.FAILED, correct=None)
    messages = ["replica 'g-1' died at 0xab12", "replica 'g-2' died at 0xff00", "input has 9000 tokens", None]
    rows = [replace(row, problem_id=f"p{number}", error=error) for number, error in enumerate(messages)]
    groups = failure_groups([builders.record("fine").problem, *rows])
    assert [(group.num_problems, group.problem_ids) for group in groups] == [
        (2, ("p0", "p1")),
        (1, ("p2",)),
        (1, ("p3",)),
    ]


def test_a_total_with_an_unknown_is_unknown() -> None:
    assert known_total([1.0, 2.0]) == 3.0
    assert known_total([1.0, None]) is None
    assert known_total([]) is None


def usage_point(epoch: int, elapsed_s: float, busy_s: float, *, begun: int = 0) -> UsagePoint:
    replica = ReplicaUsage(name="g", role="generator", held_s=elapsed_s, busy_s=busy_s, call_s=3 * busy_s)
    moment = f"2026-11-22T12:{begun + int(elapsed_s) // 60:02d}:{int(elapsed_s) % 60:02d}+00:00"
    return UsagePoint(epoch=epoch, created_at=moment, usage=Usage(elapsed_s=elapsed_s, replicas=(replica,)))


def test_utilisation_is_the_difference_of_neighbours_within_an_epoch() -> None:
    points = [usage_point(1, 10, 0), usage_point(1, 20, 10), usage_point(2, 30, 15, begun=5)]
    found = usage_intervals(points)
    assert [(item.epoch, item.start_s, item.end_s) for item in found] == [(1, 0, 10), (1, 10, 20), (2, 300, 330)]
    assert [item.busy["generator"] for item in found] == [0.0, 1.0, 0.5]
    assert [item.calls["generator"] for item in found] == [0.0, 3.0, 1.5]
    assert all(item.busy["prm"] is None for item in found)
    assert usage_intervals([]) == []


@given(count=st.integers(1, 600), epochs=st.integers(1, 4))
@settings(max_examples=some_of(40))
def test_long_runs_are_taken_together_and_lose_no_second(count: int, epochs: int) -> None:
    points = [usage_point(epoch, at + 1, (at + 1) / 2) for epoch in range(epochs) for at in range(count)]
    found = usage_intervals(points)
    assert len(found) <= MAX_INTERVALS + epochs
    assert sum(item.end_s - item.start_s for item in found) == pytest.approx(epochs * count)
    assert all(item.busy["generator"] == pytest.approx(0.5) for item in found)


def test_a_problem_without_a_key_bears_no_verdict(tmp_path: Path) -> None:
    problems = [Problem(problem.problem_id, problem.question, None) for problem in made_problems(3)]
    write_run(tmp_path / "run", problems, strategy=BEST_OF_8)
    source = read_source(read_run(tmp_path / "run"))
    found = [witness(tree, takes_whole_samples=True) for tree in source.trees()]
    told, why = graded([item for item in found if item], source.replayer.recipe)
    assert why == "there is no answer key"
    assert not any(item.outcomes for item in told)
    assert "no answer key" in str(curve(told, source.replayer.recipe, why_ungraded=why).why_not)


def test_what_was_predicted_stands_beside_what_came(tmp_path: Path) -> None:
    write_run(tmp_path / "run", made_problems(5), strategy=BEST_OF_8)
    assert read_run(tmp_path / "run").prediction() is None
    run = read_run(tmp_path / "run")
    tokens = run.totals.generated_tokens
    near = Range(tokens * 1.25, tokens * 0.9, tokens * 1.5)
    prediction = Prediction(
        created_at="2026-11-22T12:00:00+00:00", confidence=0.9, pilot_problems=3, num_problems=5, num_generators=1,
        num_prms=2, tokens={"generated": near, "prm": Range(1.0, 0.5, 1.5)}, flops=Range(1e9, 0.5e9, 2e9),
        wall_seconds=Range(60.0, 50.0, 70.0), generator_seconds=near, prm_seconds=near, gpu_seconds=None, usd=None,
        kwh=Range(2.0, 1.0, 3.0), accuracy=Range(0.5, 0.0, 1.0),
    )  # fmt: skip
    LocalStore(tmp_path / "run").replace(ESTIMATE, encode(prediction))
    run = read_run(tmp_path / "run")
    assert run.prediction() == prediction
    source = read_source(run)
    found = predicted_section(run.prediction(), run.totals, summary_of(run, source.rows), 3.5)
    lines = {line[0]: line[1:] for line in found["predicted"].rows}
    assert lines["Generated tokens"][2:] == ("0.800", "yes")
    assert lines["PRM tokens"][3] == "no"
    assert lines["kWh"] == ("2 (1 to 3)", "3.5", "1.750", "no")
    assert "USD" not in lines
    assert "1 generator replica and 2 PRM replicas" in found["predicted_note"]
    unfinished = replace(summary_of(run, source.rows), finished=False)
    open_lines = predicted_section(prediction, run.totals, unfinished, None)["predicted"].rows
    assert {line[4] for line in open_lines} == {"not over yet", "unknown"}
    assert [line[2:] for line in open_lines if line[0] == "kWh"] == [("unknown", "unknown", "unknown")]
