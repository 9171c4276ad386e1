"""What the visible steps and requests say of problems that have no row yet: where a resumed search goes on.

open problems --names of parts--> steps, requests --by problem, in order--> one `OpenRecord` each
"""

from collections import defaultdict
from collections.abc import Iterable
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from records.failure import StoreFailed
from records.rows import OpenRecord, RequestRow, StepRow
from records.run_folder.log import OpenProblem
from records.run_folder.parallel import in_parallel
from records.run_folder.store import Store
from records.schemas import to_rows


def read_journals(store: Store, open_problems: Iterable[OpenProblem]) -> dict[str, OpenRecord]:
    """All visible rows of each problem, by its id: requests by number, steps by node.

    Raises:
        StoreFailed: a part is gone or damaged, or rows are missing between others.
    """
    problems = {problem.problem_id: problem for problem in open_problems}
    ids = pa.array(list(problems), type=pa.string())
    steps: defaultdict[str, list[StepRow]] = defaultdict(list)
    requests: defaultdict[str, list[RequestRow]] = defaultdict(list)
    # In commit order: a problem's rows are written in the order in which they came to be.
    names = list(dict.fromkeys(name for problem in problems.values() for name in problem.parts))
    for name, table in zip(names, in_parallel(partial(_rows_of, store, ids=ids), names), strict=True):
        if name.startswith("steps/"):
            for step in to_rows(StepRow, table):
                steps[step.problem_id].append(step)
        else:
            for request in to_rows(RequestRow, table):
                requests[request.problem_id].append(request)
    return {
        problem_id: _checked(
            store,
            problem,
            OpenRecord(
                problem_id=problem_id,
                steps=tuple(sorted(steps[problem_id], key=lambda row: row.node_id)),
                requests=tuple(sorted(requests[problem_id], key=lambda row: row.request)),
            ),
        )
        for problem_id, problem in problems.items()
    }


def _rows_of(store: Store, name: str, ids: pa.Array) -> pa.Table:
    data = store.read(name)
    if data is None:
        raise StoreFailed(f"{store.uri}/{name} is gone")
    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        raise StoreFailed(f"{store.uri}/{name} is damaged: {error}") from error
    return table.filter(pc.is_in(table.column("problem_id"), value_set=ids))


def _checked(store: Store, problem: OpenProblem, record: OpenRecord) -> OpenRecord:
    nodes = [step.node_id for step in record.steps]
    numbers = [request.request for request in record.requests]
    whole = nodes == list(range(1, len(nodes) + 1)) and numbers == list(range(len(numbers)))
    if not whole or record.generated_tokens != problem.generated_tokens:
        raise StoreFailed(
            f"{store.uri} is damaged: problem {problem.problem_id!r} has steps {nodes[:3]}... and requests "
            f"{numbers[:3]}... with {record.generated_tokens} tokens, and {problem.generated_tokens} by its commits"
        )
    return record
