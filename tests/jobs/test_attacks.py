"""Attacks that we keep: whoever wrote the recipe, the problems, the model's folder or the run gets a refusal in a line.

Each is one command in a process of its own, within 1 GiB of memory and 10 s of a core: it runs no code, sends the
terminal no command, ends in no traceback, and says which bound or which file.
"""

import gzip
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fuzz.mutations import as_toml, write
from tests.support.bounded_process import attempt, server
from tests.support.stored_runs import stored_run

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples/arithmetic"
PROBLEMS = [{"id": "a", "question": "1 + 1?", "answer": "2"}, {"id": "b", "question": "2 + 2?", "answer": "4"}]
SCRIPTED = {
    "generator": {"kind": "scripted"},
    "strategy": {"name": "majority", "num_samples": 2},
}
ESCAPE = "\x1b[2J\x1b]0;owned\x07\u202e\x9b31m"
Attack = Callable[[Path], list[str]]


@pytest.fixture(scope="module")
def context():
    return server()


@pytest.fixture(scope="module")
def good_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "good"
    stored_run(folder, "strategy={name='best-of-n', num_samples=3}", num_problems=4)
    return folder


def with_recipe(text: str | bytes) -> Attack:
    def made(folder: Path) -> list[str]:
        write(folder / "r.toml", text)
        write(folder / "p.jsonl", lines(PROBLEMS))
        return ["check", str(folder / "p.jsonl"), "--recipe", str(folder / "r.toml")]

    return made


def with_set(text: str) -> Attack:
    return lambda folder: [*with_recipe(as_toml(SCRIPTED))(folder), f"--set={text}"]


def with_problems(name: str, content: bytes | Callable[[Path], object]) -> Attack:
    def made(folder: Path) -> list[str]:
        if callable(content):
            content(folder / name)
        else:
            write(folder / name, content)
        write(folder / "r.toml", as_toml(SCRIPTED))
        return ["check", str(folder / name), "--recipe", str(folder / "r.toml")]

    return made


def with_model(file: str, content: bytes | Callable[[Path], object], *sets: str) -> Attack:
    def made(folder: Path) -> list[str]:
        shutil.copytree(EXAMPLE / "generator", folder / "model")
        (folder / "model" / file).unlink(missing_ok=True)
        if callable(content):
            content(folder / "model" / file)
        else:
            write(folder / "model" / file, content)
        write(folder / "p.jsonl", lines(PROBLEMS))
        recipe = EXAMPLE / "majority.toml"
        given = ["score", str(folder / "p.jsonl"), "--recipe", str(recipe), "--output", str(folder / "out")]
        return [*given, f"--set=generator.model={folder / 'model'}", *(f"--set={each}" for each in sets)]

    return made


def lines(rows: Sequence[Mapping[str, object]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def header(content: bytes) -> bytes:
    return len(content).to_bytes(8, "little") + content


def one_gzip_line(path: Path) -> None:
    """2.5 GB in one line, of 2.5 MB."""
    with gzip.open(path, "wb", compresslevel=9) as file:
        for _ in range(20):
            file.write(b'{"question": "' if file.tell() == 0 else b"x" * 2**22)


def endless_gzip_lines(path: Path) -> None:
    block = gzip.compress(b"\n" * 2**24, 9)
    path.write_bytes(block * 64)  # a gigabyte of blank lines, and each member by itself is a gzip file


def huge_cells(path: Path) -> None:
    pq.write_table(pa.table({"question": ["x" * 2**27], "answer": ["1"]}), path, compression="zstd")


def one_cell_in_many_rows(path: Path) -> None:
    values = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["x" * 900_000]))
    pq.write_table(pa.table({"question": values}), path, compression="zstd")


def endless_rows(path: Path) -> None:
    pq.write_table(pa.table({"question": pa.nulls(30_000_000, pa.string())}), path, compression="zstd")


def list_without_end(path: Path) -> None:
    items = pa.ListArray.from_arrays(pa.array([0, 30_000_000], pa.int32()), pa.nulls(30_000_000, pa.int8()))
    pq.write_table(pa.table({"question": items}), path, compression="zstd")


