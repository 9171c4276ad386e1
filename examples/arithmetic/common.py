"""What all arithmetic scripts share: text format, answer check, seeds by name, JSON-lines files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SEPARATOR = "\n\n"
TEMPERATURE = 0.7

_BOXED = re.compile(r"\\boxed\{(-?\d{1,9})\}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One question with its integer answer (as text) and its difficulty level."""

    problem_id: str
    question: str
    answer: str
    level: int


def prompt_text(question: str) -> str:
    """Text that the generator continues; the tokenizer adds the beginning-of-sequence token."""
    return question + SEPARATOR


def solution_text(steps: Iterable[str]) -> str:
    """Join the steps of a solution as the generator writes them."""
    return SEPARATOR.join(steps)


def split_steps(text: str) -> list[str]:
    """Split generated text into its non-empty steps."""
    return [step for step in text.split(SEPARATOR) if step]


def is_final(step: str) -> bool:
    """Whether a step holds a final answer."""
    return _BOXED.search(step) is not None


def boxed_answer(text: str) -> int | None:
    r"""Integer in the last \boxed{...} of a text, or None where there is none."""
    found = _BOXED.findall(text)
    return int(found[-1]) if found else None


def is_right(text: str, answer: str) -> bool:
    r"""Whether the \boxed content of a text equals the answer as an integer."""
    return boxed_answer(text) == int(answer)


def named_seed(*names: object) -> int:
    """Seed in [0, 2**62) that depends only on the names; unrelated names give unrelated seeds."""
    text = "\x1f".join(str(name) for name in names)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 2


def read_problems(path: Path) -> list[Problem]:
    """Read a problem file."""
    return [Problem(**row) for row in read_jsonl(path)]


def write_problems(path: Path, problems: Iterable[Problem]) -> None:
    """Write a problem file."""
    write_jsonl(path, (asdict(problem) for problem in problems))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read a JSON-lines file."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a JSON-lines file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row) + "\n")


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
