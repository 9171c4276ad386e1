"""A comparison printed, as JSON, as Parquet and as a plot: everything is there, and it can be read."""

import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text
from rich.console import Console

from jobs.comparison.console import comparison_json, print_comparison, verdict
from jobs.comparison.labels import MARKER_RADIUS, place_labels
from jobs.comparison.plot import COLOURS, MARKERS, draw_comparison
from jobs.comparison.tables import ESTIMATES, MEASURES, PROBLEMS, SETTINGS, problems_table, settings_table
from records.schemas import PARQUET_OPTIONS
from scaling.statistics.comparison import Measured, compare
from scaling.statistics.pass_at_k import pass_rates
from scaling.statistics.shares import difference_bounds
from tests.support.tiers import some_of

pytestmark = pytest.mark.slow

NUM_PROBLEMS = 60
POOL = "best-of-n:num_samples=64"
OPTIONS = {
    "best-of-n": [f"num_samples={n}" for n in (64, 32, 16, 8, 4)],
    "adaptive-best-of-n": [f"confidence={c},quantile=lower" for c in (0.99, 0.9, 0.8, 0.5)],
    "sequential": [f"threshold={c}" for c in (0.99, 0.95, 0.9, 0.8, 0.6)],
    "majority": [f"num_samples={n}" for n in (64, 16, 4)],
    "self-consistency": [f"confidence={c}" for c in (0.95, 0.8)],
    "beam-search": [f"num_samples={n}" for n in (64, 16)],
    "dvts": ["num_samples=16"],
    "rebase": ["num_samples=16"],
    "particle-filtering": ["num_samples=16"],
    "sample": ["num_samples=1"],
}


