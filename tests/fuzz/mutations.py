"""How an input is made wrong: bytes, texts, values, tables and files, by a random generator of the case's own."""

import copy
import json
import os
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ODD_TEXTS = (
    *(
        "",
        " ",
        "\x1b[2J\x1b]0;owned\x07",
        "\x9b31m",
        "a\u202eb",
        "\u200b",
        "\ud800",
        "\0",
        "../../x",
        "/etc/passwd",
        "-",
        "--json",
    ),
    *("x" * 3_000_000, "\n\n\n", "{question.__class__}", "${HOME}", "%s%n", "timeit:timeit", "os:system", "s3://a b/c"),
    *(
        "http://me:secret@10.0.0.1/x",
        "<script>alert(1)</script>",
        "=cmd|' /C calc'!A0",
        "10**10**10",
        "9^9^9^9^9",
        "1e999",
    ),
    *("1000000!", "(" * 5_000, "\\frac{" * 2_000, "\\sqrt[" * 500, "{" * 5_000, "\\boxed{" * 2_000, "a" * 40 + "!"),
    *(
        "\u115f",
        "\ufeff",
        "NaN",
        "nan",
        "inf",
        "-0",
        "0x10",
        "1_000",
        "٣",
        "½",
        "²",
        "1" * 5_000,
        "[" * 200,
        "\\begin{pmatrix}" * 300,
    ),
)
ODD_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**31,
        2**63,
        -(2**63) - 1,
        10**400,
        1.5,
        -0.0,
        1e308,
        [],
        {},
        [[]],
        {"": {}},
        [None],
        "x",
    ),
    *(["\x1b[31m"], {"\x1b[31m": 1}, [1] * 5_000, {str(key): key for key in range(3_000)}),
)


def odd_value(rng: random.Random) -> Any:
    """Something that is rarely what is wanted."""
    if rng.random() < 0.4:
        return rng.choice(ODD_TEXTS)
    return copy.deepcopy(rng.choice(ODD_VALUES))


def nested(depth: int, kind: str) -> str:
    """Brackets inside each other, as JSON and TOML have them."""
    return {"list": "[" * depth + "]" * depth, "dict": '{"a":' * depth + "1" + "}" * depth, "open": "[" * depth}[kind]


def changed_bytes(rng: random.Random, data: bytes) -> bytes:
    """A few bytes flipped, cut out, put in or said twice."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        at = rng.randrange(len(made) + 1)
        match rng.randrange(6):
            case 0 if made:
                made[at % len(made)] = rng.randrange(256)
            case 1:
                del made[at : at + rng.choice((1, 4, 100, 10_000))]
            case 2:
                made[at:at] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 4, 100))))
            case 3:
                made[at:at] = made[at : at + rng.choice((1, 20, 2_000))] * rng.choice((1, 2, 50))
            case 4:
                made[at:at] = rng.choice(
                    (b"\x1b[2J", b"\xff\xfe", b"\0", b'"', b"{", b"[", b"\n", b",", b"1" * 5_000, b"\xed\xa0\x80")
                )
            case _:
                del made[rng.randrange(len(made) + 1) :]
    return bytes(made)


def changed_value(rng: random.Random, value: Any) -> Any:
    """One place in a tree of objects and arrays taken away, put in, or made odd."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        made = dict(value)
        key = rng.choice(list(made))
        match rng.randrange(8):
            case 0:
                del made[key]
            case 1:
                made[str(rng.choice(ODD_TEXTS))[:1000]] = made[key]
            case _:
                made[key] = changed_value(rng, made[key])
        return made
    if isinstance(value, list) and value and rng.random() < 0.8:
        items = list(value)
        at = rng.randrange(len(items))
        items[at] = changed_value(rng, items[at])
        return items
    return odd_value(rng)


def as_toml(tables: dict[str, Any]) -> str:
    """Sections of a recipe as TOML; what TOML has no word for is written as JSON has it."""
    lines = []
    for name, section in tables.items():
        if isinstance(section, dict):
            lines.append(f"[{_key(name)}]")
            lines += [f"{_key(key)} = {_toml(value)}" for key, value in section.items()]
        else:
            lines.insert(0, f"{_key(name)} = {_toml(section)}")
    return "\n".join(lines) + "\n"


def _key(text: str) -> str:
    return json.dumps(text)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def write(path: Path, data: bytes | str) -> None:
    """A file with what can be written of a text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))


def changed_table(rng: random.Random, table: pa.Table) -> pa.Table:
    """A table with another cell, column, type or number of rows."""
    name = rng.choice(table.column_names)
    at = table.column_names.index(name)
    match rng.randrange(6):
        case 0:
            return table.drop_columns([name])
        case 1:
            return table.slice(0, rng.randrange(table.num_rows + 1))
        case 2:
            return pa.concat_tables([table, table.slice(rng.randrange(table.num_rows))])
        case 3:
            return table.set_column(at, name, pa.array([rng.choice((None, 1, 0))] * table.num_rows))
        case _:
            values = table.column(name).to_pylist()
            values[rng.randrange(len(values))] = _odd_cell(rng, table.schema.field(name).type)
            return table.set_column(
                at, pa.field(name, table.schema.field(name).type), pa.array(values, table.schema.field(name).type)
            )


def _odd_cell(rng: random.Random, kind: pa.DataType) -> Any:
    if pa.types.is_string(kind):
        text = str(rng.choice(ODD_TEXTS))
        return rng.choice((None, "" if "\ud800" in text else text))
    if pa.types.is_integer(kind):
        return rng.choice((None, 0, -1, 7, 2**31 - 1, -(2**31)))
    if pa.types.is_floating(kind):
        return rng.choice((None, 0.0, -1.0, 2.0, float("nan"), float("inf"), 1e308))
    if pa.types.is_list(kind):
        return rng.choice(
            (
                None,
                [],
                [_odd_cell(rng, kind.value_type) or 0 for _ in range(3)]
                if not pa.types.is_string(kind.value_type)
                else ["x"],
            )
        )
    return None


def spoiled_file(rng: random.Random, path: Path) -> None:
    """A file that is gone, empty, a folder, a link, a pipe, full of holes, or of other bytes."""
    data = path.read_bytes()
    match rng.randrange(9):
        case 0:
            path.unlink()
        case 1:
            path.write_bytes(b"")
        case 2:
            path.unlink()
            path.mkdir()
        case 3:
            path.unlink()
            path.symlink_to(rng.choice(("/etc/passwd", "/dev/zero", "/dev/null", "nowhere", path.name)))
        case 4:
            path.unlink()
            os.mkfifo(path)
        case 5:
            os.truncate(path, rng.choice((len(data) + 1, 2**33)))
        case _:
            path.write_bytes(changed_bytes(rng, data))


def write_parquet(path: Path, table: pa.Table, rng: random.Random) -> None:
    """With one of the codecs and versions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        table,
        path,
        compression=rng.choice(("zstd", "snappy", "gzip", "none", "lz4", "brotli")),
        data_page_version=rng.choice(("1.0", "2.0")),
        use_dictionary=rng.random() < 0.5,
        row_group_size=rng.choice((1, 3, 1000)),
    )
