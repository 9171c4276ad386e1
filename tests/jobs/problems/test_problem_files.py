"""JSON Lines, CSV and Parquet: the same problems from each, every mistake in its place, one batch held at a time."""

import csv
import gzip
import json
import sys
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.problems.problem_set import ProblemColumns, inspect_problems
from jobs.problems.rows import MAX_ID_CHARS
from records.failure import InvalidInput
from records.problem import Problem

pytestmark = pytest.mark.slow

AUTO = ProblemColumns()
FORMATS = ("p.jsonl", "p.jsonl.gz", "p.csv", "p.csv.gz", "p.parquet")
NAMES = ("id", "question", "answer")


def write(path: Path, rows: Sequence[dict[str, object]]) -> Path:
    """Write rows of equal columns in the format of the path's extension."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
        return path
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8", newline="") as file:
        if ".csv" in path.suffixes:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def as_rows(problems: Sequence[Problem]) -> list[dict[str, object]]:
    return [dict(zip(NAMES, (p.problem_id, p.question, p.reference), strict=True)) for p in problems]


def mistakes(path: Path, columns: ProblemColumns = AUTO) -> list[str]:
    with pytest.raises(InvalidInput) as refused:
        inspect_problems(path, columns)
    return [line.removeprefix(str(path)) for line in str(refused.value).split("\n  ")[1:]]


texts = st.text().filter(lambda text: text.strip() and "####" not in text)
ids = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=MAX_ID_CHARS).filter(
    lambda text: text.strip() and not text.startswith("/") and ".." not in text.split("/")
)
problem_sets = st.lists(
    st.builds(Problem, ids, texts, st.none() | texts), min_size=1, unique_by=lambda problem: problem.problem_id
)


@given(problem_sets)
def test_every_format_gives_the_same_problems(tmp_path_factory: pytest.TempPathFactory, drawn: list[Problem]) -> None:
    folder = tmp_path_factory.mktemp("drawn")
    read = [inspect_problems(write(folder / name, as_rows(drawn)), AUTO) for name in FORMATS]
    assert [list(problems) for problems in read] == [drawn] * len(FORMATS)
    assert len({problems.fingerprint for problems in read}) == 1


@pytest.mark.parametrize("name", FORMATS)
def test_ids_are_made_alike_in_every_format(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, [{"question": "q\nr"}, {"question": "s"}])
    problems = inspect_problems(path, AUTO)
    assert list(problems) == [Problem("row-000001", "q\nr"), Problem("row-000002", "s")]
    limited = inspect_problems(path, AUTO, limit=1)
    assert list(limited) == [Problem("row-000001", "q\nr")]


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_without_problems_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"question": pa.array([], pa.string())}), path)
    else:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "wt") as file:
            file.write("id,question\n" if ".csv" in path.suffixes else "\n")
    with pytest.raises(InvalidInput, match="there are no problems in it"):
        inspect_problems(path, AUTO)


@pytest.mark.parametrize("name", ["p.json", "p.tsv", "p.parquet.gz", "p", "p.jsonl.zst", "s3://bucket/p.txt"])
def test_an_unknown_extension_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"known are \.jsonl, \.jsonl\.gz, \.csv, \.csv\.gz, \.parquet$"):
        inspect_problems(name, AUTO)


def test_what_is_neither_here_nor_on_s3_nor_on_a_hub_is_refused() -> None:
    with pytest.raises(InvalidInput, match="from a local disk, from s3://BUCKET/KEY, or from hf://datasets"):
        inspect_problems("https://host/p.jsonl", AUTO)


@pytest.mark.parametrize("name", FORMATS)
def test_s3_is_staged_wherever_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    local = write(tmp_path / name, [{"id": "a", "question": "q", "answer": "1"}])
    asked: list[str] = []

    def stage_file(uri: str) -> Path:
        asked.append(uri)
        return local

    monkeypatch.setitem(sys.modules, "cluster.staging", SimpleNamespace(stage_file=stage_file))
    uri = f"s3://bucket/folder/{name}"
    problems = inspect_problems(uri, AUTO)
    assert asked == [uri]
    assert list(problems) == [Problem("a", "q", "1")]
    assert asked == [uri] * 2


def test_mistakes_of_a_csv_file_are_told_with_the_line_where_their_row_begins(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(
        b"\xef\xbb\xbfid,question,answer,unused\r\n"  # line 1
        b'a,"two\r\nlines, and a ""quote""",1,\r\n'  # 2, 3
        b"\r\n"
        b"b,too few\r\n"  # 5
        b"c,too,many,cells,here\r\n"  # 6
        b'd,"q\nr",\xff,\r\n'  # 7, 8
        b",no id,1,\r\n"  # 9
        b"e,,1,\r\n"  # 10
        b'f,"not "closed properly",1,\r\n'  # 11
        b"g,q,,\r\n"  # 12: no key
        b"a,again,1,\r\n"  # 13
        b'h,"never closed,1,\r\n'  # 14
    )
    assert [found.split(";")[0] for found in mistakes(path)] == [
        ":5: there are 2 cells, and 4 columns",
        ":6: there are 5 cells, and 4 columns",
        ":7: not UTF-8",
        ":9: the id is empty",
        ":10: 'question' is empty",
        ":11: not CSV: ',' expected after '\"'",
        ":13: the id 'a' is also that of line 2",
        ":14: not CSV: unexpected end of data",
    ]


