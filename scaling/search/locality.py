"""Where the prefixes of one problem are held: which replica has a path's KV blocks and token ids.

A sample is held whole by the generator that made it, and a scored path by the PRM that scored it. Ids are the chained
hashes of `records.calls`, so that replica and controller agree on them without talking. An id is made when somebody
asks for it: most of what is sampled is never continued.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from records.calls import child_prefix_id, root_prefix_id
from records.path import Path
from scaling.search.texts import scored_text


@dataclass(slots=True)
class PrefixHolder:
    """A prefix and the replica that holds it; `replica` None: nobody is known to.

    Attributes:
        base: the prefix that this one continues; None for the bare question.
        steps: nodes, of which the first `num_steps` follow `base`.
        text: its content where that is text (PRM), not the steps' tokens (generator).
        known_id: its id, once somebody has asked for it.
    """

    replica: str | None
    base: "PrefixHolder | None"
    steps: Sequence[Path] = ()
    num_steps: int = 0
    text: str | None = None
    known_id: str | None = None

    @property
    def prefix_id(self) -> str:
        """The id, of content alone; each prefix on the way is hashed once."""
        chain = [self]
        while (known := chain[-1].known_id) is None and (base := chain[-1].base) is not None:
            chain.append(base)
        if known is None:
            raise ValueError("the bare question has an id from the beginning")
        for holder in reversed(chain[:-1]):
            known = holder.known_id = child_prefix_id(known, holder._content())
        return known

    def _content(self) -> list[str] | list[int]:
        steps = self.steps[: self.num_steps]
        if self.text is not None:
            return [self.text]
        return [token_id for step in steps for token_id in step.token_ids]


class Locality:
    """The generator's and the PRM's prefixes of one problem, by node.

    Attributes:
        thoughts: the PRM reads them (`scaling.search.texts`).
    """

    def __init__(self, root: Path, *, thoughts: bool = True) -> None:
        self.thoughts = thoughts
        root_id = root_prefix_id(root.text)
        self._generator = {root.node_id: PrefixHolder(None, None, known_id=root_id)}
        self._prm = {root.node_id: PrefixHolder(None, None, known_id=root_id)}

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
        base, before = self._generator[parent.node_id], self._prm[parent.node_id]
        last = len(steps)
        for number, step in enumerate(steps, start=1):
            self._generator[step.node_id] = PrefixHolder(replica if number == last else None, base, steps, number)
            before = self._prm[step.node_id] = PrefixHolder(
                None, before, text=scored_text(step, thoughts=self.thoughts)
            )

    def scored(self, path: Path, replica: str) -> None:
        """`replica` scored `path`, so it holds it and every step before it."""
        node: Path | None = path
        while node is not None:
            self._prm[node.node_id].replica = replica
            node = node.parent
