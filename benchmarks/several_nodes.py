"""How the speed of a run grows with its nodes, where engines only wait: what the control path and the wire leave of it.

    python -m benchmarks.several_nodes --nodes 1 2 8 --problems 400 > nodes.json
    python -m benchmarks.several_nodes --stores local,s3 --nodes 1 2 --num-replicas 2

Nodes are raylets of this machine with one generator each (or `--num-replicas` in all, spread over them), the driver's
own node has none. Engines are scripted: a call takes its tokens over `--tokens-per-s`, whatever else goes on, so the
steps that are sampled in a second grow with the replicas as far as the controller, the channels and the writer keep up.
With `s3` the run lies in a radosgw of the tests. Passes take turns, forwards and backwards; time runs from the first
sample to the last row (`elapsed_s` of the run's usage).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from records.run_folder.reader import read_run
from records.usage import last_by_epoch
from tests.services.radosgw import RadosGateway
from tests.services.ray_nodes import LocalCluster
from tests.support.scripted import EXAMPLE, SCRIPTED, sets

SLOTS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesPass:
    """One run.

    Attributes:
        num_nodes: with generators.
        num_replicas: generators in all.
        store: where the run lay.
        elapsed_s: of its controller.
        steps_per_s: sampled in it.
    """

    num_nodes: int
    num_replicas: int
    store: str
    elapsed_s: float
    steps_per_s: float


def score(address: str, output: str, settings: Sequence[str], num_problems: int, recipe: str) -> None:
    """One run, as a user starts it."""
    words = [str(EXAMPLE / "test.jsonl"), "--recipe", str(EXAMPLE / f"{recipe}.toml"), "--limit", str(num_problems)]
    command = [sys.executable, "-m", "jobs.score", *words, "--output", output]
    command += sets(*SCRIPTED, *settings, f"cluster.address={address}", "output.flush_interval_s=2")
    environment = {"RAY_AUTH_MODE": "disabled"} | os.environ  # as the head was started
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextmanager
def cluster_of(num_nodes: int) -> Iterator[str]:
    """The address of a cluster with so many nodes for generators, and one for PRMs."""
    with LocalCluster() as cluster:
        for number in range(num_nodes):
            cluster.add(f"generator-{number}", labels={"kind": "generator"}, num_cpus=8)
        cluster.add("prm", labels={"kind": "prm"}, num_cpus=8)
        yield cluster.address


def measured(address: str, num_nodes: int, store: str, output: str, options: argparse.Namespace) -> NodesPass:
    """One pass."""
    num_replicas = options.num_replicas or num_nodes
    settings = [
        f"generator.num_replicas={num_replicas}",
        f"prm.num_replicas={options.num_prms}",
        "generator.node_labels.kind=generator",
        "prm.node_labels.kind=prm",
        "generator.placement=spread",
        f"generator.max_num_seqs={SLOTS}",
        f"script.tokens_per_s={options.tokens_per_s}",
        "script.prm_tokens_per_s=0",
    ]
    score(address, output, settings, options.problems, options.recipe)
    run = read_run(output)
    elapsed_s = sum(usage.elapsed_s for usage in last_by_epoch(run.log.usages).values())
    steps = run.steps().num_rows
    return NodesPass(
        num_nodes=num_nodes, num_replicas=num_replicas, store=store, elapsed_s=elapsed_s, steps_per_s=steps / elapsed_s
    )


def main() -> int:
    """Print the JSON document; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.several_nodes", description="Speed by nodes")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 8])
    parser.add_argument("--num-replicas", type=int, help="generators in all, whatever the nodes (one a node)")
    parser.add_argument("--num-prms", type=int, default=1)
    parser.add_argument("--problems", type=int, default=400)
    parser.add_argument("--recipe", default="beam-16")
    parser.add_argument("--tokens-per-s", type=float, default=20.0, help="of each call (20)")
    parser.add_argument("--stores", default="local", help="local, s3 or both (local,s3)")
    parser.add_argument("--rounds", type=int, default=1, help="forwards and backwards, so many times (1)")
    options = parser.parse_args()
    passes: list[NodesPass] = []
    stores = options.stores.split(",")
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="several-nodes-")))
        server = ending.enter_context(RadosGateway()) if "s3" in stores else None
        os.environ.update({} if server is None else server.environment)
        for number in [*options.nodes, *reversed(options.nodes)] * options.rounds:
            with cluster_of(number) as address:
                for store in stores:
                    name = f"run-{len(passes)}"
                    output = (
                        f"s3://{server.bucket}/{name}" if store == "s3" and server is not None else str(folder / name)
                    )
                    passes.append(measured(address, number, store, output, options))
                    sys.stderr.write(f"{passes[-1]}\n")
    sys.stdout.write(json.dumps({"passes": [asdict(one) for one in passes], "ratios": ratios(passes)}, indent=1) + "\n")
    return 0


def ratios(passes: Sequence[NodesPass]) -> dict[str, float]:
    """Steps a second by nodes and store, over those of the fewest nodes on the first store: medians."""
    kinds = dict.fromkeys((one.num_nodes, one.store) for one in passes)
    speed = {kind: median(one.steps_per_s for one in passes if (one.num_nodes, one.store) == kind) for kind in kinds}
    first = speed[min(kinds, key=lambda kind: kind[0])]
    return {f"{number} nodes, {store}": speed[number, store] / first for number, store in kinds}


if __name__ == "__main__":
    sys.exit(main())