@pytest.mark.parametrize(
    ("header", "mistake"),
    [
        (b"id,question,id", ":1: the column 'id' is there twice"),
        (b"id,qu\xffestion", ":1: the names of the columns are not UTF-8"),
        (b'id,"question" x', ":1: not CSV: ',' expected after '\"'"),
        (b"id;question", ":1: no column is known"),
        (b"stem,text,x", ":1: no column is known"),
        (b"id,text,x", ":2: no question"),
    ],
)
def test_a_csv_header_that_cannot_be_used_is_told_once(tmp_path: Path, header: bytes, mistake: str) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(header + b"\n" + b"a,q,b\n" * 5)
    [found] = mistakes(path)
    assert found.startswith(mistake)


def test_cells_of_a_csv_file_are_texts(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("id,question,answer\n007,1+1?,2.50\n8, q ,\n")
    assert list(inspect_problems(path, AUTO)) == [Problem("007", "1+1?", "2.50"), Problem("8", " q ", None)]


def test_a_quote_that_nobody_closes_is_not_held_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.problems.files.MAX_LINE_BYTES", 1000)
    path = tmp_path / "p.csv"
    path.write_text('id,question\na,"q\n' + "b,r\n" * 10_000)
    with pytest.raises(InvalidInput, match="a row has more than 1,000 bytes; is a quote missing"):
        inspect_problems(path, AUTO)


def test_mistakes_of_a_parquet_file_are_told_with_their_row(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    table = pa.table(
        {
            "id": ["a", None, "b", "a", "../x"],
            "question": pa.array([b"q", b"q", b"\xff", b"q", b"q"]).view(pa.string()),
            "answer": [1.5, 1.0, 2.0, 3.0, float("nan")],
        }
    )
    pq.write_table(table, path)
    assert [found.split(";")[0] for found in mistakes(path)] == [
        ": row 2: the id is empty",
        ": row 3: a text is not UTF-8",
        ": row 4: the id 'a' is also that of row 1",
        ": row 5: the id '../x' would lead out of the run's folder",
    ]


@pytest.mark.parametrize(
    ("values", "mistake"),
    [
        ([float("nan")], ": row 1: 'answer' is nan, which is no answer"),
        ([b"1"], ": row 1: 'answer' must be a text or a number, not bytes"),
        ([["1"]], ": row 1: 'answer' must be a text or a number, not an array"),
        ([True], ": row 1: 'answer' must be a text or a number, not true or false"),
    ],
)
def test_answers_of_the_wrong_type_are_told(tmp_path: Path, values: list[object], mistake: str) -> None:
    [found] = mistakes(write(tmp_path / "p.parquet", [{"question": "q", "answer": value} for value in values]))
    assert found.startswith(mistake)


def test_columns_that_a_parquet_file_lacks_are_told(tmp_path: Path) -> None:
    [found] = mistakes(write(tmp_path / "p.parquet", [{"stem": "q", "image": b"0"}] * 3))
    known = "neither question nor problem nor prompt nor input is a column"
    assert found == f": row 1: no question: {known}; the columns are: 'stem', 'image'"


def test_a_parquet_file_that_is_none_or_is_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    whole = write(path, [{"question": "q"}]).read_bytes()
    for content in (b"", b'{"question": "q"}\n', whole[:-20]):
        path.write_bytes(content)
        with pytest.raises(InvalidInput, match=r"p.parquet: cannot be read .*; is it a whole Parquet file\?"):
            inspect_problems(path, AUTO)
    rows = [{"id": str(n), "question": str(hash((n, "q"))) * 50} for n in range(3000)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=1000)
    damaged = bytearray(path.read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 5000] = bytes(5000)
    path.write_bytes(damaged)
    with pytest.raises(InvalidInput, match=r"p.parquet: (cannot be read( after row \d+)?|mistakes)"):
        inspect_problems(path, AUTO)
    with pytest.raises(InvalidInput, match=r"missing.parquet: cannot be read .*No such file"):
        inspect_problems(tmp_path / "missing.parquet", AUTO)


def test_a_gzip_file_that_is_none_or_is_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl.gz"
    whole = write(path, [{"id": n, "question": "q" * n} for n in range(1, 3000)]).read_bytes()
    for content in (b'{"question": "q"}\n', whole[:-20], whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(InvalidInput, match="the gzip file is broken or cut short"):
            inspect_problems(path, AUTO)


@given(st.binary(max_size=200))
def test_no_bytes_break_a_format(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("drawn")
    for name in FORMATS:
        (folder / name).write_bytes(content)
        with pytest.raises(InvalidInput, match=r"mistakes; nothing was started|no problems|Parquet|gzip"):
            inspect_problems(folder / name, AUTO)


@pytest.mark.parametrize("name", ["p.csv", "p.csv.gz"])
def test_a_text_file_is_streamed(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, [{"id": n, "question": f"{n:05}" * 4000} for n in range(1000)])
    inspect_problems(path, AUTO, limit=2)  # loads what it needs
    tracemalloc.start()
    num_read = sum(1 for _ in inspect_problems(path, AUTO))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert num_read == 1000
    assert peak_bytes < 1_000_000, "the file has 20 MB"


def test_a_parquet_file_is_streamed(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    block = pa.array([f"{n:010}" * 2000 for n in range(1000)])
    pq.write_table(pa.table({"question": pa.chunked_array([block] * 8)}), path, use_dictionary=False)
    pool = pa.default_memory_pool()
    held_before = pool.bytes_allocated()
    most_held, num_read = 0, 0
    for _ in inspect_problems(path, AUTO):
        num_read += 1
        most_held = max(most_held, pool.bytes_allocated() - held_before)
    assert num_read == 8000
    assert most_held < 40_000_000, "one row group of 160 MB"


def test_a_file_that_changes_under_way_is_noticed(tmp_path: Path) -> None:
    for name in FORMATS:
        rows: list[dict[str, object]] = [{"id": "a", "question": "q", "answer": "1"}]
        problems = inspect_problems(write(tmp_path / name, rows), AUTO)
        write(tmp_path / name, [*rows, {"id": "b", "question": "q", "answer": "1"}])
        with pytest.raises(InvalidInput, match="the file has changed since it was checked"):
            list(problems)
