"""How families of models write their thoughts, and which family a model's own files say that it is of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.engines.chat import read_chat_template
from actors.engines.model_files import TOKENIZER_FILE
from actors.engines.settings import GeneratorSettings, Mark, ThinkingSettings
from actors.engines.text import TextTokenizer, read_tokenizer
from records.failure import InvalidInput

FROM_FILES = "auto"
_TAGS = ("<think>", "</think>")
QWEN3_CLOSING_TEXT = (
    "Considering the limited time by the user, I have to give the solution based on the thinking directly now.\n"
    "</think>\n\n"
)
"""Of the thinking budget in the Qwen3 technical report (arXiv 2505.09388, section 4.3)."""


TURNS = tuple(
    f"\n\n{word}"
    for word in ("Wait", "But", "Hmm", "Alternatively", "However", "Actually", "Let me check", "Let me verify")
)
"""Paragraphs of a thought that begin so check, doubt or try something else: the transitions of DEER (arXiv 2504.15895)
and of SEAL (arXiv 2504.07986)."""


@dataclass(frozen=True, slots=True)
class ThinkingFamily:
    """One way of writing thoughts.

    Attributes:
        name: as a recipe spells it.
        pairs: marks that begin and end a thought. Text between any of these pairs is thought.
        closing_text: what its authors close a thought with that is to end; None: its end and an empty line.
        turns: texts at which it turns to something else in a thought.
    """

    name: str
    pairs: tuple[tuple[Mark, Mark], ...]
    closing_text: str | None = None
    turns: tuple[str, ...] = TURNS


THINKING_FAMILIES = {
    family.name: family
    for family in (
        ThinkingFamily("deepseek-r1", (_TAGS,)),
        ThinkingFamily("qwen3", (_TAGS,), QWEN3_CLOSING_TEXT),
        ThinkingFamily("qwq", (_TAGS,)),
        ThinkingFamily("magistral", (("[THINK]", "[/THINK]"),)),
        ThinkingFamily(
            "gpt-oss",
            (
                ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
                ("<|channel|>commentary<|message|>", "<|channel|>final<|message|>"),
            ),
            "<|end|><|start|>assistant<|channel|>final<|message|>",
            tuple(
                f"\n\n{word}" for word in ("Wait", "But", "Hmm", "Maybe", "Alternatively", "Let's check", "Let's test")
            ),
        ),
    )
}
"""By name. DeepSeek-R1 and its distillations, whose template opens the thought; Qwen3; QwQ; Magistral from 2507 on; the
channels of OpenAI's harmony format, in which all is thought until the final channel begins."""


def thinking_family(
    settings: GeneratorSettings, thinking: ThinkingSettings, tokenizer: TextTokenizer
) -> ThinkingFamily:
    """The family of a generator whose recipe has a section on thoughts.

    Args:
        settings: of the generator; its model's folder is read where the family is not named.
        thinking: that section.
        tokenizer: of the model.

    Raises:
        InvalidInput: neither the settings nor the model's files say how it writes thoughts.
    """
    if thinking.pairs:
        return ThinkingFamily("of the recipe", thinking.pairs)
    if thinking.preset != FROM_FILES:
        return THINKING_FAMILIES[thinking.preset]
    if settings.kind == "scripted":
        return THINKING_FAMILIES["deepseek-r1"]
    found = _found(_template(Path(settings.model), settings), tokenizer)
    if found is None:
        raise InvalidInput(
            f"generator.thinking: neither tokenizer nor chat template of {settings.model} says how it writes thoughts: "
            f"set preset to one of {', '.join(THINKING_FAMILIES)}, or start and end"
        )
    return found


def thinking_warnings(model: Path, settings: GeneratorSettings) -> tuple[str, ...]:
    """A sentence if the files of a model say that it thinks, and the recipe does not tell its thoughts apart."""
    if settings.thinking is not None or settings.kind == "scripted" or not (model / TOKENIZER_FILE).is_file():
        return ()
    if settings.chat_template_kwargs.get("enable_thinking") is False:
        return ()
    found = _found(_template(model, settings), read_tokenizer(model / TOKENIZER_FILE))
    if found is None:
        return ()
    sentence = (
        f"the files of {settings.model} say that it thinks as {found.name} does: with a section [generator.thinking] "
        "its thoughts are told apart from its answers"
    )
    return (sentence,)


def _template(model: Path, settings: GeneratorSettings) -> str:
    if settings.chat_template is not None:
        return settings.chat_template
    found = read_chat_template(model)
    return "" if found is None else found.source


def _found(template: str, tokenizer: TextTokenizer) -> ThinkingFamily | None:
    """The family that the tokens of a model, and else its template, speak of."""
    if _has(tokenizer, ("<|channel|>", "<|message|>")):
        return THINKING_FAMILIES["gpt-oss"]
    if _has(tokenizer, ("[THINK]", "[/THINK]")):
        return THINKING_FAMILIES["magistral"]
    if not _has(tokenizer, _TAGS) and not any(tag in template for tag in _TAGS):
        return None
    if "enable_thinking" in template:
        return THINKING_FAMILIES["qwen3"]
    return THINKING_FAMILIES["qwq" if "<|im_start|>" in template else "deepseek-r1"]


def _has(tokenizer: TextTokenizer, tokens: Sequence[str]) -> bool:
    return all(tokenizer.token_id(token) is not None for token in tokens)