def some_settings(num_settings):
    rng = np.random.default_rng(num_settings)
    p = rng.beta(0.8, 0.5, NUM_PROBLEMS)
    names = [(name, option) for name, options in OPTIONS.items() for option in options]
    chosen = [names[number * len(names) // num_settings] for number in range(num_settings)]
    found = []
    for position, (name, option) in enumerate(chosen):
        num_samples = 64 * 0.8**position
        correct = (rng.random(NUM_PROBLEMS) < 1 - (1 - p) ** num_samples).astype(np.float64)
        tokens = np.round(num_samples * rng.gamma(20, 2, NUM_PROBLEMS)) + 1
        has_prm = name not in ("majority", "self-consistency", "sample")
        found.append(
            Measured(
                label=f"{name}:{option}",
                recipe="small",
                strategy=name,
                shared_with=POOL if name not in ("beam-search", "dvts", "rebase", "particle-filtering") else None,
                num_orders=1,
                correct=correct,
                covered=np.ones(NUM_PROBLEMS),
                answer_p=rng.random(NUM_PROBLEMS) if has_prm else np.full(NUM_PROBLEMS, math.nan),
                num_samples=np.full(NUM_PROBLEMS, num_samples),
                generated_tokens=tokens,
                prompt_tokens=tokens / 4,
                cached_tokens=tokens / 5,
                pruned_tokens=tokens / 10,
                prm_tokens=tokens * has_prm,
                prm_cached_tokens=tokens / 3 * has_prm,
                flops=tokens * 3.6e6 * (1 + has_prm),
                fixed_at_same_tokens=correct if position % 2 else None,
            )
        )
    return found


def compared(settings, **options):
    options = {"baseline": settings[0].label, "margin": 0.05, "num_resamples": 100, "seed": 0} | options
    return compare(settings, **options)


def printed(comparison, width=120):
    out = io.StringIO()
    print_comparison(comparison, Console(width=width, file=out))
    return out.getvalue()


# ------------------------------------------------------------------------------------------------ printed, JSON


@pytest.mark.parametrize("num_settings", [1, 8, 25])
def test_the_tables_are_narrow_and_say_every_setting(num_settings):
    settings = some_settings(num_settings)
    settings[-1].correct[0] = math.nan
    comparison = compared(settings)
    text = printed(comparison)
    tables = [line.rstrip() for line in printed(comparison, width=1000).splitlines()[1:] if re.match(r"[ \d]{3}", line)]
    assert max(map(len, tables)) <= 120
    assert max(map(len, text.splitlines())) <= 120
    assert "..." not in text
    for number, row in enumerate(comparison.rows, 1):
        starts = [line for line in text.splitlines()[2:] if line.startswith(f"{number:>{len(str(num_settings))}} ")]
        assert [line.split()[1].startswith(row.strategy) for line in starts] == [True, True]
        assert f"{100 * row.accuracy.value:.1f}".replace("100.0", "100") in starts[0]
        assert f"[{100 * row.accuracy.lower:.1f} {100 * row.accuracy.upper:.1f}]".replace("100.0", "100") in text
    assert f"{num_settings} setting{'s' * (num_settings > 1)} on 59 problems; 1 left out" in text
    assert verdict(comparison) in re.sub(r" *\n", " ", text)


def test_what_shares_samples_is_said():
    settings = [replace(item, num_orders=30) if item.shared_with else item for item in some_settings(25)]
    text = re.sub(r" *\n", " ", printed(compared(settings)))
    assert f"Replayed on the samples of {POOL}, means over 30 orders of them: 1-19, 25." in text
    assert "Ran by itself: 20-24." in text


def test_pass_at_k_of_the_samples_is_said():
    comparison, rates = compared(some_settings(3)), {POOL: pass_rates([[True, False], [False, False]], seed=0)}
    out = io.StringIO()
    print_comparison(comparison, Console(width=1000, file=out), rates)
    assert re.search(
        rf"pass@1 25\.0 \[.*\], @2 50\.0 \[.*\] % of 2 problems, from the samples of {POOL}\.", out.getvalue()
    )
    read = json.loads(json.dumps(comparison_json(comparison, rates), allow_nan=False))
    assert [(rate["k"], rate["share"]["value"]) for rate in read["pass_at_k"][POOL]] == [(1, 0.25), (2, 0.5)]


def test_the_verdict_names_the_cheapest_or_says_that_there_is_none():
    base, *_, other = some_settings(5)
    cheaper = replace(base, label="cheaper", generated_tokens=base.generated_tokens / 2, flops=base.flops / 4)
    assert verdict(compared([base, other])).endswith(
        "none is cheaper than the baseline, by FLOPs or by generated tokens."
    )
    _, reach = difference_bounds(np.zeros(NUM_PROBLEMS))
    assert (
        "by FLOPs and by generated tokens: cheaper (25.0% of its FLOPs, 50.0% of its generated tokens, "
        f"0.0 [-{100 * reach:.1f} +{100 * reach:.1f}]" in verdict(compared([base, cheaper], margin=0.1))
    )
    dearer_flops = replace(cheaper, flops=base.flops * 2)
    said = verdict(compared([base, dearer_flops], margin=0.1))
    assert "by FLOPs none is cheaper than the baseline; by generated tokens cheaper (200.0%" in said


def test_json_has_null_for_what_is_unknown():
    comparison = compared(some_settings(25))
    read = json.loads(json.dumps(comparison_json(comparison), allow_nan=False))
    assert [row["label"] for row in read["rows"]] == [row.label for row in comparison.rows]
    assert read["rows"][0]["fixed_difference"] == {"value": None, "lower": None, "upper": None}
    assert read["rows"][1]["accuracy"]["lower"] == comparison.rows[1].accuracy.lower
    assert (read["cheapest_by_flops"], read["num_left_out"], read["margin"]) == (comparison.cheapest_by_flops, 0, 0.05)


# ------------------------------------------------------------------------------------------------ Parquet


def written_and_read(table, path):
    pq.write_table(table, path, **PARQUET_OPTIONS)
    return pq.read_table(path)


def test_the_settings_read_back(tmp_path):
    comparison = compared(some_settings(25))
    table = written_and_read(settings_table(comparison), tmp_path / "settings.parquet")
    assert table.schema.equals(SETTINGS)
    for row, line in zip(comparison.rows, table.to_pylist(), strict=True):
        for column, field in ESTIMATES.items():
            estimate = getattr(row, field)
            assert (line[column], line[f"{column}_low"], line[f"{column}_high"]) == (
                estimate.value,
                estimate.lower,
                estimate.upper,
            )
        assert (line["setting"], line["shared_with"]) == (row.label, row.shared_with)
        assert line["is_not_worse"] == row.is_not_worse
        assert (line["baseline"], line["num_problems"]) == (POOL, NUM_PROBLEMS)


def test_the_problems_read_back_with_null_for_nan(tmp_path):
    settings = some_settings(5)
    settings[1].correct[7] = math.nan
    ids = [f"p{number}" for number in range(NUM_PROBLEMS)]
    table = written_and_read(problems_table(settings, ids), tmp_path / "problems.parquet")
    assert table.schema.equals(PROBLEMS)
    lines = table.to_pylist()
    assert [(line["setting"], line["problem_id"]) for line in lines] == [
        (item.label, key) for item in settings for key in ids
    ]
    for item, of_item in zip(settings, np.array(lines).reshape(5, NUM_PROBLEMS), strict=True):
        for name in MEASURES:
            values = getattr(item, name)
            expected = [None] * NUM_PROBLEMS if values is None else [None if math.isnan(v) else v for v in values]
            assert [line[name] for line in of_item] == expected
        assert [line["problem_id"] for line in of_item if not line["is_compared"]] == ["p7"]
    with pytest.raises(ValueError, match="60 problems, but 1 ids"):
        problems_table(settings, ["p0"])


@pytest.mark.parametrize(("heading", "schema"), [("settings", SETTINGS), ("problems", PROBLEMS)])
def test_every_column_is_documented(heading, schema):
    page = (Path(__file__).parents[3] / "docs/compare.md").read_text()
    section = page.partition(f"### `{heading}.parquet`")[2].partition("\n##")[0]
    rows = re.findall(r"^\| ([\w, `]+) \| \w+", section, re.MULTILINE)
    documented = [name.strip("` ") for row in rows for name in row.split(",")]
    names = [name for name in schema.names if not name.endswith(("_low", "_high"))]
    assert sorted(documented) == sorted(["column", *names])


# ------------------------------------------------------------------------------------------------ the plot


def figure_of(comparison, monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    draw_comparison(comparison, io.BytesIO())
    return figures[0]


def test_a_plot_is_a_png_or_what_the_suffix_says(tmp_path):
    comparison = compared(some_settings(5))
    buffer = io.BytesIO()
    draw_comparison(comparison, buffer)
    assert buffer.getvalue().startswith(b"\x89PNG")
    draw_comparison(comparison, tmp_path / "plot.svg")
    assert b"<svg" in (tmp_path / "plot.svg").read_bytes()


@pytest.mark.parametrize(("num_settings", "scale"), [(1, "linear"), (5, "linear"), (25, "log")])
def test_every_setting_has_its_number_in_both_panels(num_settings, scale, monkeypatch):
    comparison = compared(some_settings(num_settings))
    figure = figure_of(comparison, monkeypatch)
    figure.draw_without_rendering()
    numbers = [str(number) for number in range(1, num_settings + 1)]
    for axes in figure.axes:
        assert axes.get_xscale() == scale
        assert [text.get_text() for text in axes.texts] == numbers
        boxes = [Text.get_window_extent(text) for text in axes.texts]  # without the lines to their points
        assert not any(one.overlaps(other) for k, one in enumerate(boxes) for other in boxes[:k])
    settings = [text.get_text() for text in figure.legends[1].get_texts()]
    assert settings == [f"{number} {row.label}" for number, row in enumerate(comparison.rows, 1)]
    meanings = [text.get_text() for text in figure.legends[0].get_texts()]
    assert f"baseline ({POOL}) and 5 points below it" in meanings


def test_strategies_look_different():
    looks = {(COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]) for number in range(63)}
    assert len(looks) == 63


@examples(max_examples=some_of(30))
@given(st.lists(st.tuples(st.floats(30, 120), st.floats(30, 90)), min_size=1, max_size=12), st.booleans())
def test_labels_cover_neither_each_other_nor_a_point(places, has_lines):
    points = np.array(places)
    sizes = np.full((len(places), 2), (8.0, 6.0))
    lines = np.stack([np.linspace(0, 300, 60), np.full(60, 50.0)], axis=1) if has_lines else np.empty((0, 2))
    frame = (-60.0, -60.0, 210.0, 180.0)
    centres = place_labels(points, sizes, lines, frame)
    for k, centre in enumerate(centres):
        assert all((np.abs(centre - other) >= sizes[k]).any() for other in centres[:k])
        assert (np.abs(centre - points) >= sizes[k] / 2 + MARKER_RADIUS).any(axis=1).all()
        assert frame[0] <= centre[0] - 4 <= centre[0] + 4 <= frame[2]
        assert frame[1] <= centre[1] - 3 <= centre[1] + 3 <= frame[3]
        assert np.array_equal(centres, place_labels(points, sizes, lines, frame))
