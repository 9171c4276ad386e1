"""Where the prefixes of one problem are held: which replica has a path's KV blocks and token ids.

A sample is held whole by the generator that made it, and a scored path by the PRM that scored it. Ids are the chained
hashes of `records.calls`, so that replica and controller agree on them without talking.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from records.calls import child_prefix_id, root_prefix_id
from records.path import Path


@dataclass(frozen=True, slots=True)
class PrefixHolder:
    """A prefix and the replica that holds it; `replica` None: nobody is known to."""

    prefix_id: str
    replica: str | None


class Locality:
    """The generator's and the PRM's prefixes of one problem, by node."""

    def __init__(self, root: Path) -> None:
        held = PrefixHolder(root_prefix_id(root.text), None)
        self._generator: dict[int, PrefixHolder] = {root.node_id: held}
        self._prm: dict[int, PrefixHolder] = {root.node_id: held}

    def generator(self, path: Path) -> PrefixHolder:
        """The generator's prefix of `path`."""
        return self._generator[path.node_id]

    def prm(self, path: Path) -> PrefixHolder:
        """The PRM's prefix of `path`."""
        return self._prm[path.node_id]

    def sampled(self, parent: Path, steps: Sequence[Path], replica: str | None) -> None:
        """`replica` sampled `steps` after `parent` in one go and holds the last of them; None: nobody holds it now.

        A step inside the sample gets an id of its own but no holder: the replica keeps whole samples only.
        """
        prefix_id = self._generator[parent.node_id].prefix_id
        token_ids: list[int] = []
        for step in steps:
            token_ids += step.token_ids
            holder = replica if step is steps[-1] else None
            self._generator[step.node_id] = PrefixHolder(child_prefix_id(prefix_id, token_ids), holder)
            self._prm[step.node_id] = PrefixHolder(child_prefix_id(self._prm_id(step), [step.text]), None)

    def scored(self, path: Path, replica: str) -> None:
        """`replica` scored `path`, so it holds it and every step before it."""
        node: Path | None = path
        while node is not None:
            self._prm[node.node_id] = PrefixHolder(self._prm[node.node_id].prefix_id, replica)
            node = node.parent

    def _prm_id(self, step: Path) -> str:
        if step.parent is None:
            raise ValueError("the root has no parent")
        return self._prm[step.parent.node_id].prefix_id
