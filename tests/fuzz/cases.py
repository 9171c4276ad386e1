"""The cases: what each kind of input is made of, how it is made wrong, and which command is told to read it."""

import gzip
import hashlib
import json
import random
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.command_line.commands import COMMANDS
from tests.fuzz.mutations import (
    ODD_TEXTS,
    as_toml,
    changed_bytes,
    changed_table,
    changed_value,
    nested,
    odd_value,
    spoiled_file,
    write,
    write_parquet,
)
from tests.support.stored_runs import stored_run

EXAMPLE = Path(__file__).parents[2] / "examples/arithmetic"
PROBLEMS = [
    {"id": f"p{number}", "question": f"What is {number} + 1?", "answer": str(number + 1)} for number in range(12)
]
RUNS = ("majority", "best-of-n", "beam-search")
LAYOUTS = ("preference", "stepwise", "distillation", "paths")


@dataclass(frozen=True, slots=True)
class FuzzCase:
    """One input made wrong.

    Attributes:
        kind: of the input.
        arguments: of `parsimony`.
        plan_only: of `score`: all of its checks, and nothing is started.
    """

    kind: str
    arguments: list[str]
    plan_only: bool = False


class Materials:
    """What is right and made wrong: some runs, and the example's recipes and models."""

    def __init__(self, folder: Path) -> None:
        self.recipes = [tomllib.loads(path.read_text()) for path in sorted(EXAMPLE.glob("*.toml"))]
        self.runs = [folder / name for name in RUNS]
        for run in self.runs:
            options = "num_samples=4, beam_width=2, max_steps=3" if run.name == "beam-search" else "num_samples=4"
            stored_run(
                run,
                f"strategy={{name='{run.name}', {options}}}",
                "answer.abstain_below=0.5" if run.name == "best-of-n" else "seed=3",
                num_problems=6,
            )

    def make(self, number: int, seed: int, folder: Path) -> FuzzCase:
        """Case `number`, its files in `folder`: the same each time."""
        rng = random.Random(f"{seed}/{number}")
        maker = rng.choices(list(_MAKERS), weights=list(_MAKERS.values()))[0]
        return maker(self, rng, folder)


def recipe(materials: Materials, rng: random.Random, folder: Path) -> FuzzCase:
    """A recipe: its text, its values, or its file."""
    tables = _recipe(materials, rng)
    path = folder / "r.toml"
    text = as_toml(tables)
    match rng.randrange(6):
        case 0:
            write(path, changed_bytes(rng, text.encode()))
        case 1:
            write(
                path,
                text
                + rng.choice(("x = ", "[x]\ny = ", ""))
                + nested(rng.choice((10, 65, 3_000, 200_000)), rng.choice(("list", "dict", "open"))),
            )
        case 2:
            write(
                path,
                "".join(
                    f"{rng.choice(('a', 'generator', 'x.y'))}.k{key} = 1\n"
                    for key in range(rng.choice((30, 3_000, 100_000)))
                ),
            )
        case 3:
            write(path, text)
            spoiled_file(rng, path)
            if path.is_fifo():
                path.unlink()
        case _:
            for _ in range(rng.choice((1, 1, 3))):
                tables = changed_value(rng, tables)
            write(path, as_toml(tables) if isinstance(tables, dict) else json.dumps(tables))
    return _checked(folder, path)


def override(materials: Materials, rng: random.Random, folder: Path) -> FuzzCase:
    """`--set`."""
    tables = _recipe(materials, rng)
    write(folder / "r.toml", as_toml(tables))
    section = rng.choice([name for name, value in tables.items() if isinstance(value, dict)])
    key = rng.choice(
        (f"{section}.{rng.choice(list(tables[section]))}", section, str(odd_value(rng))[:2_000], "a." * 1_000 + "b")
    )
    values = (
        json.dumps(odd_value(rng)),
        str(odd_value(rng)),
        nested(rng.choice((65, 5_000, 30_000)), "list"),
        "1" * 5_000,
        "{a=" * 2_000,
    )
    text = f"{key}={rng.choice(values)}".replace("\0", "")[:100_000].encode("utf-8", "replace").decode()
    case = _checked(folder, folder / "r.toml")
    return FuzzCase("--set", [*case.arguments, f"--set={text}"])


