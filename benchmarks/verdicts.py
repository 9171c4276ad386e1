"""Verdicts on a labelled set: right ones, false positives and false negatives by kind, and time per verdict.

    python -m benchmarks.verdicts [FILE.jsonl ...] [--answers N]

Each grader judges every pair in one run, math-verify as it comes beside them: its parser on `$answer$`, its
comparison, its defaults. FILE holds {"kind", "answer", "reference", "correct"}; without any it is
benchmarks/verdicts.jsonl. The last part sends N answers of the shapes of GSM8K and MATH through a grading process, as a
run does, and takes the process away in between. Prints JSON.
"""

import argparse
import asyncio
import json
import logging
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from math_verify import parse, verify

from actors.grading.grader import Grader, GradeRequest
from actors.grading.worker import load_compare

LABELLED = Path(__file__).with_suffix(".jsonl")
GRADERS = ("math-verify", "numeric", "exact", "multiple-choice")
Compare = Callable[[str, str], bool]
Case = dict[str, Any]


def cases_of(files: Sequence[Path]) -> list[Case]:
    """The labelled pairs of some files."""
    return [json.loads(line) for file in files for line in file.read_text().splitlines() if line.strip()]


def judged(compare: Compare, cases: Sequence[Case]) -> dict[str, Any]:
    """How a grader does on labelled pairs; one that raises gives no verdict."""
    wrong: defaultdict[str, Counter[str]] = defaultdict(Counter)
    seconds = []
    for case in cases:
        begun_s = time.perf_counter()
        try:
            verdict: bool | None = bool(compare(case["answer"], str(case["reference"])))
        except Exception:  # noqa: BLE001  # whatever a grader raises is "no verdict"
            verdict = None
        seconds.append(time.perf_counter() - begun_s)
        if verdict != case["correct"]:
            wrong["none" if verdict is None else "false_positive" if verdict else "false_negative"][case["kind"]] += 1
    num_wrong = sum(counter.total() for counter in wrong.values())
    return {
        "accuracy": round(1 - num_wrong / len(cases), 4),
        **{name: dict(wrong[name]) for name in ("false_positive", "false_negative", "none")},
        "median_ms": round(1000 * statistics.median(seconds), 3),
        "max_ms": round(1000 * max(seconds), 1),
    }


def math_verify_as_it_comes() -> Compare:
    """Its parser and comparison with its defaults."""
    logging.getLogger("math_verify").setLevel(logging.ERROR)

    def compare(answer: str, reference: str) -> bool:
        gold, found = (parse(f"${text}$", parsing_timeout=None) for text in (reference, answer))
        return bool(verify(gold, found, timeout_seconds=None))

    return compare


def shaped_answers(number: int) -> list[GradeRequest]:
    """Answers as GSM8K's and MATH's end, each with a key; four in five are right."""
    shapes = (
        ("{n} dollars", "{n}"), ("\\${n}", "{n}"), ("{n}", "{n}"), ("{n:,}", "{n}"),
        (r"\frac{{{n}}}{{7}}", r"\frac{{{n}}}7"),
        (r"{n}\sqrt{{2}}", r"\sqrt2 \cdot {n}"), (r"\left( {n}, \frac{{\pi}}{{2}} \right)", r"({n}, \pi/2)"),
        ("x^2 + {n}x + 1", "1 + {n}x + x^2"), (r"[{n}, \infty)", r"x \ge {n}"), (r"x = {n}", "{n}"),
    )  # fmt: skip
    requests = []
    for index in range(number):
        answer, reference = shapes[index % len(shapes)]
        n = 100 + index
        requests.append(GradeRequest(answer.format(n=n), reference.format(n=n + (index % 5 == 4))))
    return requests


async def in_a_process(number: int) -> dict[str, Any]:
    """Milliseconds per verdict through a worker, and what the answer after a lost one waits for."""
    async with Grader("math-verify", num_workers=1, timeout_s=5) as grader:
        seconds, verdicts = [], []
        for request in shaped_answers(number):
            begun_s = time.perf_counter()
            verdicts += await grader.grade([request])
            seconds.append(time.perf_counter() - begun_s)
        lost = []
        for _ in range(4):
            worker = await grader._slots.get()
            if worker is not None:
                await worker.kill()
            grader._slots.put_nowait(worker)
            await grader.grade([GradeRequest("1", "2")])  # finds it dead, and has no verdict
            begun_s = time.perf_counter()
            await grader.grade([GradeRequest("1", "1")])
            lost.append(time.perf_counter() - begun_s)
    return {
        "answers": number,
        "right": verdicts.count(True),
        "median_ms": round(1000 * statistics.median(seconds), 3),
        "p99_ms": round(1000 * statistics.quantiles(seconds, n=100)[98], 2),
        "max_ms": round(1000 * max(seconds), 1),
        "first_answer_after_a_lost_process_s": [round(value, 2) for value in lost],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.jsonl")
    parser.add_argument("--answers", type=int, default=1000, metavar="N")
    options = parser.parse_args(arguments)
    cases = cases_of(options.files or [LABELLED])
    graders = {name: judged(load_compare(name)[0], cases) for name in GRADERS}
    graders["math-verify as it comes"] = judged(math_verify_as_it_comes(), cases)
    found = {"cases": len(cases), "graders": graders, "in_a_process": asyncio.run(in_a_process(options.answers))}
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
