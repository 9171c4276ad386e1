"""How busy the engines were over a run: differences of what its commits say, epoch by epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from jobs.display.numbers import duration, percent
from jobs.reporting.plots import Diagram, Table
from jobs.reporting.svg import SERIES, Words, inline_svg
from records.usage import Role, UsagePoint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROLES: dict[Role, str] = {"generator": "generator replicas", "prm": "PRM replicas"}
MAX_INTERVALS = 120
"""More commits than that are taken together: a screen shows no more."""


@dataclass(frozen=True, slots=True)
class UsageInterval:
    """The time between two commits of one epoch.

    Attributes:
        start_s: since the run's first commit with a usage, by the clock of who wrote them; `end_s` alike.
        busy: role -> share of the replica-seconds in which a call was in flight; null where none was held.
        calls: role -> mean number of calls in flight of a replica; null likewise.
    """

    epoch: int
    start_s: float
    end_s: float
    busy: dict[Role, float | None]
    calls: dict[Role, float | None]


def usage_intervals(points: Sequence[UsagePoint]) -> list[UsageInterval]:
    """Between neighbours of one epoch, at most `MAX_INTERVALS` or one more for each epoch; an epoch begins at 0."""
    if not points:
        return []
    start_s = min(_moment_s(point) - point.usage.elapsed_s for point in points)
    step = max(1, -(-len(points) // MAX_INTERVALS))
    found: list[UsageInterval] = []
    for epoch, group in groupby(points, key=lambda point: point.epoch):
        own = list(group)
        begun_s = _moment_s(own[0]) - own[0].usage.elapsed_s - start_s
        kept = [*own[:-1][step - 1 :: step], own[-1]]
        states = [(0.0, _counters(None)), *((point.usage.elapsed_s, _counters(point)) for point in kept)]
        found += [
            UsageInterval(epoch, begun_s + before_s, begun_s + after_s, *_shares(before, after))
            for (before_s, before), (after_s, after) in pairwise(states)
            if after_s > before_s
        ]
    return found


_Counters = dict[Role, tuple[float, float, float]]
"""Role -> seconds held, busy, and call-seconds."""


def _counters(point: UsagePoint | None) -> _Counters:
    replicas = point.usage.replicas if point else ()
    own = {role: [item for item in replicas if item.role == role] for role in ROLES}
    return {
        role: (sum(item.held_s for item in own[role]), sum(item.busy_s for item in own[role]),
               sum(item.call_s for item in own[role]))
        for role in ROLES
    }  # fmt: skip


def _shares(before: _Counters, after: _Counters) -> tuple[dict[Role, float | None], dict[Role, float | None]]:
    busy: dict[Role, float | None] = {}
    calls: dict[Role, float | None] = {}
    for role in ROLES:
        held_s, busy_s, call_s = (late - early for early, late in zip(before[role], after[role], strict=True))
        busy[role] = busy_s / held_s if held_s > 0 else None
        calls[role] = call_s / held_s if held_s > 0 else None
    return busy, calls


def _moment_s(point: UsagePoint) -> float:
    return datetime.fromisoformat(point.created_at).timestamp()


def usage_diagram(found: Sequence[UsageInterval]) -> Diagram:
    """Busy share and calls in flight of each role over time; at least one interval."""
    roles = [role for role in ROLES if any(item.busy[role] is not None for item in found)]

    def draw(figure: "Figure") -> None:
        above, beneath = figure.subplots(2, 1, sharex=True)
        for number, role in enumerate(roles):
            for item in found:
                place = (item.start_s / 60, item.end_s / 60)
                for axes, value, scale in ((above, item.busy[role], 100.0), (beneath, item.calls[role], 1.0)):
                    if value is not None:
                        axes.plot(place, (scale * value,) * 2, color=SERIES[number], linewidth=2.4,
                                  linestyle=("-", "--")[number], solid_capstyle="butt")  # fmt: skip
            above.plot([], [], color=SERIES[number], linestyle=("-", "--")[number], linewidth=2.4, label=ROLES[role])
        above.set_ylim(-3, 103)
        above.set_ylabel("Busy (%)")
        beneath.set_ylim(bottom=0)
        beneath.set_ylabel("Calls in flight")
        beneath.set_xlabel("Minutes since the run began")
        above.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=9)

    words = Words(
        "usage",
        "Engine utilisation over time",
        "Above, the share of time in which a replica had a call in flight; below, how many calls a replica had in "
        "flight on average. The table beneath has every interval.",
    )
    rows = tuple(
        (f"{duration(item.start_s)} to {duration(item.end_s)}", str(item.epoch),
         *(_said(item.busy[role], "share") for role in roles), *(_said(item.calls[role], "number") for role in roles))
        for item in found
    )  # fmt: skip
    headings = (
        "Time", "Epoch", *(f"{ROLES[role]}, busy" for role in roles),
        *(f"{ROLES[role]}, calls in flight" for role in roles),
    )  # fmt: skip
    caption = "Between commits; the first interval of an epoch holds the start-up of its replicas."
    return Diagram(inline_svg(draw, words, height_in=3.8), caption, Table("Utilisation over time", headings, rows))


def _said(value: float | None, kind: str) -> str:
    if value is None:
        return "unknown"
    return percent(value) if kind == "share" else f"{value:.1f}"
