"""The parts of the comparison that need no engine: counters, ratios, turns, prompts, problems, driven searches."""

from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from actors.engines.chat import ChatTemplate, special_tokens
from actors.engines.settings import GeneratorSettings, PrmSettings
from benchmarks.versus.__main__ import FIRST_SEED, arguments_of, variants
from benchmarks.versus.job import EXAMPLE, RECIPES, Job
from benchmarks.versus.metrics import parse_metrics, requests_between, tokens_between
from benchmarks.versus.one_per_worker import drawn
from benchmarks.versus.openai_server import CHAT_TEMPLATE, command_line
from benchmarks.versus.passes import OURS, PEER, Pass, Tokens, ratios, spread, take_turns
from benchmarks.versus.prm_server import split_steps
from benchmarks.versus.problem_mix import choose_problems, length_facts, long_tail, solution_length
from benchmarks.versus.processes import read_settings, settings_text
from benchmarks.versus.ray_data import voted
from benchmarks.versus.searches import Drawn, Search, solution_of
from benchmarks.versus.watch import by_side
from examples.arithmetic.common import Problem, read_problems
from jobs.recipes.strategy_factory import strategy_factory
from records.path import FinishReason
from records.request import Until

PAGE = """\
# HELP vllm:generation_tokens_total Number of generation tokens processed.
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="generator"} %s
vllm:prompt_tokens_total{engine="0",model_name="generator"} %s
vllm:prefix_cache_hits_total{engine="0",model_name="generator"} 64.0
http_requests_total{handler="/v1/chat/completions",method="POST",status="2xx"} %s
http_requests_total{handler="/v1/completions",method="POST",status="2xx"} 1.0
"""


def test_counters_are_summed_over_labels_and_compared_with_those_before() -> None:
    before, after = parse_metrics(PAGE % ("10.0", "2e1", "3.0")), parse_metrics(PAGE % ("45.0", "5e1", "5.0"))
    assert before["http_requests_total"] == 4.0
    assert tokens_between(before, after) == Tokens(generated=35, prompt=30)
    assert requests_between(before, after) == 2
    with pytest.raises(KeyError):
        tokens_between({}, {"vllm:generation_tokens_total": 1.0})


def a_pass(seconds, generated=100, cpu=2.0):
    return Pass(
        seconds=seconds,
        whole_seconds=2 * seconds,
        problems=4,
        failed=0,
        accuracy=1.0,
        tokens=Tokens(generated=generated),
        cpu_seconds={"engine": cpu, "others": 50.0, "waiting side": 70.0},
    )


def test_ratios_are_above_one_where_ours_is_better() -> None:
    pairs = [
        {OURS: [a_pass(1.0), a_pass(3.0)], PEER: [a_pass(4.0, 50, 4.0), a_pass(4.0, 50, 4.0)]},
        {OURS: [a_pass(2.0), a_pass(2.0)], PEER: [a_pass(2.0, 50, 4.0), a_pass(2.0, 50, 4.0)]},
        {OURS: [a_pass(2.0), a_pass(2.0)], PEER: [a_pass(6.0, 50, 4.0), a_pass(6.0, 50, 4.0)]},
    ]
    found = ratios(pairs)
    assert (found["problems_per_s"].median, found["problems_per_s"].lowest, found["problems_per_s"].highest) == (
        2,
        1,
        3,
    )
    assert found["tokens_per_s"].median == 4
    assert found["fewer_tokens"].median == 0.5
    assert found["less_cpu"].median == 2
    assert found["less_cpu_per_token"].median == 4


def test_a_measure_that_a_side_lacks_has_no_ratio() -> None:
    unsampled = Pass(**{name: getattr(a_pass(1.0), name) for name in Pass.__slots__} | {"cpu_seconds": {}})
    found = ratios([{OURS: [unsampled], PEER: [a_pass(1.0)]}])
    assert "less_cpu" not in found
    assert "problems_per_s" in found
    with pytest.raises(ValueError, match="nothing was measured"):
        spread([])


def test_sides_take_turns_a_b_b_a() -> None:
    turns = []

    class Noting:
        def __init__(self, name):
            self._name = name

        def warm_up(self) -> None:
            raise AssertionError

        def run(self, seed):
            turns.append((self._name, seed))
            return a_pass(1.0)

    passes = take_turns(Noting("a"), Noting("b"), FIRST_SEED)
    assert [name for name, _ in turns] == ["a", "b", "b", "a"]
    assert len({seed for _, seed in turns}) == 4
    assert {name: len(each) for name, each in passes.items()} == {OURS: 2, PEER: 2}


def test_processes_of_the_side_that_waits_are_told_apart() -> None:
    spent = {"peer client": 1.0, "peer server": 2.0, "controller": 0.25, "an engine": 0.25, "others": 3.0}
    assert by_side(spent, of_peer=True) == {"client": 1.0, "server": 2.0, "waiting side": 0.5, "others": 3.0}
    assert by_side(spent, of_peer=False) == {
        "waiting side": 3.0,
        "controller": 0.25,
        "an engine": 0.25,
        "others": 3.0,
    }


@cache
def job(method, folder):
    return Job(method, read_problems(EXAMPLE / "test.jsonl")[:3], EXAMPLE / "test.jsonl", folder)


