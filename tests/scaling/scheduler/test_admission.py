"""How many problems are open: admission counts what a look at all of them finds, and engines stay full."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.search.tasks import SampleTask
from tests.scaling.scheduler.test_scheduler import STRATEGIES
from tests.support.tiers import some_of
from tests.support.world import World, problems, scheduler_for


class CountedWorld(World):
    """Counts again, after each event, what admission keeps counts of."""

    num_counted = 0

    def _pump(self) -> None:
        super()._pump()
        self.num_counted += 1
        scheduler = self.scheduler
        opened = list(scheduler._open.values())
        for one in opened:
            assert one.num_samples == sum(key in scheduler.samples._items for key in one.keys)
        admission = scheduler._admission
        quiet = [one for one in opened if not one.num_samples]
        assert admission._first.num_quiet == sum(not one.has_sampled for one in quiet)
        assert admission._later.num_quiet == sum(one.has_sampled for one in quiet)
        assert scheduler.num_paths == sum(self._num_steps(one) for one in opened)

    @staticmethod
    def _num_steps(opened) -> int:
        search = opened.search
        arrived = [slot.sampled for slot in search._slots if isinstance(slot.task, SampleTask)]
        delivered = search._request is None or (search._slots and search._slots[0].task.request < len(search.requests))
        return len(search.steps) + sum(len(one.steps) for one in arrived if one is not None and not delivered)


@pytest.mark.parametrize("name", STRATEGIES)
@given(seed=st.integers(0, 10**6), deaths=st.sampled_from([0.0, 0.05]), total=st.sampled_from([None, 60, 300]))
@settings(max_examples=some_of(15), deadline=None)
def test_the_counts_are_those_of_a_look_at_every_open_problem(name, seed, deaths, total):
    world = CountedWorld(scheduler_for(STRATEGIES[name], total_tokens=total), random.Random(seed), death_rate=deaths)
    world.run(problems(8))
    assert world.num_counted > 8
    admission = world.scheduler._admission
    assert (world.scheduler.num_paths, admission._first.num_quiet, admission._later.num_quiet) == (0, 0, 0)


def test_problems_at_a_barrier_count_with_what_they_wait_for_and_others_are_opened_ahead():
    """Beam search: all but one child of each problem has come, so its slots go to problems that follow."""
    scheduler = scheduler_for(STRATEGIES["beam"])
    world = World(scheduler, random.Random(1))
    world.samples["g0"], world.scores["p0"] = [], []
    scheduler.generator_up("g0", 16)
    scheduler.prm_up("p0", 64)
    waiting = iter(enumerate(problems(50)))

    def settle() -> None:
        """Open what is wanted, and answer the PRM, until nothing moves."""
        while True:
            while scheduler.wants_more_problems:
                order, problem = next(waiting)
                scheduler.open(problem, order=order, now_s=0.0)
                world._pump()
            scores, world.scores["p0"] = world.scores["p0"], []
            if not scores:
                return
            scheduler.prm_results("p0", [world._score(call) for call in scores], now_s=0.0)
            world._pump()

    settle()
    before = scheduler.num_open
    calls = world.samples["g0"]
    stragglers = {call.key.split("/")[0]: call for call in calls}
    arrived = [call for call in calls if call is not stragglers[call.key.split("/")[0]]]
    world.samples["g0"] = list(stragglers.values())
    scheduler.generator_results("g0", [world._sample(call) for call in arrived], now_s=0.0)
    world._pump()
    settle()
    assert len(arrived) > 10
    assert scheduler.num_open > before
    assert scheduler.samples.num_in_flight == scheduler.samples.capacity
