"""`parsimony status RUN`: where a run stands, once, or with `--watch` until it is finished or stopped."""

import sys

from cluster.store import open_store
from jobs.command_line.status import StatusOptions
from jobs.display.consoles import new_console
from jobs.display.terminal import out
from jobs.scoring.run_status import print_status, read_status, status_json
from jobs.scoring.watch import INTERVAL_S, watch
from records.failure import InvalidInput


def run(options: StatusOptions) -> int:
    """Print the status of a run on stdout; the exit status.

    Raises:
        InvalidInput: there is no run.
    """
    store = open_store(options.run)
    if options.watch:
        watch(store, interval_s=options.interval_s or INTERVAL_S, json=options.json)
        return 0
    if options.interval_s is not None:
        raise InvalidInput("--interval says how often --watch looks; without --watch there is one look")
    status = read_status(store, now_s=store.now_s())
    if options.json:
        out(status_json(status) + "\n")
    else:
        print_status(status, new_console())
    return 0


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(command="status"))
