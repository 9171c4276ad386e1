import csv
import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from rich.console import Console
from scipy.special import expit

from jobs.calibration.report import (
    CalibrationReport,
    best_baseline,
    build_report,
    print_report,
    write_report,
)
from records.jsonio import decode, encode
from scaling.calibration.baselines import Baseline, fit, fit_constant
from scaling.calibration.observed import Observed, Predictions


def one_set(seed, num_problems=60):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, num_problems).repeat(10) + rng.normal(0, 1, num_problems * 10)
    terminal = np.arange(len(logits)) % 10 == 9
    trials = np.where(terminal, 1, 8)
    observed = Observed(
        problem_ids=[f"p{number // 10}" for number in range(len(logits))],
        successes=rng.binomial(trials, expit(logits)),
        trials=trials,
        terminal=terminal,
        depth=np.arange(len(logits)) % 10,
    )
    scores = expit(2 * logits + 1)
    quantiles = {level: expit(logits + shift) for level, shift in ((0.1, -1), (0.5, 0), (0.9, 1))}
    return observed, {
        "constant": fit_constant(observed, (0.1, 0.5, 0.9)).predict(len(observed)),
        "uncalibrated": Predictions(mean=scores),
        **{name.value: Predictions(mean=fit(name, scores, observed)(scores)) for name in Baseline},
        "calibrated, no shift": Predictions(mean=expit(logits + 0.1), quantiles=quantiles),
        "calibrated": Predictions(mean=expit(logits), quantiles=quantiles),
    }


@pytest.fixture(scope="module")
def report():
    return build_report({"in distribution": one_set(1), "out of distribution": one_set(2)}, num_resamples=200, seed=1)


def printed(report, width):
    out = io.StringIO()
    print_report(report, Console(width=width, file=out))
    return out.getvalue()


def test_json_reads_back(report):
    assert decode(CalibrationReport, encode(report), "evaluation.json") == report


def test_a_report_for_people_is_narrow_and_says_every_method(report):
    text = printed(report, width=120)
    tables = [line for line in printed(report, width=1000).splitlines() if not line.startswith("Brackets")]
    assert max(len(line.rstrip()) for line in tables) <= 120
    assert "..." not in text
    for name, table in report.tables.items():
        assert name in text
        for method in table.methods:
            assert text.count(f"\n{method.split()[0]} ") >= 2 * len(report.tables)
    brier = report.tables["in distribution"].methods["calibrated"]["brier"]
    assert f"[{brier.lower:.3f} {brier.upper:.3f}]".replace("0.", ".") in text


def test_the_best_baseline_has_the_smallest_brier(report):
    for table in report.tables.values():
        best = best_baseline(table)
        assert table.methods[best]["brier"].value == min(table.methods[name]["brier"].value for name in Baseline)
    alone = {name: said for name, said in one_set(1)[1].items() if name in ("uncalibrated", "calibrated")}
    assert best_baseline(build_report({"one": (one_set(1)[0], alone)}, num_resamples=9).tables["one"]) is None


def test_files_of_a_report(report, tmp_path):
    write_report(report, tmp_path / "calibration")
    found = {path.name: path.read_bytes() for path in (tmp_path / "calibration").iterdir()}
    assert set(found) == {"evaluation.json", "reliability.csv", "reliability.png"}
    assert decode(CalibrationReport, found["evaluation.json"], "evaluation.json") == report
    assert found["reliability.png"].startswith(b"\x89PNG")
    assert len(found["reliability.png"]) > 20_000
    lines = list(csv.DictReader(found["reliability.csv"].decode().splitlines()))
    assert len(lines) == 2 * 7 * 10
    for line in lines:
        item = report.curves[line["set"]][line["method"]][round(float(line["lower"]) * 10)]
        assert int(line["num_rows"]) == item.num_rows
        assert line["mean_observed"] == ("" if item.mean_observed is None else repr(item.mean_observed))


def test_a_diagram_shows_what_it_should(report, monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    write_report(report, tmp_path)
    (figure,) = figures
    above = figure.axes[:2]
    assert [axes.get_title().splitlines()[0] for axes in above] == list(report.tables)
    for axes, (name, table) in zip(above, report.tables.items(), strict=True):
        shown = {line.get_label(): line.get_xydata() for line in axes.get_lines()[1:]}
        assert list(shown) == ["uncalibrated", best_baseline(table), "calibrated"]
        for method, points in shown.items():
            filled = [item for item in report.curves[name][method] if item.num_rows]
            assert points == pytest.approx(np.array([(item.mean_predicted, item.mean_observed) for item in filled]))


def test_a_report_of_an_empty_group_says_unknown():
    observed, methods = one_set(1, num_problems=2)
    kept = ~observed.terminal
    open_only = {
        name: Predictions(
            mean=said.mean[kept],
            quantiles=None if said.quantiles is None else {key: item[kept] for key, item in said.quantiles.items()},
        )
        for name, said in methods.items()
    }
    assert "?" in printed(build_report({"small": (observed.where(kept), open_only)}, num_resamples=9), width=120)


@pytest.mark.parametrize("levels", [(0.2,), (0.2, 0.8), tuple(np.arange(1, 20) / 20)])
def test_any_levels_fit_the_page(levels):
    observed, methods = one_set(1)
    logits = np.log(methods["calibrated"].mean / (1 - methods["calibrated"].mean))
    said = Predictions(mean=expit(logits), quantiles={level: expit(logits + level - 0.5) for level in levels})
    report = build_report(
        {"one": (observed, {"uncalibrated": methods["uncalibrated"], "calibrated": said})}, num_resamples=9
    )
    text = printed(report, width=1000)
    assert max(len(line.rstrip()) for line in text.splitlines() if not line.startswith("Brackets")) <= 120
    assert f"at {levels[0]:g}" in text
    assert f"at {levels[-1]:g}" in text
    assert ("brier_median" in report.tables["one"].methods["calibrated"]) == (0.5 in levels)


def test_a_report_needs_what_it_compares():
    observed, methods = one_set(1)
    with pytest.raises(ValueError, match="end in 'calibrated'"):
        build_report({"one": (observed, {"uncalibrated": methods["uncalibrated"]})})
