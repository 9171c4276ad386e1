"""`parsimony plan-cluster`: its options and arguments."""

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jobs.command_line.common import Command, add_json, add_overrides, number, options_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanClusterOptions:
    """`parsimony plan-cluster`.

    Attributes:
        recipe: TOML file, or the name of a shipped one.
        overrides: `section.key=value`, in the order given.
        cluster: ray_cluster.yaml, or a RayCluster or RayJob of KubeRay; None: the cluster that the recipe joins.
        gpu_memory_gib: of every GPU; None: by the kind of GPU, as the price table has it.
        json: one JSON object.
    """

    recipe: Path
    overrides: tuple[str, ...] = ()
    cluster: Path | None = None
    gpu_memory_gib: float | None = None
    json: bool = False


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, metavar="R.toml", help="a file, or the name of a shipped recipe")
    add_overrides(parser)
    text = "ray_cluster.yaml, or a RayCluster or RayJob of KubeRay; omitted: the cluster that the recipe joins"
    parser.add_argument("--cluster", type=Path, metavar="FILE", help=text)
    text = "memory of every GPU; omitted: by its kind, from the price table"
    parser.add_argument("--gpu-memory-gib", type=number("a number of GiB", above=0), metavar="N", help=text)
    add_json(parser)


COMMAND = Command(
    name="plan-cluster",
    help="Where the replicas of a recipe would go, and whether they fit there, before anything is started.",
    add_arguments=_add_arguments,
    options=partial(options_of, PlanClusterOptions),
)