def deep_parquet(path: Path) -> None:
    kind = pa.string()
    for _ in range(60):
        kind = pa.list_(kind)
    pq.write_table(pa.table({"question": pa.nulls(1, kind)}), path)


def pickled_weights(path: Path) -> None:
    path.with_name("pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")


def at_an_address_with_a_password(folder: Path) -> list[str]:
    write(folder / "r.toml", as_toml(SCRIPTED))
    return ["check", "s3://me:s3cret@bucket/p.jsonl", "--recipe", str(folder / "r.toml")]


LOOP = b"{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}"
MODEL_CHAT = ("generator.chat=true",)

ATTACKS: dict[str, tuple[Attack, str]] = {
    # name: (what is given, what the refusal says)
    "a recipe of 100,000 dotted keys": (with_recipe("".join(f"a.b{n}.c = 1\n" for n in range(100_000))), "1,048,576"),
    "a recipe of 30,000 keys": (with_recipe("".join(f"k{n} = 1\n" for n in range(30_000))), "2,000 values"),
    "a key of 100,000 parts": (with_recipe("a." * 100_000 + "b = 1\n"), "64 levels"),
    "a table name of 100,000 parts": (with_recipe("[" + '"a".' * 100_000 + "b]\n"), "64 levels"),
    "nested arrays in a recipe": (with_recipe("a = " + "[" * 100_000), "64 levels"),
    "nested tables in a recipe": (with_recipe("a = " + "{a = " * 5_000), "64 levels"),
    "an integer of a million digits in a recipe": (with_recipe("seed = " + "1" * 1_000_000), "limit"),
    "unknown keys in a recipe": (
        with_recipe("[generator]\n" + "".join(f"x{n} = 1\n" for n in range(1_900))),
        "more mistakes",
    ),
    "a text of a megabyte in a recipe": (
        with_recipe('[strategy]\nname = "' + "x" * 1_000_000 + '"'),
        "more characters",
    ),
    "an escape in a recipe": (
        with_recipe(as_toml({"strategy": {"name": ESCAPE}, "generator": {"kind": "scripted"}})),
        "u001b",
    ),
    "an escape in the name of a key": (with_recipe(as_toml(SCRIPTED | {ESCAPE: {ESCAPE: 1}})), "u001b"),
    "a password in a recipe": (
        with_recipe(as_toml(SCRIPTED | {"cluster": {"address": "ray://me:s3cret@10.0.0.1:10001"}})),
        "leave it out",
    ),
    "a recipe that is a device": (lambda folder: ["check", "p.jsonl", "--recipe", "/dev/zero"], "no regular file"),
    "nested --set": (with_set("generator.model=" + "[" * 30_000), "64 levels"),
    "a key of --set of 10,000 parts": (with_set("a." * 10_000 + "b=1"), "section.key=value"),
    "an integer in --set": (with_set("seed=" + "1" * 100_000), "limit"),
    "an escape in --set": (with_set(f"strategy.name={ESCAPE}"), "u001b"),
    "an attribute in a template": (
        with_set("generator.prompt_template={question.__class__}"),
        "braces that are text are doubled",
    ),
    "a line of gigabytes in gzip": (with_problems("p.jsonl.gz", one_gzip_line), "16,777,216 bytes"),
    "lines without end in gzip": (with_problems("p.jsonl.gz", endless_gzip_lines), "unpack to more than"),
    "a CSV line without end": (with_problems("p.csv", b"question," + b"x," * 9_000_000), "16,777,216 bytes"),
    "a CSV header of 3 MB": (with_problems("p.csv", b"x" * 3_000_000 + b"\n1\n"), "more characters"),
    "a CSV header of a million columns": (
        with_problems("p.csv", b"question" + b",x" * 1_000_000 + b"\n"),
        "10,000 are read",
    ),
    "a quote that nobody closes": (with_problems("p.csv", b'question\n"' + b"x\n" * 9_000_000), "16,777,216 bytes"),
    "nested JSON in a line": (with_problems("p.jsonl", b'{"question": ' + b"[" * 100_000), "64 levels"),
    "nested JSON in a key": (
        with_problems(
            "p.jsonl", b'{"question": "q", "x": ' + b"[" * 60 + b"]" * 60 + b', "y": ' + b"[" * 70 + b"]" * 70 + b"}"
        ),
        "64 levels",
    ),
    "an integer of 5,000 digits": (
        with_problems("p.jsonl", b'{"question": "q", "answer": ' + b"1" * 5_000 + b"}"),
        "4,300",
    ),
    "a number beyond all": (with_problems("p.jsonl", b'{"question": "q", "answer": 1e999}'), "larger than any"),
    "NaN": (with_problems("p.jsonl", b'{"question": "q", "answer": NaN}'), "NaN"),
    "a key twice": (with_problems("p.jsonl", b'{"question": "q", "question": "r"}'), "twice"),
    "values without end in a line": (
        with_problems("p.jsonl", b'{"question": [' + b"[]," * 2_500_000 + b"1]}"),
        "2,000,000 values",
    ),
    "an escape in an id": (with_problems("p.jsonl", lines([{"id": ESCAPE, "question": "q"}])), "control characters"),
    "a way out in an id": (with_problems("p.jsonl", lines([{"id": "../../x", "question": "q"}])), "lead out"),
    "half a surrogate": (with_problems("p.jsonl", b'{"question": "\\ud800"}'), "surrogate"),
    "a problem file that is a pipe": (with_problems("p.jsonl", os.mkfifo), "no regular file"),
    "a problem file that is a device": (
        with_problems("p.jsonl", lambda path: path.symlink_to("/dev/zero")),
        "no regular file",
    ),
    "a Parquet cell of 128 MB": (with_problems("p.parquet", huge_cells), "117,440,512"),
    "a Parquet cell in many rows": (with_problems("p.parquet", one_cell_in_many_rows), "unpack to more than"),
    "Parquet rows without end": (with_problems("p.parquet", endless_rows), "unpack to more than"),
    "a Parquet list without end": (with_problems("p.parquet", list_without_end), "unpack"),
    "nested Parquet": (with_problems("p.parquet", deep_parquet), "32 levels"),
    "a Parquet footer that lies": (
        with_problems("p.parquet", b"PAR1" + b"\x15" * 100 + (100).to_bytes(4, "little") + b"PAR1"),
        "Parquet",
    ),
    "an address with a password": (at_an_address_with_a_password, "not an address"),
    "nested config.json": (with_model("config.json", b"[" * 100_000), "64 levels"),
    "a config.json that is a list": (with_model("config.json", b"[]"), "not an object"),
    "a config.json of odd values": (
        with_model("config.json", b'{"architectures": {"a": 1}, "max_position_embeddings": 1e300}'),
        "architectures",
    ),
    "a config.json that is a device": (
        with_model("config.json", lambda path: path.symlink_to("/dev/zero")),
        "no regular file",
    ),
    "a nested safetensors header": (with_model("model.safetensors", header(b"[" * 100_000)), "64 levels"),
    "a safetensors header that is a list": (with_model("model.safetensors", header(b"[]")), "not an object"),
    "a safetensors header of 2**62 bytes": (
        with_model("model.safetensors", (2**62).to_bytes(8, "little") + b"{}"),
        "safetensors",
    ),
    "a safetensors header of odd entries": (
        with_model("model.safetensors", header(b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": "x"}}')),
        "no dtype",
    ),
    "pickled weights": (with_model("model.safetensors", pickled_weights), "no *.safetensors"),
    "a nested tokenizer": (with_model("tokenizer.json", b"[" * 100_000), "cannot be read"),
    "a tokenizer of nothing": (with_model("tokenizer.json", b"{}"), "cannot be read"),
    "a tokenizer that is a pipe": (with_model("tokenizer.json", os.mkfifo), "tokenizer is needed"),
    "a chat template that loops": (with_model("chat_template.jinja", LOOP, *MODEL_CHAT), "for a sentence"),
    "a chat template that allocates": (
        with_model("chat_template.jinja", b"{{ 'a' * 10**10 }}", *MODEL_CHAT),
        "for a sentence",
    ),
    "a chat template that recurses": (
        with_model("chat_template.jinja", b"{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", *MODEL_CHAT),
        "refuses a chat",
    ),
    "a chat template that looks around": (
        with_model("chat_template.jinja", b"{{ messages.__class__.__mro__ }}", *MODEL_CHAT),
        "chat template",
    ),
    "nested tokenizer_config.json": (
        with_model("tokenizer_config.json", b'{"chat_template": ' + b"[" * 100_000, *MODEL_CHAT),
        "64 levels",
    ),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.ci if place % 2 else ()) for place, name in enumerate(ATTACKS)]
)
def test_an_input_is_refused_in_a_line(context, tmp_path, name):
    make, said = ATTACKS[name]
    arguments = make(tmp_path)
    ended = attempt(context, arguments, tmp_path, plan_only=arguments[0] == "score")
    assert ended.fault is None, ended.err[-500:]
    assert ended.status == 2, ended.out[-500:]
    assert said in ended.err
    assert len(ended.err) < 20_000
    assert "s3cret" not in ended.err
    assert not (tmp_path / "owned").exists()


