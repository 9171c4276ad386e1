"""`parsimony report RUN [RUN_B]`: one self-contained HTML page of a run, finished or not; with RUN_B, the two compared.

records.read_run --> numbers, diagrams, search trees --> one file, written whole or not at all
"""

import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from actors.writer.store_retry import patiently_blocking
from cluster.store import open_store
from jobs.command_line.report import ReportOptions
from jobs.comparison.paired_runs import compare_paired_runs, paired_json, print_paired
from jobs.display.consoles import new_console
from jobs.display.terminal import err, out
from jobs.reporting.contents import RESERVED_BYTES, PageContents, contents, read_contents
from jobs.reporting.groups import groups_json
from jobs.reporting.page import render
from jobs.reporting.source import ReportSource, read_source
from jobs.scoring.summary import print_summary
from records.failure import InvalidInput
from records.run_folder.reader import read_run
from scaling.statistics.paired_rows import PairedComparison

MB = 1_000_000


def run(options: ReportOptions) -> int:
    """Write the page; the exit status.

    Raises:
        InvalidInput: there is no run, no such problem, or no room.
        StoreFailed: the run cannot be read, or the page not written.
    """
    _check_output(options.output)
    max_bytes = int(options.max_mb * MB)
    if max_bytes < 2 * RESERVED_BYTES:
        raise InvalidInput(f"--max-mb {options.max_mb:g}: a page takes {2 * RESERVED_BYTES / MB:g} at least")
    source = read_source(read_run(options.run), named=options.problems)
    found = read_contents(source, max_bytes=max_bytes, paired=_compared(source, options.other))
    page = render(contents(found)).encode()
    if len(page) > max_bytes:
        raise InvalidInput(f"--max-mb {options.max_mb:g}: this page takes {len(page) / MB:.1f}")
    _write(options.output, page)
    if options.json:
        out(json.dumps(_said(found, options.output, len(page)), indent=2, allow_nan=False) + "\n")
    else:
        _print(found, options.output, len(page))
    return 0


def _compared(source: ReportSource, other: str | None) -> PairedComparison | None:
    if other is None:
        return None
    return compare_paired_runs(source.run, read_run(other), seed=source.run.manifest.seed)


def _write(output: str, page: bytes) -> None:
    """Put the page at its place as a whole.

    Raises:
        InvalidInput: the place cannot be written.
        StoreFailed: the object store refuses it.
    """
    folder, _, name = output.rpartition("/")
    if "://" in output:
        patiently_blocking(partial(open_store(folder).replace, name, page), _note)
        return
    path = Path(output)
    temp = path.with_name(f".{path.name}-{uuid4().hex}")
    try:
        temp.write_bytes(page)
        temp.replace(path)
    except OSError as error:
        raise InvalidInput(f"--output {output} cannot be written: {error.strerror}") from error
    finally:
        temp.unlink(missing_ok=True)


def _check_output(output: str) -> None:
    """Refuse a place that is no file, before anything is read."""
    name = output.rpartition("/")[2]
    if name in {"", ".", ".."} or ("://" in output and output.count("/") < 3) or Path(output).is_dir():
        raise InvalidInput(f"--output {output}: name a file, such as report.html")


def _said(found: PageContents, output: str, num_bytes: int) -> dict[str, Any]:
    """For `--json`: keys are stable, unknown is null."""
    return {
        "output": output,
        "bytes": num_bytes,
        "state": found.state,
        "num_problems": len(found.source.order),
        "num_listed": len(found.ids),
        "num_trees": len(found.chunks.places),
        "summary": asdict(found.summary),
        "prm": {name: asdict(check) for name, check in found.checks.items()},
        "curve": asdict(found.curve),
        "pass_at_k": [asdict(rate) for rate in found.pass_rates],
        "groups": groups_json(found.source.rows, found.source.replayer.recipe),
        "paired": paired_json(found.paired) if found.paired else None,
    }


def _print(found: PageContents, output: str, num_bytes: int) -> None:
    """For people: what there is, and where."""
    console = new_console()
    print_summary(found.summary, console)
    if found.paired is not None:
        console.print()
        print_paired(found.paired, console)
    trees = f"{len(found.chunks.places):,} of {len(found.source.order):,} search trees"
    console.print(f"Report: {output} ({num_bytes / MB:.2f} MB, {trees})", soft_wrap=True, highlight=False, markup=False)


def _note(line: str) -> None:
    err(f"{line}\n")


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(command="report"))
