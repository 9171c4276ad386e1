"""How a replica is built: one frozen value per role, filled from the recipe's section of the same name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How a scripted engine behaves (`actors.engines.scripted`).

    Attributes:
        tokens_per_s: of each call, however many there are; 0: at once.
        answers: the right answers of a generator's questions, by `actors.engines.scripted.world.question_key`.
    """

    tokens_per_s: float = 0.0
    answers: Mapping[bytes, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What both roles tell vLLM.

    Attributes:
        kind: what serves it: vLLM, or a stand-in without a model.
        model: folder with the weights in the layout of transformers; a stand-in's name.
        dtype: of the weights and activations.
        max_model_len: context limit in tokens; None takes the model's own.
        max_num_seqs: calls that the engine batches.
        max_num_batched_tokens: tokens of one engine step; None lets vLLM choose (on CPU: above the longest prompts,
            because seeds do not survive chunked prefill there).
        block_size: tokens of one KV-cache block, the grain of prefix reuse; None lets vLLM choose.
        kv_cache_gib: size of the KV cache; None lets vLLM take what `gpu_memory_utilization` leaves (GPU only).
        gpu_memory_utilization: share of the device's memory that the engine may take.
        enforce_eager: skip graph capture and compilation: a faster start, a slower GPU engine.
        tensor_parallel_size: GPUs that one replica spans.
        trust_remote_code: code in the model's folder is run.
        queue_limit: calls that one replica accepts before it answers `QueueFull`.
        cpu_threads: OpenMP threads of a CPU engine.
        script: of a scripted engine.
        active_parameters: that a token is multiplied with; None: counted from the model's files.
    """

    kind: Literal["vllm", "scripted"] = "vllm"
    model: str
    dtype: Literal["float32", "bfloat16", "float16", "auto"]
    max_model_len: int | None
    max_num_seqs: int
    max_num_batched_tokens: int | None
    block_size: int | None
    kv_cache_gib: float | None
    gpu_memory_utilization: float
    enforce_eager: bool
    tensor_parallel_size: int
    queue_limit: int
    cpu_threads: int
    trust_remote_code: bool = False
    script: Script = field(default_factory=Script)
    active_parameters: int | None = None


@dataclass(frozen=True, slots=True)
class ShownExample:
    """A problem that the prompt shows solved: the text that stands where a question does, and what was answered."""

    question: str
    answer: str


Mark = str | tuple[int, ...]
"""What begins or ends a thought: its text, or its token ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingSettings:
    """How thoughts are told apart from answers (`actors.engines.thoughts`).

    Attributes:
        preset: a family by its name, or "auto": what the model's files say.
        pairs: marks that begin and end a thought, which take the family's place; empty: the family's.
        opened_by_template: the prompt opens the thought; None: it does if it ends with what begins one.
        max_thinking_tokens: of the thoughts of a sample; None: any number.
        min_thinking_tokens: of a thought before it may end.
        closing_text: closes a thought at the limit; None: the family's.
        prolonging_text: takes the place of an end that comes too early.
        steps: what ends one within a thought: the generator's separator, words at which it turns, or only its end.
        step_words: these words; None: the family's.
        step_tokens: after so many tokens a step within a thought ends anyhow; None: it does not.
        max_steps: of the thoughts of a sample that is drawn to its end; None: any number.
    """

    preset: str = "auto"
    pairs: tuple[tuple[Mark, Mark], ...] = ()
    opened_by_template: bool | None = None
    max_thinking_tokens: int | None = None
    min_thinking_tokens: int = 0
    closing_text: str | None = None
    prolonging_text: str = "Wait"
    steps: Literal["separator", "words", "whole"] = "separator"
    step_words: tuple[str, ...] | None = None
    step_tokens: int | None = None
    max_steps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorSettings(EngineSettings):
    """A generator replica.

    Attributes:
        prompt_template: text of the prompt; `{question}` is replaced by the problem's text.
        chat: wrap the prompt as a user message in a chat template.
        system_prompt: system message of the chat; None for none.
        examples: shown before the question, in this order: as turns of the chat, or as text.
        between_examples: text after each example where there is no chat.
        chat_template: source of a template that takes the place of the model's; None: the model's own.
        chat_template_kwargs: variables that the chat template gets besides.
        separator: the text that ends a step.
        max_logprobs: most `top_logprobs` of a call.
        seeded: each sample is drawn with the seed of its call; else all from one stream, another in each process.
        logprobs: log-probabilities of sampled tokens are given also where a call asks for none of the likeliest.
        thinking: how its thoughts are told apart from its answers; None: they are not.
        adapter: folder of a LoRA adapter that all its samples go through; None: the model as it is.
    """

    prompt_template: str
    chat: bool
    system_prompt: str | None
    separator: str
    max_logprobs: int
    seeded: bool = True
    logprobs: bool = True
    examples: tuple[ShownExample, ...] = ()
    between_examples: str = "\n\n"
    chat_template: str | None = None
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    thinking: ThinkingSettings | None = None
    adapter: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrmSettings(EngineSettings):
    """A PRM replica.

    Attributes:
        overlong: what to do with an input above `max_model_len`: "keep_tail" drops whole steps after the question,
            oldest first, and marks the score as truncated; "refuse" fails the call.
        family: how it writes paths and reads scores: "auto" finds out from the folder; or a name of
            `actors.engines.prm.families.FAMILIES`, or `module:function`.
    """

    overlong: Literal["keep_tail", "refuse"]
    family: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSpec:
    """Low-rank adapters on a PRM's backbone; the defaults are those of "Know What You Don't Know" (arXiv 2506.09338).

    Attributes:
        rank: r; 0 leaves the backbone as it is, so that only the head is trained.
        alpha: the update is scaled by alpha / rank.
        dropout: of the adapters' inputs while training.
        target_modules: names of the linear layers within a decoder layer.
        every_nth_layer: 4 adapts layers 3, 7, 11, ... (from 0); 1 adapts all.
    """

    rank: int = 2
    alpha: float = 32.0
    dropout: float = 0.1
    target_modules: tuple[str, ...] = ("q_proj", "v_proj")
    every_nth_layer: int = 4
