"""What happens in a schedule: who is struck how, and when. Drawn from a seed, so that it can be had again."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tests.chaos.workloads import WORKLOADS, Engines, Workload

Store = Literal["local", "s3"]
Action = Literal["kill", "freeze", "hang", "take over", "fill", "restart", "fail", "lose"]

DRIVER, CONTROLLER, WRITER, GENERATOR, PRM, GRADER = "driver", "controller", "writer", "generator", "prm", "grader"
RAYLET, GCS, EVERYTHING, DISK, SERVER, WRITE = "raylet", "gcs", "everything", "disk", "s3 server", "write"
PROCESSES = (DRIVER, CONTROLLER, WRITER, GENERATOR, PRM, GRADER, RAYLET, GCS, EVERYTHING)
ALL_VICTIMS = (*PROCESSES, DISK, SERVER, WRITE)

WRITTEN = ("probe", "manifest", "lease", "heartbeat", "part", "commit", "success")
"""Kinds of durable writes that any run has."""
ANY_NUMBER = ("part", "commit")
"""Those that a run has many of."""
WHILE_WORKING = ("heartbeat", "part", "commit", "success")
"""Those at which a controller, its replicas and its grader are there."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When: around a durable write, or when so much has been sampled.

    Attributes:
        kind: of the write; None for a share.
        number: of its kind in the schedule, from 1.
        after: it has been done.
        share: of the tokens that the undisturbed run samples.
    """

    kind: str | None = None
    number: int = 1
    after: bool = False
    share: float = 0.0

    def __str__(self) -> str:
        """For people."""
        if self.kind is None:
            return f"at {self.share:.0%}"
        return f"{'after' if self.after else 'before'} {self.kind} {self.number}"


@dataclass(frozen=True, slots=True)
class Strike:
    """Something happens to someone, once."""

    victim: str
    action: Action
    moment: Moment
    pause_s: float = 0.0
    """Of a freeze, a full disk, a server that is down."""

    def __str__(self) -> str:
        """For people."""
        lasting = f" for {self.pause_s:.1f} s" if self.pause_s else ""
        return f"{self.action} {self.victim}{lasting} {self.moment}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that is decided of one schedule.

    Attributes:
        lost_replies: share of the replies of channels that are lost after the call was carried out.
        late_replies: share that come up to two seconds late.
        bad_answers: share of the store's answers over HTTP that are an error, cut, slow, or lost after the write.
    """

    number: int
    workload: Workload
    engines: Engines
    store: Store
    strikes: tuple[Strike, ...]
    lost_replies: float = 0.0
    late_replies: float = 0.0
    bad_answers: float = 0.0

    def __str__(self) -> str:
        """For people."""
        shares = {"replies lost": self.lost_replies, "late": self.late_replies, "bad answers": self.bad_answers}
        said = [f"{share:.0%} {what}" for what, share in shares.items() if share]
        where = f"{self.workload.name} on {self.engines} engines, {self.store} store"
        return f"{self.number}: {where}: " + "; ".join([*map(str, self.strikes), *said])


def draw(
    seed: int,
    number: int,
    *,
    engines: Engines,
    stores: Sequence[Store],
    victims: Sequence[str],
    workloads: Sequence[Workload] = WORKLOADS,
) -> Schedule:
    """Schedule `number` of a seed: one to three strikes, and in some of them a network that loses and delays."""
    chance = random.Random(f"{seed}/{number}")
    workload, store = chance.choice(list(workloads)), chance.choice(list(stores))
    unfit = {SERVER} if store == "local" else {DISK}
    unfit |= set() if workload.has_prm else {PRM}
    fit = [victim for victim in victims if victim not in unfit]
    strikes = tuple(_strike(chance, chance.choice(fit)) for _ in range(chance.choice((1, 1, 2, 2, 3))))
    rough = chance.random() < 0.25
    return Schedule(
        number,
        workload,
        engines,
        store,
        strikes,
        lost_replies=0.03 if rough else 0.0,
        late_replies=0.1 if rough else 0.0,
        bad_answers=0.05 if store == "s3" and chance.random() < 0.5 else 0.0,
    )


def _strike(chance: random.Random, victim: str) -> Strike:
    pause_s = round(chance.uniform(0.5, 4.0), 1)
    if victim == WRITE:
        return Strike(victim, chance.choice(("fail", "lose")), _around_a_write(chance, WRITTEN))
    if victim == DISK:
        return Strike(victim, "fill", _some_time(chance), pause_s)
    if victim == SERVER:
        return Strike(victim, "restart", _some_time(chance), pause_s)
    kinds = {DRIVER: WRITTEN, EVERYTHING: WRITTEN, WRITER: WRITTEN[1:]}.get(victim, WHILE_WORKING)
    moment = _around_a_write(chance, kinds) if chance.random() < 0.5 else _some_time(chance)
    action: Action = "kill" if chance.random() < 0.7 else "freeze"
    if victim in {GENERATOR, PRM} and chance.random() < 0.2:
        return Strike(victim, "hang", moment)
    if victim == EVERYTHING:
        return Strike(victim, "take over", moment) if action == "freeze" else Strike(victim, "kill", moment)
    return Strike(victim, action, moment, pause_s if action == "freeze" else 0.0)


def _some_time(chance: random.Random) -> Moment:
    return Moment(share=round(chance.uniform(0.05, 0.95), 2))


def _around_a_write(chance: random.Random, kinds: Sequence[str]) -> Moment:
    kind = chance.choice(kinds)
    return Moment(kind, chance.randint(1, 6) if kind in ANY_NUMBER else 1, chance.random() < 0.5)


def enumerated(workload: Workload, engines: Engines, store: Store, victims: Sequence[str]) -> list[Schedule]:
    """A kill of each victim before and after the first write of each kind, the second part and the third commit."""
    numbered = [(kind, 1) for kind in WRITTEN] + [("part", 2), ("commit", 3)]
    moments = [Moment(kind, number, after) for kind, number in numbered for after in (False, True)]
    strikes = [Strike(victim, "kill", moment) for moment in moments for victim in victims]
    return [Schedule(at, workload, engines, store, (strike,)) for at, strike in enumerate(strikes)]
