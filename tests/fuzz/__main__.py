"""`python -m tests.fuzz`: inputs made wrong by the thousand; each ends in success or in one refusal, and soon.

    python -m tests.fuzz [--cases 5000] [--seed 1] [--first 0] [--jobs 2] [--json]

Exit status 1 if any case ends in a traceback, an escape, a crash, a hang, or beyond its memory. A case is named by seed
and number: `--first N --cases 1` does it again, and `--keep DIR` leaves its files there.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.fuzz.cases import FuzzCase, Materials
from tests.support.bounded_process import Ended, attempt, server

NUM_CASES = 5_000


def outcomes(
    numbers: range, seed: int, *, jobs: int, keep: Path | None = None
) -> Iterator[tuple[int, FuzzCase, Ended]]:
    """Each case and how it ended, in order."""
    context = server()
    with tempfile.TemporaryDirectory(prefix="parsimony-fuzz-") as scratch, ThreadPoolExecutor(jobs) as pool:
        materials = Materials(Path(scratch) / "runs")

        def tried(number: int) -> tuple[int, FuzzCase, Ended]:
            if keep is not None:
                folder = keep / str(number)
                folder.mkdir(parents=True)
                case = materials.make(number, seed, folder)
                return number, case, attempt(context, case.arguments, folder, plan_only=case.plan_only)
            with tempfile.TemporaryDirectory(dir=scratch) as inside:
                case = materials.make(number, seed, Path(inside))
                return number, case, attempt(context, case.arguments, Path(inside), plan_only=case.plan_only)

        yield from pool.map(tried, numbers)


def main() -> int:
    """Run the cases, and say what came of them."""
    parser = argparse.ArgumentParser(description="Inputs made wrong: success, or one refusal with exit status 2.")
    parser.add_argument("--cases", type=int, default=NUM_CASES, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first case")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="cases side by side")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave each case's files in DIR")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    begun_s = time.monotonic()
    counts: dict[str, Counter[str]] = {}
    faults: list[dict[str, Any]] = []
    longest = largest = 0.0
    numbers = range(options.first, options.first + options.cases)
    for number, case, ended in outcomes(numbers, options.seed, jobs=options.jobs, keep=options.keep):
        fault = ended.fault
        counts.setdefault(case.kind, Counter())["fault" if fault else f"exit {ended.status}"] += 1
        longest, largest = max(longest, ended.cpu_s), max(largest, ended.rss_bytes / 2**20)
        if fault:
            arguments = [argument[:200] for argument in case.arguments]
            faults.append({"case": number, "kind": case.kind, "fault": fault, "arguments": arguments})
            sys.stderr.write(f"case {number} ({case.kind}): {fault!r}\n")
    summary = {
        "seed": options.seed,
        "cases": options.cases,
        "seconds": round(time.monotonic() - begun_s, 1),
        "outcomes": {kind: dict(sorted(found.items())) for kind, found in sorted(counts.items())},
        "longest_cpu_s": round(longest, 2),
        "largest_rss_mib": round(largest),
        "faults": faults,
    }
    if options.json:
        sys.stdout.write(json.dumps(summary, indent=1) + "\n")
    else:
        _print(summary)
    return 1 if faults else 0


def _print(summary: dict[str, Any]) -> None:
    names = sorted({name for found in summary["outcomes"].values() for name in found})
    lines = [["input", *names]]
    lines += [[kind, *(str(found.get(name, 0)) for name in names)] for kind, found in summary["outcomes"].items()]
    for line in lines:
        sys.stdout.write("  ".join(cell.ljust(14) if at == 0 else cell.rjust(8) for at, cell in enumerate(line)) + "\n")
    took = f"at most {summary['longest_cpu_s']:g} s of a core and {summary['largest_rss_mib']} MiB"
    found = f"{summary['cases']} cases of seed {summary['seed']}: {len(summary['faults'])} faults"
    sys.stdout.write(f"{found}, in {summary['seconds']:g} s; {took}\n")


if __name__ == "__main__":
    sys.exit(main())