def replaced(name: str, content: bytes | Callable[[Path], object]) -> Callable[[Path], None]:
    def made(there: Path) -> None:
        path = there / name if "*" not in name else next(there.glob(name))
        path.unlink()
        if callable(content):
            content(path)
        else:
            path.write_bytes(content)

    return made


def changed(name: str, key: str, value: object) -> Callable[[Path], None]:
    def made(there: Path) -> None:
        path = there / name
        content = json.loads(path.read_text())
        *outer, last = key.split(".")
        section = content
        for each in outer:
            section = section[each]
        section[last] = value
        path.write_text(json.dumps(content))

    return made


def whole_folder_elsewhere(there: Path) -> None:
    shutil.move(there / "_commits", there.parent / "elsewhere")
    (there / "_commits").symlink_to(there.parent / "elsewhere")


def infinite(there: Path) -> None:
    file = there / "_manifest.json"
    file.write_text(file.read_text().replace('"seed":', '"x": Infinity, "seed":', 1))


def full_of_holes(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**34)


def nested_json(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


IN_RUNS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a nested manifest": (replaced("_manifest.json", nested_json(100_000)), "64 levels"),
    "a manifest that is a list": (replaced("_manifest.json", b"[]"), "must be an object"),
    "a manifest that is a device": (
        replaced("_manifest.json", lambda path: path.symlink_to("/dev/zero")),
        "no regular file",
    ),
    "a manifest that is a pipe": (replaced("_manifest.json", os.mkfifo), "no regular file"),
    "a manifest full of holes": (replaced("_manifest.json", full_of_holes), "67,108,864"),
    "a manifest elsewhere": (
        replaced("_manifest.json", lambda path: path.symlink_to("/etc/passwd")),
        "leads out of the run",
    ),
    "a number of 400 digits": (changed("_manifest.json", "num_problems", 10**400), "64 bits"),
    "an infinite number": (infinite, "Infinity"),
    "a commit without end": (replaced("_commits/*.json", b"[" + b"[]," * 3_000_000 + b"1]"), "2,000,000 values"),
    "commits elsewhere": (whole_folder_elsewhere, "leads out of the run"),
    "a part elsewhere": (
        replaced("problems/part-*.parquet", lambda path: path.symlink_to("/etc/passwd")),
        "leads out of the run",
    ),
    "a part that is a pipe": (replaced("problems/part-*.parquet", os.mkfifo), "no regular file"),
    "a part that is something else": (replaced("problems/part-*.parquet", b"PAR1" * 100), "damaged"),
    "a part's name that leads out": (
        changed(
            "_commits/0000000002.json",
            "parts",
            [{"table": "problems", "name": "problems/../../part-1.parquet", "rows": 1, "bytes": 1, "sha256": ""}],
        ),
        "no part of table",
    ),
}


