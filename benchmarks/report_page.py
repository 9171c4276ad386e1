"""How large the report of a large run is, and how long it takes to write and to open: one JSON object.

    python -m benchmarks.report_page --problems 10000

Opens the page in Chromium (`tests.services.chromium`) several times; the time is from navigation to the first table
and tree.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.made_run import made_problems, write_run
from jobs.command_line.report import ReportOptions
from jobs.report import run
from records.run_folder.reader import read_run
from tests.services.chromium import browsing, visiting


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--max-mb", type=float, default=20.0)
    parser.add_argument("--visits", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="folder to leave run and page in")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        if not (folder / "run").exists():
            write_run(
                folder / "run",
                made_problems(arguments.problems),
                strategy={"name": "best-of-n", "num_samples": arguments.samples},
            )
        page = folder / "report.html"
        started_s = time.perf_counter()
        run(ReportOptions(run=str(folder / "run"), output=str(page), max_mb=arguments.max_mb))
        written_s = time.perf_counter() - started_s
        found = {
            "problems": arguments.problems,
            "steps": read_run(folder / "run").steps().num_rows,
            "bytes": page.stat().st_size,
            "write_s": round(written_s, 2),
            "open_s": _opening_s(page, arguments.visits),
        }
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def _opening_s(page: Path, num_visits: int) -> dict[str, float]:
    times = []
    with browsing() as browser:
        for _ in range(num_visits):
            started_s = time.perf_counter()
            with visiting(browser, page):
                times.append(time.perf_counter() - started_s)
    return {"median": round(statistics.median(times), 2), "worst": round(max(times), 2)}


if __name__ == "__main__":
    sys.exit(main())