@pytest.mark.parametrize("num_steps", [0, 1, 2])
def test_the_chat_template_writes_what_our_generator_is_given(tmp_path, num_steps) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template  # noqa: PLC0415 - heavy

    render: Any = render_jinja_template
    ours = job("beam-search", tmp_path)
    template = ChatTemplate(CHAT_TEMPLATE.read_text(), special_tokens(Path(ours.generator.model)))
    steps = ["55+52=107 so 107\n\n", "\\boxed{107}\n\n"][:num_steps]
    for problem in ours.problems:
        messages = [{"role": "user", "content": problem.question}]
        if steps:
            messages.append({"role": "assistant", "content": "".join(steps)})
        [text], _ = render(
            [messages],
            chat_template=template.source,
            continue_final_message=bool(steps),
            add_generation_prompt=not steps,
            **template.special_tokens,
        )
        sampled = ours.tokenizer.encode("".join(steps), special=False)
        assert ours.tokenizer.encode(text, special=False) == (*ours.prompt_ids(problem.question), *sampled)


def test_every_method_has_a_recipe_with_the_same_engines_and_limits(tmp_path) -> None:
    jobs = [job(method, tmp_path) for method in RECIPES]
    assert len({each.generator for each in map(partial(without_script), jobs)}) == 1
    assert {each.recipe.strategy.model_dump()["num_samples"] for each in jobs} == {16}
    assert {each.recipe.generator.temperature for each in jobs} == {0.7}
    assert [each.prm is None for each in jobs] == [True, False, False, False]


def without_script(each):
    class Plain:
        generator = settings_text(each.generator)

    return Plain


def test_settings_travel_as_text(tmp_path) -> None:
    each = job("best-of-n", tmp_path)
    assert each.prm is not None
    assert read_settings(GeneratorSettings, settings_text(each.generator)) == each.generator
    assert read_settings(PrmSettings, settings_text(each.prm)) == each.prm


def test_engine_arguments_as_command_line() -> None:
    arguments = {"max_num_seqs": 64, "enforce_eager": True, "enable_chunked_prefill": False, "block_size": None}
    assert list(command_line(arguments)) == ["--max-num-seqs=64", "--enforce-eager", "--no-enable-chunked-prefill"]


def test_steps_of_a_solution() -> None:
    assert split_steps("a\n\nb\n\n\n\nc\n\n") == ["a", "b", "c"]
    assert split_steps("") == []


def test_a_tail_is_a_tenth_and_much_longer(tmp_path) -> None:
    length_of = solution_length(lambda text: len(job("best-of-n", tmp_path).tokenizer.encode(text, special=False)))
    chosen = choose_problems("long-tail", 40, length_of)
    lengths = [length_of(problem) for problem in chosen]
    facts = length_facts(lengths)
    assert len({problem.problem_id for problem in chosen}) == 40
    assert sum(length > 3 * median(lengths) for length in lengths) == 4
    assert facts.tail_over_median > 5
    assert choose_problems("example", 5, length_of) == read_problems(EXAMPLE / "test.jsonl")[:5]


def test_a_mix_of_made_problems() -> None:
    body = [Problem(f"b{at}", "x", "1", 1) for at in range(30)]
    longer = [Problem(f"t{at}", "x" * (10 + at), "1", 9) for at in range(5)]
    chosen = long_tail(body, longer, 20, lambda problem: len(problem.question))
    assert [problem.problem_id for problem in chosen if problem.level == 9] == ["t4", "t3"]
    assert [at for at, problem in enumerate(chosen) if problem.level == 9] == [9, 19]


def test_variants_of_a_peer() -> None:
    assert [name for name, _ in variants(["its_hub"], "beam-search")] == ["its_hub", "its_hub, equal first candidates"]
    assert [name for name, _ in variants(["its_hub"], "best-of-n")] == ["its_hub"]
    assert arguments_of(["--problems", "4"]).pairs == 5


def test_a_completion_of_the_server() -> None:
    choice = {"text": "a\n\n", "token_ids": [1, 2], "finish_reason": "stop", "stop_reason": "\n\n"}
    assert drawn(choice, "\n\n").finish_reason is FinishReason.SEPARATOR
    assert drawn(choice | {"stop_reason": None}, "\n\n").finish_reason is FinishReason.EOS
    assert drawn(choice | {"stop_reason": None, "finish_reason": "length"}, "\n\n").finish_reason is FinishReason.LENGTH


def sample(text):
    ended = FinishReason.SEPARATOR if text.endswith("\n\n") else FinishReason.EOS
    return Drawn(text=text, token_ids=tuple(text.encode()), finish_reason=ended)


def test_a_search_driven_by_hand(tmp_path) -> None:
    search = Search(strategy_factory(job("beam-search", tmp_path).recipe), "Compute 1+1.")
    [asked] = search.samples()
    assert (asked.prefix_ids, asked.num_samples, asked.until, asked.max_tokens) == ((), 16, Until.STEP, 96)
    search.deliver([[sample(f"{at}\n\n") for at in range(16)]])
    assert search.unscored() == [f"{at}\n\n" for at in range(16)]
    search.finish([at / 100 for at in range(16)])
    kept = search.samples()
    assert [(bytes(each.prefix_ids), each.num_samples) for each in kept] == [
        (f"{at}\n\n".encode(), 4) for at in (15, 14, 13, 12)
    ]
    search.deliver([[sample(f"\\boxed{{{at}}}") for at in range(4)] for _ in kept])
    assert search.choice is None
    search.finish([at / 100 for at in range(16)])
    assert solution_of(search) == "12\n\n\\boxed{3}"


def test_votes_need_no_scores(tmp_path) -> None:
    search = Search(strategy_factory(job("self-consistency", tmp_path).recipe), "Compute 1+1.")
    search.deliver([[sample(f"\\boxed{{{min(at, 2)}}}") for at in range(16)]])
    assert search.unscored() == []
    search.finish([])
    assert solution_of(search) == "\\boxed{2}"


def test_a_vote_among_rows() -> None:
    assert voted(["\\boxed{1}", "none", "none", "none", "\\boxed{2} ", "\\boxed{2}"]) == "\\boxed{2} "
    assert voted(["none", "nothing"]) == "none"
