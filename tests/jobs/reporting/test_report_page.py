"""`parsimony report` without a browser: what is embedded, escaped, left out, refused; and where it can be written."""

import base64
import gzip
import json
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.writer.lease import this_process
from actors.writer.writer import Writer
from benchmarks.made_run import CHATTER, made_manifest, made_problems, write_run
from cluster.store import LocalStore, open_store
from jobs.cli import main
from jobs.reporting import source as source_module
from jobs.reporting.choices import Replayer
from jobs.reporting.contents import RESERVED_BYTES
from jobs.reporting.embedding import CHUNK_BYTES, Chunks, TreePacker, packed, script_json
from jobs.reporting.facts import state_of
from jobs.reporting.page import address
from jobs.reporting.source import dearest, read_source, slowest
from jobs.reporting.svg import SERIES, THEME_COLOURS, Words, inline_svg
from jobs.reporting.trees import tree_json
from records.jsonio import encode
from records.packing import packed_rows
from records.rows import Status
from records.run_folder import layout
from records.run_folder.epochs import utc
from records.run_folder.reader import read_run
from tests.records import builders
from tests.services.servers import Bucket
from tests.support.tiers import some_of

pytestmark = pytest.mark.slow

BEST_OF_4 = {"name": "best-of-n", "num_samples": 4}
TEXT = st.text() | st.sampled_from(["</script>", "<!--", "]]>", "\u2028\u2029", "<script>alert(1)</script>", "&amp;"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)


def unpacked(text: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(text)))


@given(value=JSON)
def test_json_in_a_script_ends_no_script_and_reads_back(value: Any) -> None:
    text = script_json(value)
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == value


@given(value=JSON)
def test_packed_json_is_plain_and_reads_back(value: Any) -> None:
    text = packed(value)
    assert re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", text)
    assert unpacked(text) == value


def pack(trees: Iterable[Mapping[str, Any]], max_bytes: int) -> Chunks:
    packer = TreePacker(max_bytes)
    for tree in trees:
        packer.add(tree, num_steps=1)
    return packer.chunks()


def test_a_page_takes_no_more_trees_once_it_has_so_many_steps() -> None:
    packer = TreePacker(10**9, max_steps=10)
    for number in range(9):
        packer.add({"id": str(number)}, num_steps=4)
    assert (sorted(packer.chunks().places), packer.has_room) == (["0", "1", "2"], False)


