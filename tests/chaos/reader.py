"""A reader that polls the runs of a place while they are written, and holds what it sees against what it saw."""

import threading
from typing import Any

from cluster.store import open_store
from records.failure import Failure
from records.run_folder import layout
from records.run_folder.reader import read_run
from records.run_folder.store import Store

POLL_S = 1.5


def run_prefixes(store: Store) -> list[str]:
    """Where the runs below a place are, relative to it; "" is the place itself."""
    names = [name for name in store.list("") if name.rpartition("/")[2] == layout.MANIFEST]
    return [name.rpartition("/")[0] for name in names]


class PollingReader:
    """Reads every run of a place again and again.

    Attributes:
        wrong: what it saw that no reader may see.
        num_looks: how often it has read a run.
    """

    def __init__(self, uri: str) -> None:
        self.wrong: list[str] = []
        self.num_looks = 0
        self._uri = uri
        self._seen: dict[str, dict[str, dict[Any, Any]]] = {}
        self._finished: dict[str, bytes] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> "PollingReader":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look once more and stop."""
        self._over.set()
        self._thread.join()

    def _poll(self) -> None:
        while True:
            over = self._over.wait(POLL_S)
            try:
                store = open_store(self._uri)
                for prefix in run_prefixes(store):
                    self._look(store, prefix)
            except Failure as failed:  # the server may be down; a damaged run is found out at the end
                if "damaged" in str(failed):
                    self.wrong.append(f"a reader found {failed}")
            if over:
                return

    def _look(self, store: Store, prefix: str) -> None:
        uri = f"{self._uri}/{prefix}" if prefix else self._uri
        # Asked before the rows are: whoever sees it sees all of them.
        success = store.read(f"{prefix}/{layout.SUCCESS}" if prefix else layout.SUCCESS)
        run = read_run(uri)
        self.num_looks += 1
        now = {
            "problems": {row["problem_id"]: row for row in run.problems().to_pylist()},
            "steps": {
                (row["problem_id"], row["node_id"]): row["token_ids"]
                for row in run.steps().select(["problem_id", "node_id", "token_ids"]).to_pylist()
            },
        }
        before = self._seen.get(prefix, {})
        for table, rows in before.items():
            for key, row in rows.items():
                if now[table].get(key) != row:
                    self.wrong.append(
                        f"{uri}: {table} {key} was there and is {'other' if key in now[table] else 'gone'}"
                    )
        self._seen[prefix] = now
        if success is not None and len(now["problems"]) != run.manifest.num_problems:
            self.wrong.append(f"{uri}: _SUCCESS with {len(now['problems'])} of {run.manifest.num_problems} rows")
        if self._finished.setdefault(prefix, success or b"") not in {success or b"", b""}:
            self.wrong.append(f"{uri}: _SUCCESS has changed")
        self._finished[prefix] = success or self._finished[prefix]