def problems(materials: Materials, rng: random.Random, folder: Path) -> FuzzCase:
    """A problem file of any format and compression."""
    write(folder / "r.toml", as_toml(_recipe(materials, rng)))
    form = rng.choice((".jsonl", ".csv", ".jsonl.gz", ".csv.gz", ".parquet"))
    path = folder / f"p{form}"
    rows: list[Any] = [dict(row) for row in PROBLEMS]
    for _ in range(rng.choice((0, 1, 3))):
        rows = changed_value(rng, rows)
        rows = rows if isinstance(rows, list) else PROBLEMS
    if form == ".parquet":
        table = changed_table(rng, pa.Table.from_pylist(PROBLEMS))
        write_parquet(path, table, rng)
        if rng.random() < 0.5:
            path.write_bytes(changed_bytes(rng, path.read_bytes()))
    else:
        data = _lines(rows, rng) if form.startswith(".jsonl") else _csv(rows, rng)
        data = changed_bytes(rng, data) if rng.random() < 0.5 else data
        data = gzip.compress(data) if form.endswith(".gz") else data
        write(path, changed_bytes(rng, data) if rng.random() < 0.2 else data)
    if rng.random() < 0.08:
        spoiled_file(rng, path)
    return FuzzCase(
        "problems",
        ["check", str(path), "--recipe", str(folder / "r.toml"), *rng.choice(([], ["--json"], ["--limit", "3"]))],
    )


def answers(materials: Materials, rng: random.Random, folder: Path) -> FuzzCase:
    """A file of solutions or of pairs."""
    texts = [str(rng.choice((*ODD_TEXTS, "4", "\\boxed{4}", "x^2+1", "\\frac{1}{2}")))[:20_000] for _ in range(4)]
    if rng.random() < 0.5:
        rows: list[Any] = [{"solution": text} for text in texts]
        flag = "--extract"
    else:
        rows = [{"answer": text, "reference": rng.choice(texts)} for text in texts[:2]]
        flag = "--grade"
    rows = changed_value(rng, rows) if rng.random() < 0.3 else rows
    write(folder / "a.jsonl", _lines(rows if isinstance(rows, list) else [rows], rng))
    grader = (
        [] if flag == "--extract" else ["--grader", rng.choice(("exact", "numeric", "multiple-choice", "math-verify"))]
    )
    return FuzzCase("answers", ["check", flag, str(folder / "a.jsonl"), *grader, *rng.choice(([], ["--json"]))])


def model(materials: Materials, rng: random.Random, folder: Path) -> FuzzCase:
    """The folder of a generator or a PRM."""
    role = rng.choice(("generator", "prm"))
    shutil.copytree(EXAMPLE / role, folder / role)
    file = rng.choice(sorted((folder / role).iterdir()))
    if file.suffix == ".json" and rng.random() < 0.75:
        content = json.loads(file.read_text())
        if file.name == "tokenizer.json":
            content = {
                key: changed_value(rng, value) if rng.random() < 0.3 else value for key, value in content.items()
            }
        else:
            for _ in range(rng.choice((1, 2))):
                content = changed_value(rng, content)
        write(file, json.dumps(content))
    elif file.suffix == ".safetensors" and rng.random() < 0.75:
        write(file, _changed_header(rng, file.read_bytes()))
    else:
        spoiled_file(rng, file)
    if rng.random() < 0.2:
        loops = (
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "{{ 'a' * 10**10 }}",
            "{{ x.y.z }}",
            "{%",
            "{{ ''.__class__ }}",
            "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
        )
        write(folder / role / "chat_template.jinja", rng.choice(loops))
    lines = "".join(json.dumps(row) + "\n" for row in PROBLEMS)
    write(folder / "p.jsonl", lines)
    recipe_file = EXAMPLE / "best-of-16.toml"
    arguments = [
        "score",
        str(folder / "p.jsonl"),
        "--recipe",
        str(recipe_file),
        "--output",
        str(folder / "out"),
        f"--set={role}.model={folder / role}",
    ]
    return FuzzCase("model", [*arguments, *rng.choice(([], ["--set=generator.chat=true"]))], plan_only=True)