@pytest.mark.parametrize("command", ["report", "export", "replay"])
@pytest.mark.parametrize("name", IN_RUNS)
def test_a_run_is_refused_in_a_line(context, tmp_path, good_run, name, command):
    make, said = IN_RUNS[name]
    there = tmp_path / "run"
    shutil.copytree(good_run, there)
    make(there)
    more = {"report": ["--output", "r.html"], "export": ["--layout", "paths", "--output", "e.jsonl"]}
    ended = attempt(context, [command, str(there), *more.get(command, ["--output", "replayed"])], tmp_path)
    assert ended.fault is None, ended.err[-500:]
    assert ended.status == 2, ended.out[-500:]
    assert said in ended.err
    assert len(ended.err) < 20_000


@pytest.mark.parametrize("command", ["status", "report", "export", "replay"])
def test_a_file_is_no_run(context, tmp_path, command):
    (tmp_path / "file").write_text("x")
    more = {"report": ["--output", "r.html"], "export": ["--layout", "paths", "--output", "e.jsonl"], "status": []}
    ended = attempt(context, [command, "file", *more.get(command, ["--output", "replayed"])], tmp_path)
    assert (ended.status, ended.fault) == (2, None)
    assert "is a file, and a run is a folder" in ended.err


def test_what_a_run_says_is_text(context, tmp_path, good_run):
    """An escape in the manifest, in a lease, in the strategy's name, reaches no terminal."""
    there = tmp_path / "run"
    shutil.copytree(good_run, there)
    changed("_manifest.json", "recipe.strategy.name", f"a{ESCAPE}:b")(there)
    changed("_manifest.json", "warnings", [ESCAPE])(there)
    changed("_manifest.json", "models.generator.model", ESCAPE)(there)
    export = ["export", "run", "--layout", "paths", "--output", "e.jsonl"]
    for arguments in (["status", "run"], ["status", "run", "--json"], ["report", "run"], export):
        ended = attempt(context, arguments, tmp_path)
        assert ended.fault is None, (arguments, ended.err[-300:])


