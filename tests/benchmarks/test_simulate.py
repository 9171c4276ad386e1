"""The simulated cluster: its clock, its engines against sums by hand, and what admission promises on it."""

import asyncio
import json
import time

import pytest

from benchmarks.simulate import main, parser, simulated
from benchmarks.simulation.clock import Deadlock, SimulatedLoop
from benchmarks.simulation.engines import SimulatedGenerator
from benchmarks.simulation.rates import RATES, EngineRates, rates_of
from benchmarks.simulation.texts import Lengths, say
from records.calls import SampleCall, Sampling, TokenPrefix, root_prefix_id
from records.failure import InvalidInput
from records.path import FinishReason
from records.request import Until

pytestmark = pytest.mark.slow

SMALL = ("--slots", "8", "--problems", "40", "--generators", "1", "--num-samples", "4")


def found(*arguments: str):
    return simulated(parser().parse_args([*SMALL, *arguments]))


def test_the_clock_jumps_and_nothing_waits():
    async def sleepers() -> list[float]:
        loop = asyncio.get_running_loop()
        seen: list[float] = []

        async def sleep(seconds: float) -> None:
            await asyncio.sleep(seconds)
            seen.append(loop.time())

        await asyncio.gather(sleep(3000.0), sleep(1.5), asyncio.to_thread(time.monotonic))
        return seen

    loop = SimulatedLoop()
    assert loop.run_until_complete(sleepers()) == pytest.approx([1.5, 3000.0])
    with pytest.raises(Deadlock):
        loop.run_until_complete(loop.create_future())
    loop.close()


def call(number: int) -> SampleCall:
    question = f"question {number}"
    prefix = TokenPrefix(question, ())
    return SampleCall(f"p{number}/1/0~1", root_prefix_id(question), prefix, Until.END, 2048, number, Sampling(0.7))


def test_an_engine_takes_as_long_as_its_rates_say():
    """Two calls in two slots, a third waits for the first to end; each size of batch has its own rate."""
    loop, lengths, done = SimulatedLoop(), Lengths(), {}
    rates = EngineRates({1: 0.010, 2: 0.015}, 12_000.0, "by hand")
    engine = SimulatedGenerator(
        loop, rates, 2, lengths, lambda result: done.update({result.key: (loop.time(), result)})
    )
    calls = [call(number) for number in range(3)]
    sizes = [sum(len(step.token_ids) for step in say(one, 0, lengths)) for one in calls]
    loop.call_soon(engine.accept, calls)
    loop.run_until_complete(asyncio.sleep(1000.0))
    first, second = sorted(range(2), key=lambda number: sizes[number])
    prefill_s = lengths.question / 12_000.0
    expected = 2 * prefill_s + sizes[first] * 0.015  # both at once, until the shorter one ends
    assert done[calls[first].key][0] == pytest.approx(expected)
    both = min(sizes[second] - sizes[first], sizes[2])
    expected += prefill_s + both * 0.015
    assert min(done[calls[second].key][0], done[calls[2].key][0]) == pytest.approx(expected)
    expected += (max(sizes[second] - sizes[first], sizes[2]) - both) * 0.010
    assert max(done[calls[second].key][0], done[calls[2].key][0]) == pytest.approx(expected)
    assert done[calls[2].key][1].queued_s == pytest.approx(done[calls[first].key][0])
    assert engine.num_tokens == sum(sizes)
    loop.close()


def test_what_is_said_follows_from_the_seed_and_fits_the_call():
    lengths = Lengths()
    steps = say(call(5), 0, lengths)
    assert steps == say(call(5), 0, lengths)
    assert steps[-1].finish_reason in (FinishReason.EOS, FinishReason.LENGTH)
    assert {step.finish_reason for step in steps[:-1]} <= {FinishReason.SEPARATOR}
    assert sum(len(step.token_ids) for step in steps) <= 2048


def test_the_same_run_has_the_same_figures():
    measured = {"controller_seconds_per_step", "controller_cores"}
    one, other = (found("--strategy", "beam-search", "--problems", "12") for _ in range(2))
    assert {key: value for key, value in one.items() if key not in measured} == {
        key: value for key, value in other.items() if key not in measured
    }
    assert one["scores"] > one["samples"] > 12 * 4


@pytest.mark.parametrize("strategy", ["majority", "best-of-n", "beam-search", "sequential", "marginal"])
def test_slots_are_full_until_the_last_problem_opens(strategy):
    one = found("--strategy", strategy, "--cap-share", "1.5")
    if strategy == "marginal":  # one window, all open at once
        assert one["utilisation_until_last_opened"] is None
    else:
        assert one["utilisation_until_last_opened"] > 0.95


def test_slow_commits_do_not_starve_engines_and_a_bound_does():
    slow = found("--commit-ms", "30000")
    assert slow["utilisation_until_last_opened"] > 0.97
    assert slow["most_unwritten_problems"] > 10
    assert found("--max-open-problems", "1")["utilisation_until_last_opened"] < 0.6


def test_the_command_prints_json_or_a_table_and_refuses_bad_rates(capsys, tmp_path):
    assert main([*SMALL, "--json"]) == 0
    object_found = json.loads(capsys.readouterr().out)
    assert object_found.keys() > {"utilisation_until_last_opened", "utilisation", "controller_seconds_per_step"}
    assert main(list(SMALL)) == 0
    assert "slots in use until the last problem opened" in capsys.readouterr().out
    assert main([*SMALL, "--rates", "nowhere"]) == 2
    file = tmp_path / "rates.json"
    for content in (
        "[]",
        "{}",
        '{"token_s": {"1": 0}, "prefill_tokens_per_s": 5}',
        '{"token_s": {}, "prefill_tokens_per_s": 5}',
    ):
        file.write_text(content)
        with pytest.raises(InvalidInput, match="rates"):
            rates_of(str(file))
    file.write_text('{"token_s": {"1": 0.01, "8": 0.02}, "prefill_tokens_per_s": 5000}')
    assert rates_of(str(file)).by_batch(9) == pytest.approx([0.01, 0.01, *(0.01 + 0.01 / 7 * n for n in range(1, 9))])
    assert RATES["gpu-8b"].by_batch(64)[64] == pytest.approx(0.0263)


@pytest.mark.long
def test_what_is_decided_is_cancelled_and_the_run_is_shorter():
    """Sixteen samples of each problem until no other answer can win, or until three have come."""
    plain, decided = (
        found("--strategy", name, "--num-samples", "16") for name in ("majority", "majority-until-decided")
    )
    assert decided["tokens"] < plain["tokens"]
    assert decided["simulated_s"] < plain["simulated_s"]
    assert 0 <= decided["last_5_percent_s"] <= decided["simulated_s"]
    first = found("--strategy", "short-m-of-k", "--num-samples", "16")
    assert first["tokens"] < 0.7 * plain["tokens"]
