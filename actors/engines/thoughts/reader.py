"""Tells thought from answer in a sample, token by token, and says of each of its steps how it divides.

    prompt ends with the beginning of a thought? --> open
    beginning, where none is open --> open        its own end, where one is open --> answer
    an end where none is open     --> all before it was thought

A beginning within a thought, or the end of another pair, changes nothing. A token belongs to the thought if any of its
text does, marks included. What the model says of itself counts, as its template has it: text after the last end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from actors.engines.settings import GeneratorSettings, ThinkingSettings
from actors.engines.text import TextTokenizer
from actors.engines.thoughts.families import ThinkingFamily, thinking_family
from actors.engines.thoughts.marks import MarkFinder
from actors.engines.thoughts.scan import ThoughtScan
from records.failure import InvalidInput


@dataclass(frozen=True, slots=True)
class ThinkingBudget:
    """How much a sample may think, and has to, as token ids.

    Attributes:
        most_tokens: of its thoughts; None: any number.
        least_tokens: of a thought before it may end.
        closing: what closes a thought at the limit, by pair.
        bare_ends: the end of each pair alone, for where there is no room for `closing`.
        prolonging: what takes the place of an end that comes too early.
    """

    most_tokens: int | None = None
    least_tokens: int = 0
    closing: tuple[tuple[int, ...], ...] = ()
    bare_ends: tuple[tuple[int, ...], ...] = ()
    prolonging: tuple[int, ...] = ()

    @property
    def is_any(self) -> bool:
        """Whether there is a bound at all."""
        return self.most_tokens is not None or self.least_tokens > 0


@dataclass(frozen=True, slots=True)
class ThoughtReader:
    """Reads the thoughts of one generator.

    Attributes:
        tokenizer: of the model.
        family: how it writes them.
        finder: of its marks.
        opened: the pair that its prompt has opened; None: none.
        budget: of a sample.
    """

    tokenizer: TextTokenizer
    family: ThinkingFamily
    finder: MarkFinder
    opened: int | None
    budget: ThinkingBudget = ThinkingBudget()

    def scan(self, path_ids: Sequence[int]) -> ThoughtScan:
        """A scan that has taken in what was sampled before."""
        scan = ThoughtScan(self.finder, self.opened, self.budget.most_tokens)
        scan.extend(path_ids)
        scan.start_call()
        scan.least_tokens = self.budget.least_tokens  # what ended before has ended
        return scan


def thought_reader(
    settings: GeneratorSettings, thinking: ThinkingSettings, tokenizer: TextTokenizer, prompt: str
) -> ThoughtReader:
    """What reads the thoughts of a generator.

    Args:
        settings: of the generator.
        thinking: its section on thoughts.
        tokenizer: of the model.
        prompt: of any question, as text: whether it opens a thought shows at its end.

    Raises:
        InvalidInput: nobody says how the model writes thoughts (`thinking_family`), or what is to close a thought does
            not.
    """
    family = thinking_family(settings, thinking, tokenizer)
    finder = MarkFinder(tokenizer, family.pairs)
    opened = finder.opened_by(prompt)
    if thinking.opened_by_template is not None:
        opened = (opened or 0) if thinking.opened_by_template else None
    return ThoughtReader(tokenizer, family, finder, opened, _budget(thinking, family, finder, tokenizer))


def _budget(
    thinking: ThinkingSettings, family: ThinkingFamily, finder: MarkFinder, tokenizer: TextTokenizer
) -> ThinkingBudget:
    text = family.closing_text if thinking.closing_text is None else thinking.closing_text
    bare = tuple(
        tokenizer.encode(end, special=False) if isinstance(end, str) else tuple(end) for _, end in family.pairs
    )
    after = tokenizer.encode("\n\n", special=False)
    closing = tuple((*end, *after) if text is None else tokenizer.encode(text, special=False) for end in bare)
    for number, ids in enumerate(closing):
        scan = ThoughtScan(finder, number)
        scan.extend(ids)
        if scan.open_pair is not None:
            raise InvalidInput(
                f"generator.thinking.closing_text: {text!r} does not end a thought of {family.name}, which ends with "
                f"{family.pairs[number][1]!r}: put that into it"
            )
    prolonging = tokenizer.encode(thinking.prolonging_text, special=False)
    scan = ThoughtScan(finder, 0)
    scan.extend(prolonging)
    if scan.open_pair is None:
        raise InvalidInput(f"generator.thinking.prolonging_text: {thinking.prolonging_text!r} ends the thought itself")
    return ThinkingBudget(
        most_tokens=thinking.max_thinking_tokens,
        least_tokens=thinking.min_thinking_tokens,
        closing=closing,
        bare_ends=bare,
        prolonging=prolonging,
    )