@given(
    sizes=st.lists(st.integers(0, CHUNK_BYTES // 2), max_size=12), room=st.integers(0, 40_000), seed=st.integers(0, 9)
)
@settings(max_examples=some_of(40))
def test_trees_are_packed_from_the_first_on_as_far_as_there_is_room(sizes: list[int], room: int, seed: int) -> None:
    rng = random.Random(seed)
    trees = [{"id": str(at), "text": rng.randbytes(size // 20).hex()} for at, size in enumerate(sizes)]
    chunks = pack(trees, room)
    assert sum(map(len, chunks.texts)) <= room
    assert list(chunks.places) == [tree["id"] for tree in trees[: len(chunks.places)]]
    opened = [unpacked(text) for text in chunks.texts]
    for problem_id, (chunk, place) in chunks.places.items():
        assert opened[chunk][place] == trees[int(problem_id)]
    everything = pack(trees, 10**9)
    assert len(everything.places) == len(trees)


@given(problem_id=st.text(st.characters(codec="utf-8"), min_size=1))
def test_an_address_names_its_problem(problem_id: str) -> None:
    assert unquote(address(problem_id)) == problem_id
    assert not set(address(problem_id)) & set('<>"& #')


class Scripts(HTMLParser):
    """What a browser would take for code: executable scripts, handlers, styles in attributes, things to load."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.executable = 0
        self.wrong: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "script" and "type" not in named:
            self.executable += 1
        self.wrong += [f"{tag} {name}" for name in named if name.startswith("on") or name in {"style", "src"}]
        self.wrong += [tag] if tag in {"img", "iframe", "link", "object", "embed"} else []
        self.wrong += [f"{tag} {value}" for name, value in attrs if name == "href" and not str(value).startswith("#")]


def test_whatever_a_run_says_is_text(tmp_path: Path) -> None:
    planted = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    problems = [
        replace(problem, problem_id=f"{planted}{problem.problem_id}", question=planted, reference=planted)
        for problem in made_problems(12)
    ]
    talk = replace(CHATTER, say=lambda rng, words: planted)
    write_run(tmp_path / "run", problems, strategy=BEST_OF_4, talk=talk, failing=lambda number: number % 3 == 0)
    write_run(tmp_path / "other", problems, strategy=BEST_OF_4, talk=talk, seed=5)
    page = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "run"), str(tmp_path / "other"), "--output", str(page)]) == 0
    found = Scripts(page.read_text())
    assert (found.executable, found.wrong) == (1, [])
    assert "alert(1)" in page.read_text()


@pytest.mark.parametrize("strategy", [BEST_OF_4, {"name": "beam-search", "num_samples": 4, "beam_width": 2}])
def test_a_tree_holds_the_rows(tmp_path: Path, strategy: dict[str, Any]) -> None:
    write_run(tmp_path / "run", made_problems(6), strategy=strategy)
    run = read_run(tmp_path / "run")
    rows = run.steps().to_pylist()
    for tree in read_source(run).trees():
        held = tree_json(tree)
        own = sorted((row for row in rows if row["problem_id"] == tree.problem_id), key=lambda row: row["node_id"])
        assert held["steps"]["parent"] == [row["parent_id"] for row in own]
        assert held["steps"]["text"] == [row["text"] for row in own]
        assert held["steps"]["tokens"] == [row["generated_tokens"] for row in own]
        medians = [None if p is None else p if isinstance(p, float) else p[1] for p in held["steps"]["p"]]
        expected = [row["p_median"] if row["p_median"] is None else float(f"{row['p_median']:.4g}") for row in own]
        assert medians == expected
        pruned = sum(row["generated_tokens"] for row, fate in zip(own, held["steps"]["fate"], strict=True) if fate == 0)
        assert pruned == held["spent"]["pruned"]
        path, node = [], held["chosen"]
        while node:
            path.append(node)
            node = held["steps"]["parent"][node - 1]
        assert [at + 1 for at, fate in enumerate(held["steps"]["fate"]) if fate == 2] == sorted(path)


def test_what_a_reader_asks_for_first_has_its_tree_first(tmp_path: Path) -> None:
    write_run(
        tmp_path / "run", made_problems(400), strategy={"name": "sample"}, num_done=380, num_open=4,
        failing=lambda number: number % 90 == 0,
    )  # fmt: skip
    run = read_run(tmp_path / "run")
    source = read_source(run, named=["p-000200"])
    assert sorted(source.order) == sorted([*(row.problem_id for row in source.rows), *run.log.open_problems])
    ranked = ["p-000200", *sorted(run.log.open_problems)]
    ranked += [row.problem_id for row in source.rows if row.status is Status.FAILED]
    assert list(source.order[: len(ranked)]) == ranked
    extreme = {row.problem_id for row in [*dearest(source.rows, 100), *slowest(source.rows, 100)]}
    place = {problem_id: at for at, problem_id in enumerate(source.order)}
    wrong = [row.problem_id for row in source.rows if row.correct is False]
    rest = [row.problem_id for row in source.rows if row.correct and row.problem_id not in {*extreme, "p-000200"}]
    assert max(place[problem_id] for problem_id in extreme) < min(
        place[problem_id] for problem_id in wrong if problem_id not in extreme
    )
    assert max(place[problem_id] for problem_id in wrong) < min(place[problem_id] for problem_id in rest)
    assert read_source(run, named=["p-000200"]).order == source.order


@pytest.mark.long
def test_ten_thousand_problems_stay_within_the_bound(tmp_path: Path) -> None:
    """As `benchmarks.report_page`, with smaller trees and less room; the time to open is measured there."""
    problems = made_problems(10_000)
    write_run(tmp_path / "run", problems, strategy={"name": "sample"}, talk=replace(CHATTER, num_steps=2))
    page = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "run"), "--output", str(page), "--max-mb", "4"]) == 0
    assert 2_000_000 < page.stat().st_size <= 4_000_000
    text = page.read_text()
    table = unpacked(re.search(r'id="table">([^<]*)<', text)[1])  # type: ignore[index]
    assert table["id"] == [problem.problem_id for problem in problems]
    num_trees = sum(chunk >= 0 for chunk in table["chunk"])
    assert f"room for {num_trees:,} of 10,000 search trees" in text


def test_a_page_that_has_no_room_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "run", made_problems(3), strategy=BEST_OF_4)
    arguments = ["report", str(tmp_path / "run"), "--output", str(tmp_path / "report.html"), "--max-mb", "0.5"]
    assert main(arguments) == 2
    assert f"takes {2 * RESERVED_BYTES / 1e6:g} at least" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "is not a run"),
        (["run", "--output", "."], "name a file"),
        (["run", "--output", "s3://bucket"], "name a file"),
        (["run", "--output", "missing/folder/report.html"], "cannot be written"),
        (["run", "--problem", "nobody"], "--problem nobody"),
        (["run", "elsewhere"], "no problem id in common"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run", made_problems(3), strategy=BEST_OF_4)
    others = [replace(problem, problem_id=f"x{problem.problem_id}") for problem in made_problems(3)]
    write_run(tmp_path / "elsewhere", others, strategy=BEST_OF_4)
    before = sorted(path.name for path in tmp_path.iterdir())
    assert main(["report", *arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert said in line
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_it_is_written_here_by_default_and_json_says_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "run", made_problems(8), strategy=BEST_OF_4)
    write_run(tmp_path / "other", made_problems(8), strategy=BEST_OF_4, seed=2)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["report", str(tmp_path / "run"), str(tmp_path / "other"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["report.html"]
    assert said["bytes"] == (tmp_path / "here" / "report.html").stat().st_size
    assert (said["state"], said["num_problems"], said["num_trees"], said["num_listed"]) == ("finished", 8, 8, 8)
    assert said["summary"]["problems"]["succeeded"] == said["paired"]["num_problems"] == 8
    assert set(said["prm"]) == {"bare question", "finished samples", "chosen path"}
    assert [line["label"] for line in said["curve"]["lines"]][:2] == ["best-of-n", "majority"]


@pytest.mark.parametrize("usd_per_hour", [None, 2.0])
def test_money_is_counted_where_there_is_a_price_and_unknown_elsewhere(
    tmp_path: Path, usd_per_hour: float | None
) -> None:
    write_run(tmp_path / "run", made_problems(8), strategy=BEST_OF_4, usd_per_hour=usd_per_hour)
    page = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "run"), "--output", str(page)]) == 0
    text = page.read_text()
    total = read_run(tmp_path / "run").totals.usd
    card = re.search(r"<dt>USD</dt><dd><span class=\"big\">([^<]*)<", text)
    assert card
    assert card[1] == ("unknown" if total is None else f"{total:.4g}")
    assert ("Dearest problems, by USD" in text) == (total is not None)
    table = unpacked(re.search(r'id="table">([^<]*)<', text)[1])  # type: ignore[index]
    assert sum(usd or 0.0 for usd in table["usd"]) == pytest.approx(total or 0.0, rel=1e-3)


def test_two_runs_are_compared_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "run", made_problems(20), strategy=BEST_OF_4)
    write_run(tmp_path / "other", made_problems(20), strategy={"name": "sample"}, seed=2)
    page = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "run"), str(tmp_path / "other"), "--output", str(page)]) == 0
    out = capsys.readouterr().out
    assert "McNemar's exact p" in out
    assert "Report: " in out
    assert "Problems that changed" in page.read_text()


def test_a_run_in_an_object_store_is_reported_into_it(moto_bucket: Bucket, tmp_path: Path) -> None:
    write_run(tmp_path / "run", made_problems(5), strategy=BEST_OF_4)
    uri = moto_bucket.uri("run")
    store = open_store(uri)
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file():
            store.upload(path.relative_to(tmp_path / "run").as_posix(), path)
    assert main(["report", uri, "--output", f"{uri}/report.html"]) == 0
    written = store.read("report.html")
    assert written is not None
    assert uri in written.decode()


def test_a_run_without_a_row_has_a_page_too(tmp_path: Path) -> None:
    write_run(tmp_path / "run", made_problems(5), strategy=BEST_OF_4, num_done=0)
    page = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "run"), "--output", str(page)]) == 0
    text = page.read_text()
    assert "Nothing was graded yet." in text
    assert "This run has stopped before its end" in text


def test_code_that_a_run_names_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "planted_code.py").write_text("raise SystemExit('this was run')\n")
    monkeypatch.syspath_prepend(tmp_path)
    manifest = made_manifest({"name": "planted_code:search"}, 1, 0)
    grader: Any = {"kind": "planted_code:grade", "timeout_s": 1.0, "num_workers": 1}
    manifest = replace(manifest, recipe=manifest.recipe | {"grader": grader})
    assert "which a report does not run" in str(Replayer.of(manifest).why_not)
    writer = Writer(LocalStore(tmp_path / "run"), tmp_path / "spool")
    writer.open(manifest, this_process())
    writer.append(0, *packed_rows([builders.record("a")]))
    writer.finish(["a"], spent_tokens=10)
    page = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "run"), "--output", str(page)]) == 0
    assert "which a report does not run" in page.read_text()


def test_a_recipe_of_another_version_costs_the_choices_and_nothing_else(tmp_path: Path) -> None:
    write_run(tmp_path / "run", made_problems(3), strategy=BEST_OF_4)
    run = read_run(tmp_path / "run")
    manifest = replace(run.manifest, recipe=run.manifest.recipe | {"strategy": {"name": "never-heard-of"}})
    LocalStore(tmp_path / "run").replace(layout.MANIFEST, encode(manifest))
    source = read_source(read_run(tmp_path / "run"))
    assert "cannot read the run's recipe" in str(source.replayer.why_not)
    assert all(tree.kept is None and tree.pruned_tokens is None for tree in source.trees())
    assert main(["report", str(tmp_path / "run"), "--output", str(tmp_path / "report.html")]) == 0


def test_a_changed_strategy_is_noticed_and_the_choice_unknown(tmp_path: Path) -> None:
    write_run(tmp_path / "run", made_problems(3), strategy=BEST_OF_4)
    run = read_run(tmp_path / "run")
    strategy: Any = BEST_OF_4 | {"num_samples": 5}
    manifest = replace(run.manifest, recipe=run.manifest.recipe | {"strategy": strategy})
    LocalStore(tmp_path / "run").replace(layout.MANIFEST, encode(manifest))
    assert all(tree.chosen is None for tree in read_source(read_run(tmp_path / "run")).trees())


def test_state_is_told_from_files(tmp_path: Path) -> None:
    write_run(tmp_path / "run", made_problems(4), strategy=BEST_OF_4, num_done=2)
    run = read_run(tmp_path / "run")
    assert run.lease is not None
    now_s = 1_800_000_000.0
    fresh = replace(run.lease, heartbeat_at=utc(now_s - 1), released_at=None)
    assert state_of(run, now_s=now_s) == "stopped"
    assert state_of(replace(run, lease=fresh), now_s=now_s) == "running"
    assert state_of(replace(run, lease=fresh), now_s=now_s + 3600) == "stopped"
    assert state_of(replace(run, lease=None), now_s=now_s) == "stopped"


def test_a_diagram_takes_its_colours_from_the_page() -> None:
    svg = inline_svg(
        lambda figure: figure.subplots().plot([0, 1], [0, 1], color=SERIES[0], label="a < b"),  # type: ignore[arg-type]
        Words("name", "A title & more", "What there is to be seen"),
    )
    assert not any(colour in svg for colour in THEME_COLOURS)
    assert "stroke-s1" in svg
    assert "style" not in svg
    assert 'role="img" class="plot" aria-labelledby="name-title name-description"' in svg
    assert '<title id="name-title">A title &amp; more</title>' in svg
    names = set(re.findall(r'\bid="([^"]+)"', svg))
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', svg))
    assert used <= names
    assert all(name.startswith("name-") for name in names)


def test_no_more_is_read_than_memory_holds_and_the_sample_always_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "run", made_problems(30), strategy=BEST_OF_4)
    run = read_run(tmp_path / "run")
    whole = read_source(run)
    assert len(list(whole.trees())) == len(whole.sample) == 30
    few = set(whole.order[3:20:4])
    assert list(whole.trees(few.__contains__)) == [tree for tree in whole.trees() if tree.problem_id in few]
    tokens = sorted(row.generated_tokens for row in whole.rows)
    monkeypatch.setattr(source_module, "_MOST", replace(source_module._MOST, tokens=sum(tokens[-10:])))
    monkeypatch.setattr(source_module, "_MOST_SAMPLED", replace(source_module._MOST_SAMPLED, tokens=sum(tokens[:5])))
    source = read_source(run)
    read = [tree.problem_id for tree in source.trees()]
    assert 0 < len(source.sample) <= 5
    assert set(source.sample) <= set(read)
    assert len(source.sample) < len(read) < 30
    assert read == [problem_id for problem_id in source.order if problem_id in set(read)]
    page = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "run"), "--output", str(page)]) == 0
    assert f"From a seeded sample of {len(source.sample)} problems." in page.read_text()
    assert f"room for {len(read)} of 30 search trees" in page.read_text()
