"""The recipe's `[generator.thinking]`: how a model's thoughts are told apart from its answers.

The section stands in a recipe for a model that thinks before it answers. Empty, it goes by what the model's files say.
"""

from dataclasses import fields
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from actors.engines.settings import Mark, ThinkingSettings
from actors.engines.thoughts.families import FROM_FILES, THINKING_FAMILIES
from jobs.recipes.section import Section, setting

TokenIds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, max_length=64, strict=False)]
Marks = str | Annotated[tuple[str | TokenIds, ...], Field(max_length=16, strict=False)]
"""One text; or several marks, each a text or a list of token ids."""


class ThinkingSection(Section):
    """Thoughts of a model that thinks before it answers; omitted: its text is taken as it is."""

    preset: str = setting(
        FROM_FILES, f'How it writes thoughts: {", ".join(THINKING_FAMILIES)}; "auto" goes by the model\'s files.'
    )
    start: Marks | None = setting(
        None,
        "What begins a thought, instead of the preset's: a text, or a list of texts and of lists of token ids, one for "
        "each pair.",
        silent=True,
    )
    end: Marks | None = setting(None, "What ends it, likewise.", silent=True)
    opened_by_template: bool | None = setting(
        None, "The prompt opens the thought itself; omitted: it does if it ends with what begins one.", silent=True
    )
    max_thinking_tokens: int | None = setting(
        None,
        "Most tokens of the thoughts of a sample, never passed: then closing_text is put there, and the model answers. "
        "Omitted: no bound of its own.",
        silent=True,
        ge=1,
    )
    min_thinking_tokens: int = setting(
        0,
        "Tokens of a thought before it may end: prolonging_text takes the place of an earlier end.",
        silent=True,
        ge=0,
    )
    closing_text: str | None = setting(
        None,
        "What closes a thought at max_thinking_tokens; it has to end it. Omitted: the preset's, else what ends a "
        "thought and an empty line.",
        silent=True,
        min_length=1,
        max_length=10_000,
    )
    prolonging_text: str = setting(
        "Wait",
        "What a thought goes on with that would end before min_thinking_tokens.",
        silent=True,
        min_length=1,
        max_length=10_000,
    )
    steps: Literal["separator", "words", "whole"] = setting(
        "separator",
        "What ends a step within a thought: generator.separator; words at which the model turns to something else; or "
        "nothing but the end of the thought (whole), so that searches by steps choose among answers only.",
        silent=True,
    )
    step_words: tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...] | None = setting(
        None,
        'The texts of steps = "words"; omitted: the preset\'s.',
        silent=True,
        strict=False,
        min_length=1,
        max_length=64,
    )
    step_tokens: int | None = setting(
        None,
        "After so many tokens a step within a thought ends anyhow, and the thought goes on; omitted: after "
        "generator.max_step_tokens.",
        silent=True,
        ge=1,
    )
    max_steps: int | None = setting(
        None,
        "Most steps of a thought in a sample that is drawn to its end, the last one with all the rest; omitted: any "
        "number.",
        silent=True,
        ge=1,
    )
    prm_reads: Literal["all", "answer"] = setting(
        "all", "What the PRM is given of a sample: thoughts and answer, or the answer only.", silent=True
    )

    @property
    def pairs(self) -> tuple[tuple[Mark, Mark], ...]:
        """The recipe's own marks; none where it has a preset."""
        return tuple(zip(_marks(self.start), _marks(self.end), strict=True))

    @model_validator(mode="after")
    def _marks_fit(self) -> Self:
        if self.preset != FROM_FILES and self.preset not in THINKING_FAMILIES:
            raise ValueError(f"preset must be {FROM_FILES} or one of {', '.join(THINKING_FAMILIES)}")
        starts, ends = _marks(self.start), _marks(self.end)
        if len(starts) != len(ends):
            raise ValueError(f"start names {len(starts)} marks and end {len(ends)}: each start has its end")
        if starts and self.preset != FROM_FILES:
            raise ValueError("start and end take the place of a preset: leave preset out")
        if not all((*starts, *ends)):
            raise ValueError("start and end must not be empty")
        most, least = self.max_thinking_tokens, self.min_thinking_tokens
        if most is not None and least > most:
            raise ValueError(f"min_thinking_tokens ({least}) must not be above max_thinking_tokens ({most})")
        if self.step_words is not None and self.steps != "words":
            raise ValueError('step_words are for steps = "words"')
        if self.step_tokens is not None and self.steps == "whole":
            raise ValueError('step_tokens ends steps within a thought, and with steps = "whole" it has none')
        if set(starts) & set(ends):
            raise ValueError("what begins a thought must differ from what ends one")
        return self


def thinking_settings(section: ThinkingSection | None, max_step_tokens: int) -> ThinkingSettings | None:
    """What a replica is told of it; None without a section.

    Args:
        section: of the recipe.
        max_step_tokens: of `[generator]`.
    """
    if section is None:
        return None
    said = {field.name: getattr(section, field.name) for field in fields(ThinkingSettings)}
    if section.step_tokens is None and section.steps != "whole":
        said["step_tokens"] = max_step_tokens
    return ThinkingSettings(**said)


def _marks(marks: Marks | None) -> tuple[Mark, ...]:
    return () if marks is None else (marks,) if isinstance(marks, str) else marks