HOSTILE_ANSWERS = (
    "10**10**10", "9^{9^{9^{9}}}", "1000000!", "(" * 5_000, "\\frac{" * 2_000 + "1", "\\sqrt[" * 500, "x^" * 3_000,
    "1" * 5_000, "0." + "3" * 100_000, "\\begin{pmatrix}" * 300, "a" * 50_000 + "!", "1," * 20_000, "{" * 10_000,
    "\\boxed{" * 5_000, ESCAPE, "=cmd|' /C calc'!A0", "2^{-9999999999}", "\\binom{1000000}{500000}", "1e999999999",
    "\u0663" * 1000, "\\text{" * 2_000, "|" * 3_000, "\\left(" * 1_500, "((1+1)^" * 800, "\\log_{2}" * 1_000,
)  # fmt: skip


def test_answers_are_read_within_bounds(context, tmp_path):
    write(tmp_path / "s.jsonl", lines([{"solution": f"The answer is \\boxed{{{each}}}"} for each in HOSTILE_ANSWERS]))
    ended = attempt(context, ["check", "--extract", "s.jsonl", "--json"], tmp_path)
    assert (ended.status, ended.fault) == (0, None), ended.err[-300:]
    assert len(ended.out.splitlines()) == len(HOSTILE_ANSWERS)


@pytest.mark.parametrize("grader", ["exact", "numeric", "multiple-choice"])
def test_answers_are_graded_within_bounds(context, tmp_path, grader):
    rows = [{"answer": each, "reference": "2"} for each in HOSTILE_ANSWERS]
    write(tmp_path / "g.jsonl", lines(rows))
    ended = attempt(context, ["check", "--grade", "g.jsonl", "--grader", grader, "--json"], tmp_path)
    assert (ended.status, ended.fault) == (0, None), ended.err[-300:]