def run(materials: Materials, rng: random.Random, folder: Path) -> FuzzCase:
    """A run's folder: its JSON, its parts, its names."""
    there = folder / "run"
    shutil.copytree(rng.choice(materials.runs), there)
    file = rng.choice([path for path in sorted(there.rglob("*")) if path.is_file() and ".tmp" not in path.parts])
    if file.suffix == ".parquet" and rng.random() < 0.7:
        _changed_part(rng, there, file)
    elif file.suffix == ".json" and rng.random() < 0.8:
        content = json.loads(file.read_text())
        for _ in range(rng.choice((1, 2))):
            content = changed_value(rng, content)
        write(file, json.dumps(content))
    elif rng.random() < 0.3:
        write(file, nested(rng.choice((65, 100_000)), rng.choice(("list", "dict"))))
    else:
        spoiled_file(rng, file)
    reads = (
        ["status", str(there)],
        ["status", str(there), "--json"],
        ["report", str(there), "--output", str(folder / "r.html")],
        ["export", str(there), "--layout", rng.choice(LAYOUTS), "--output", str(folder / "e.jsonl")],
        ["replay", str(there), "--output", str(folder / "replay"), *rng.choice(([], ["--set=strategy.num_samples=2"]))],
        ["report", str(there), str(materials.runs[0]), "--output", str(folder / "r.html")],
    )
    return FuzzCase("run", rng.choice(reads))


def command_line(materials: Materials, rng: random.Random, folder: Path) -> FuzzCase:
    """Arguments that are missing, odd, or of another command; nothing that starts a cluster."""
    words = [
        "--recipe",
        "--output",
        "--set",
        "--limit",
        "--json",
        "--grader",
        "--layout",
        "--sweep",
        "--orders",
        "--prm",
        "--max-mb",
        "--problem",
        "--threshold",
        "--pairs-per-problem",
        "x",
        "0",
        "-1",
        "1e9",
        str(folder),
        str(materials.runs[0]),
        str(folder / "r.toml"),
        "s3://a b/c",
        "file:///nowhere",
        "http://me:secret@host/x",
        "--strategies",
        "a,b",
    ]
    texts = [str(text)[:2_000].replace("\0", "").encode("utf-8", "replace").decode() for text in ODD_TEXTS]
    write(folder / "r.toml", as_toml(_recipe(materials, rng)))
    chosen = [rng.choice((*words, *words, *texts)) for _ in range(rng.randrange(7))]
    name = rng.choice((*("check", "status", "report", "export", "replay") * 3, *COMMANDS, rng.choice(texts)))
    return FuzzCase("command line", [name, *chosen], plan_only=False)


_MAKERS: dict[Callable[[Materials, random.Random, Path], FuzzCase], int] = {
    recipe: 20,
    override: 15,
    problems: 22,
    answers: 8,
    model: 8,
    run: 20,
    command_line: 7,
}


def _recipe(materials: Materials, rng: random.Random) -> dict[str, Any]:
    tables: dict[str, Any] = json.loads(json.dumps(rng.choice(materials.recipes)))
    for role in ("generator", "prm"):
        if isinstance(tables.get(role), dict):
            tables[role] |= {"kind": "scripted", "model": "scripted"}
    return tables


def _checked(folder: Path, path: Path) -> FuzzCase:
    write(folder / "p.jsonl", "".join(json.dumps(row) + "\n" for row in PROBLEMS))
    return FuzzCase("recipe", ["check", str(folder / "p.jsonl"), "--recipe", str(path)])


def _lines(rows: list[Any], rng: random.Random) -> bytes:
    return b"".join(
        json.dumps(row, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass") + b"\n" for row in rows
    )


def _csv(rows: list[Any], rng: random.Random) -> bytes:
    lines = ["id,question,answer"]
    for row in rows:
        cells = row.values() if isinstance(row, dict) else [row]
        lines.append(
            ",".join('"' + str(cell).replace('"', '""') + '"' if rng.random() < 0.8 else str(cell) for cell in cells)
        )
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _changed_header(rng: random.Random, data: bytes) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header = changed_value(rng, json.loads(data[8 : 8 + length]))
    written = rng.choice((json.dumps(header), nested(100_000, "list"), "[]", json.dumps(header))).encode()
    return rng.choice((len(written), len(written), 2**62)).to_bytes(8, "little") + written + data[8 + length :]


def _changed_part(rng: random.Random, there: Path, file: Path) -> None:
    """Other rows, under a commit that says so: what its author could have written."""
    table = changed_table(rng, pq.read_table(file))
    pq.write_table(table, file, compression="zstd")
    data, name = file.read_bytes(), file.relative_to(there).as_posix()
    for path in (there / "_commits").glob("*.json"):
        content = json.loads(path.read_text())
        for part in content.get("parts", []):
            if part["name"] == name:
                part |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "rows": table.num_rows}
        write(path, json.dumps(content))
