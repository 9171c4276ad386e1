"""The formats of published PRM families, each as its authors' code writes it, cut into question and steps.

Every step loses the white space around it first. Question and steps are text: where one has the text of a special
token, or of a tag that is one, it does not become that token. docs/prm.md says where a format differs from the
published one.
"""

from dataclasses import dataclass

from actors.engines.chat import ChatTemplate
from actors.engines.text import Message, TextTokenizer
from records.failure import InvalidInput

QWEN_SYSTEM_PROMPT = "Please reason step by step, and put your final answer within \\boxed{}."
QWEN_STEP_TAG = "<extra_0>"
SHEPHERD_STEP_TAG = "\u043a\u0438"
"""The two Cyrillic letters that Math-Shepherd marks the end of a step with."""
REASONEVAL_PROMPT = "Question:\n{question}\nAnswer:\nLet's think step by step.\n"
_FIRST, _SECOND = "@first@", "@second@"
"""Stand-ins for the turns' contents, to find what a chat template writes around them."""


def token_id(tokenizer: TextTokenizer, text: str) -> int:
    """The id of a text that has to be one token.

    Raises:
        InvalidInput: it is none, or several.
    """
    ids = tokenizer.encode(text, special=False)
    if len(ids) != 1:
        raise InvalidInput(f"tokenizer.json: {text!r} is not one token ({list(ids)}), and the PRM's score hangs on it")
    return ids[0]


@dataclass(frozen=True, slots=True)
class QwenFormat:
    """Qwen2.5-Math-PRM: a chat whose answer has a tag after every step; the score is read at the tag.

    The bare question is read at a tag that begins the answer, as the authors of "Know What You Don't Know" do.
    """

    tokenizer: TextTokenizer
    template: ChatTemplate

    @property
    def root_suffix(self) -> tuple[int, ...]:
        """A tag after an empty step."""
        return (token_id(self.tokenizer, QWEN_STEP_TAG),)

    def question_ids(self, question: str) -> tuple[int, ...]:
        """System and user turn, up to where the assistant speaks."""
        messages: list[Message] = [
            {"role": "system", "content": QWEN_SYSTEM_PROMPT},
            {"role": "user", "content": self.tokenizer.quote(question, QWEN_STEP_TAG)},
        ]
        return self.tokenizer.encode(self.template.render(messages), special=False)

    def step_ids(self, step: str, *, first: bool) -> tuple[int, ...]:  # noqa: ARG002 (all steps are alike)
        """Token ids of a step and of the tag after it."""
        text = self.tokenizer.quote(step.strip(), QWEN_STEP_TAG)
        return self.tokenizer.encode(text + QWEN_STEP_TAG, special=False) if text else ()


@dataclass(frozen=True, slots=True)
class ShepherdFormat:
    """Math-Shepherd: plain text, a tag after every step, where the score is read; a newline before the next step."""

    tokenizer: TextTokenizer

    @property
    def root_suffix(self) -> tuple[int, ...]:
        """A tag after an empty step."""
        return (token_id(self.tokenizer, SHEPHERD_STEP_TAG),)

    def question_ids(self, question: str) -> tuple[int, ...]:
        """The question as the model wants a text to begin."""
        return self.tokenizer.encode(self.tokenizer.quote(question.strip()))

    def step_ids(self, step: str, *, first: bool) -> tuple[int, ...]:
        """The step and its tag, set off by a space from the question, by a newline from the step before."""
        text = self.tokenizer.quote(step.strip())
        if not text:
            return ()
        joint = " " if first else "\n"
        # Behind a tag, as it stands in the whole text: by itself the piece would begin with a space too many.
        ids = self.tokenizer.encode(f"{SHEPHERD_STEP_TAG}{joint}{text} {SHEPHERD_STEP_TAG}", special=False)
        return ids[1:]


