"""The section of the model that solves the problems, `[generator]`: its prompt, and how its tokens are drawn."""

from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from jobs.problems.templates import parse_template
from jobs.recipes.engines import EngineSection
from jobs.recipes.section import setting, without_password
from jobs.recipes.thinking import ThinkingSection

MOST_TEMPLATE_CHARS = 1_000_000
"""Of a prompt's template and a chat's."""
RESERVED_VARIABLES = frozenset(
    ("messages", "conversations", "chat_template", "add_generation_prompt", "continue_final_message")
)
"""Of a chat template, that a recipe has no say in."""


class GeneratorSection(EngineSection):
    """The model that solves the problems, and how its tokens are drawn."""

    adapter: str | None = setting(
        None,
        "LoRA adapter that every sample goes through: a folder as peft saves it, relative to the recipe, or s3://..., "
        "or a name on the hub; omitted: the model as it is.",
        silent=True,
        min_length=1,
    )
    prompt_template: str = setting(
        "{question}\n\n",
        "Text of the prompt; {question} and other columns of the problem file in braces are replaced.",
        max_length=MOST_TEMPLATE_CHARS,
    )
    chat: bool = setting(False, "Wrap the prompt as a user message in a chat template.")
    system_prompt: str | None = setting(None, "System message of the chat; omitted: none.")
    chat_template: str | None = setting(
        None,
        "File with a Jinja chat template, relative to the recipe, or the template itself; omitted: the model's own.",
        silent=True,
        min_length=1,
        max_length=MOST_TEMPLATE_CHARS,
    )
    chat_template_kwargs: dict[str, Any] = setting(
        {}, "Variables for the chat template, such as enable_thinking = false.", silent=True
    )
    separator: str = setting("\n\n", "The text that ends a step.", min_length=1)
    temperature: float = setting(0.7, "Sampling temperature; 0 is greedy.", ge=0, le=10)
    top_p: float = setting(1.0, "Share of the distribution that is sampled from; 1 is all of it.", gt=0, le=1)
    top_k: int = setting(0, "Likeliest tokens that are sampled from; 0: all.", silent=True, ge=0)
    min_p: float = setting(
        0.0,
        "Tokens below this share of the likeliest one's probability are left out; 0: none.",
        silent=True,
        ge=0,
        le=1,
    )
    repetition_penalty: float = setting(
        1.0,
        "Tokens that are in the prompt or the sample come less often above 1, more often below.",
        silent=True,
        gt=0,
        le=10,
    )
    presence_penalty: float = setting(
        0.0,
        "Taken from the logits of tokens that are in the sample; in a search by steps, in the step.",
        silent=True,
        ge=-2,
        le=2,
    )
    frequency_penalty: float = setting(0.0, "The same, for each time that a token is in it.", silent=True, ge=-2, le=2)
    stop: tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...] = setting(
        (),
        "Texts that end a sample, in searches by steps too; they stay in it.",
        silent=True,
        strict=False,
        max_length=16,
    )
    logit_bias: dict[Annotated[str, Field(pattern="^[0-9]{1,9}$")], Annotated[float, Field(ge=-100, le=100)]] = setting(
        {}, "Added to the logits of tokens: token id = from -100 to 100.", silent=True
    )
    max_logprobs: int = setting(
        20,
        "Likeliest tokens per position whose log-probabilities a strategy may ask for; raised to the strategy's own "
        "top_logprobs.",
        operational=True,
        ge=1,
        le=65536,
    )
    seeded: bool = setting(
        True,
        "Draw each sample with a seed of its own, from its problem, request and place. false: from one stream of the "
        "engine, faster, and another result each time.",
    )
    logprobs: bool = setting(
        True,
        "Keep the log-probability of each step (steps.logprob_sum). false: only what a strategy asks for, faster.",
    )
    max_tokens: int = setting(2048, "Most tokens of one sample, all steps together.", ge=1)
    max_step_tokens: int = setting(512, "Most tokens of one step.", ge=1)
    thinking: ThinkingSection | None = setting(
        None, "How its thoughts are told apart: the section [generator.thinking]; omitted: they are not.", silent=True
    )

    _no_password_of_adapter = field_validator("adapter", mode="before")(without_password)

    @field_validator("prompt_template")
    @classmethod
    def _template_names_a_column(cls, template: str) -> str:
        parse_template(template)
        return template

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        if self.max_step_tokens > self.max_tokens:
            raise ValueError(
                f"max_step_tokens ({self.max_step_tokens}) must not be above max_tokens ({self.max_tokens})"
            )
        most = self.thinking.max_thinking_tokens if self.thinking is not None else None
        if most is not None and most >= self.max_tokens:
            raise ValueError(
                f"thinking.max_thinking_tokens ({most}) must be below max_tokens ({self.max_tokens}): the answer "
                "has the rest"
            )
        step = self.thinking.step_tokens if self.thinking is not None else None
        if step is not None and step > self.max_step_tokens:
            raise ValueError(
                f"thinking.step_tokens ({step}) must not be above max_step_tokens ({self.max_step_tokens})"
            )
        if self.system_prompt is not None and not self.chat:
            raise ValueError("system_prompt needs chat = true")
        if (self.chat_template is not None or self.chat_template_kwargs) and not self.chat:
            raise ValueError("chat_template and chat_template_kwargs need chat = true")
        reserved = sorted(self.chat_template_kwargs.keys() & RESERVED_VARIABLES)
        if reserved:
            raise ValueError(
                f"chat_template_kwargs.{reserved[0]} is what every chat template gets anyway: leave it out"
            )
        return self
