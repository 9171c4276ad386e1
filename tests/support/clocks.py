"""The toy world with a clock for each replica: service times, lives and restarts are drawn by each on its own.

In `tests.support.world` one random source decides round by round who answers. Here time passes: every call gets an
exponential service time from its replica's own source, at a speed of that replica's own, so fast replicas overtake slow
ones and parts of one reply arrive in an order that no common clock makes. A replica dies after an exponential life,
loses what it has, and is back after a while.
"""

import heapq
import itertools
import random
from dataclasses import dataclass, field

from tests.support.world import World

MEAN_SERVICE_S = 1.0
MEAN_RESTART_S = 3.0


@dataclass
class Clock:
    """Of one replica: its random source, its speed (1: as fast as the others), and how often it has died."""

    rng: random.Random
    speed: float
    num_lives: int = 0
    scheduled: set[str] = field(default_factory=set)


@dataclass
class ClockedWorld(World):
    """A world whose replicas have clocks of their own.

    Attributes:
        seed: of all clocks.
        mean_life_s: of a replica, in seconds of the simulation; None: none dies.
    """

    seed: int = 0
    mean_life_s: float | None = None
    clocks: dict[str, Clock] = field(default_factory=dict)
    num_deaths: int = 0
    _events: list[tuple[float, int, str, str | None, int]] = field(default_factory=list)
    _count: "itertools.count[int]" = field(default_factory=itertools.count)

    def _round(self, slots: int) -> None:
        """The next event: a call that is done, a death, or a return."""
        if self.comparisons:  # a grader takes no time here
            tasks, self.comparisons = self.comparisons, []
            self._compare(tasks)
            self._pump()
            return
        self._schedule()
        assert self._events, "problems are open, and the scheduler waits for nothing"
        self.now_s, _, replica, key, life = heapq.heappop(self._events)
        clock = self.clocks[replica]
        if key == "return":
            self._up(replica, slots)
        elif life != clock.num_lives:
            return  # of a life that has ended
        elif key is None:
            self._down(replica)
        elif replica in self.samples:
            [call] = [call for call in self.samples[replica] if call.key == key]
            self.samples[replica].remove(call)
            clock.scheduled.discard(key)
            self.scheduler.generator_results(replica, [self._sample(call)], now_s=self.now_s)
        else:
            [score] = [call for call in self.scores[replica] if call.key == key]
            self.scores[replica].remove(score)
            clock.scheduled.discard(key)
            self.scheduler.prm_results(replica, [self._score(score)], now_s=self.now_s)
        self._pump()

    def _schedule(self) -> None:
        """Give every new call its service time, and every new replica its clock."""
        keys = {replica: [call.key for call in calls] for replica, calls in self.samples.items()}
        keys |= {replica: [call.key for call in calls] for replica, calls in self.scores.items()}
        for replica, waiting in keys.items():
            if replica not in self.clocks:
                rng = random.Random(f"{self.seed}/{replica}")
                self.clocks[replica] = Clock(rng, speed=rng.choice([0.2, 1.0, 1.0, 5.0]))
                self._plan_death(replica)
            clock = self.clocks[replica]
            for key in waiting:
                if key not in clock.scheduled:
                    clock.scheduled.add(key)
                    self._push(replica, key, clock.rng.expovariate(clock.speed / MEAN_SERVICE_S))

    def _push(self, replica: str, key: str | None, after_s: float) -> None:
        life = self.clocks[replica].num_lives
        heapq.heappush(self._events, (self.now_s + after_s, next(self._count), replica, key, life))

    def _plan_death(self, replica: str) -> None:
        if self.mean_life_s is not None:
            self._push(replica, None, self.clocks[replica].rng.expovariate(1 / self.mean_life_s))

    def _down(self, replica: str) -> None:
        self.num_deaths += 1
        clock = self.clocks[replica]
        clock.num_lives += 1
        clock.scheduled.clear()
        if replica in self.samples:
            self.samples[replica].clear()
            self.scheduler.generator_down(replica, "killed", now_s=self.now_s)
        else:
            self.scores[replica].clear()
            self.scheduler.prm_down(replica, "killed", now_s=self.now_s)
        self._push(replica, "return", clock.rng.expovariate(1 / MEAN_RESTART_S))

    def _up(self, replica: str, slots: int) -> None:
        if replica in self.samples:
            self.scheduler.generator_up(replica, slots)
        else:
            self.scheduler.prm_up(replica, slots)
        self._plan_death(replica)