@dataclass(frozen=True, slots=True)
class RlhflowFormat:
    """RLHFlow: a chat; every step is a user turn that the assistant answers with "+". The score is read before it.

    Attributes:
        tokenizer: of the model.
        begin: what the template writes before the first user turn's content.
        ask: what it writes after a user turn's content, up to where the assistant speaks.
        go_on: the answer "+", and what the template writes up to the next user turn's content.
    """

    tokenizer: TextTokenizer
    begin: str
    ask: str
    go_on: str

    @property
    def root_suffix(self) -> tuple[int, ...]:
        """The question by itself, as if it were a step."""
        return self.tokenizer.encode(self.ask, special=False)

    def question_ids(self, question: str) -> tuple[int, ...]:
        """The first user turn, which the first step goes on with."""
        return self.tokenizer.encode(self.begin + self.tokenizer.quote(question.strip()), special=False)

    def step_ids(self, step: str, *, first: bool) -> tuple[int, ...]:
        """The step, up to where the assistant judges it; before all but the first, the answer to the one before."""
        text = self.tokenizer.quote(step.strip())
        if not text:
            return ()
        return self.tokenizer.encode((" " if first else self.go_on) + text + self.ask, special=False)


def rlhflow_format(tokenizer: TextTokenizer, template: ChatTemplate) -> RlhflowFormat:
    """The format with the turns of the model's own chat template.

    Raises:
        InvalidInput: the template does not write turns one after the other.
    """
    text = template.render(
        [
            {"role": "user", "content": _FIRST},
            {"role": "assistant", "content": "+"},
            {"role": "user", "content": _SECOND},
        ]
    )
    begin, found, rest = text.partition(_FIRST)
    between, found_too, ask = rest.partition(_SECOND)
    if not (found and found_too and ask and between.startswith(f"{ask}+")):
        raise InvalidInput("the chat template does not write the turns that a PRM of the rlhflow family is asked with")
    return RlhflowFormat(tokenizer, begin=begin, ask=ask, go_on=between.removeprefix(ask))


@dataclass(frozen=True, slots=True)
class SkyworkFormat:
    """Skywork-o1-Open-PRM: question and lines, each tokenised by itself; the score is read at a newline.

    Attributes:
        tokenizer: of the model.
        begin: the text of its first token.
    """

    tokenizer: TextTokenizer
    begin: str

    @property
    def root_suffix(self) -> tuple[int, ...]:
        """The question ends in a newline of its own."""
        return ()

    def question_ids(self, question: str) -> tuple[int, ...]:
        """Token ids of the question and a newline."""
        return self.tokenizer.encode(f"{self.begin}{self.tokenizer.quote(question)}\n")

    def step_ids(self, step: str, *, first: bool) -> tuple[int, ...]:  # noqa: ARG002 (all steps are alike)
        """The step's lines, empty ones left out, each with its newline."""
        newline = token_id(self.tokenizer, "\n")
        ids: list[int] = []
        for line in filter(None, step.strip().split("\n")):
            ids += [*self.tokenizer.encode(self.tokenizer.quote(line)), newline]
        return tuple(ids)


@dataclass(frozen=True, slots=True)
class ReasonEvalFormat:
    """ReasonEval: a prompt and the steps, nothing between them; the score is read at a step's own last token.

    Attributes:
        tokenizer: of the model.
        pad: text of its padding token, by which the authors' code cuts the text before it is tokenised.
    """

    tokenizer: TextTokenizer
    pad: str

    @property
    def root_suffix(self) -> tuple[int, ...]:
        """The prompt's last token is the place."""
        return ()

    def question_ids(self, question: str) -> tuple[int, ...]:
        """The prompt as the model wants a text to begin."""
        return self.tokenizer.encode(REASONEVAL_PROMPT.replace("{question}", self.tokenizer.quote(question)))

    def step_ids(self, step: str, *, first: bool) -> tuple[int, ...]:  # noqa: ARG002 (all steps are alike)
        """The step as it is tokenised between two padding tokens, without these."""
        text = self.tokenizer.quote(step.strip())
        return self.tokenizer.encode(f"{self.pad}{text}{self.pad}", special=False)[1:-1] if text else ()
