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
from actors.engines.steps import Step
from actors.engines.text import TextTokenizer
from actors.engines.thoughts.families import ThinkingFamily, thinking_family
from actors.engines.thoughts.marks import FoundMark, LastMark, MarkFinder
from records.path import Phases


class ThoughtScan:
    """One sample while its tokens come.

    Attributes:
        open_pair: of the thought that goes on; None: the answer.
        num_thinking: tokens of thoughts since `start_call`.
    """

    def __init__(self, finder: MarkFinder, open_pair: int | None) -> None:
        """Begin after the prompt."""
        self.open_pair = open_pair
        self._opened = open_pair is not None
        self._finder = finder
        self._ids: list[int] = []
        self._is_thinking = bytearray()  # [tokens]
        self._open_after = bytearray()  # [tokens]
        self._ends: list[LastMark] = []  # of thoughts
        self._last: LastMark | None = None
        self._call_start = 0

    def start_call(self) -> None:
        """What came so far are the steps before; what they were counted as stands."""
        self._call_start = len(self._ids)

    @property
    def num_thinking(self) -> int:
        """Tokens of thoughts since `start_call`."""
        return sum(self._is_thinking[self._call_start :])

    def extend(self, token_ids: Sequence[int]) -> None:
        """Take in what was sampled next."""
        begin, completing = len(self._ids), self._finder.completing_ids
        self._ids += token_ids
        for at in range(begin, len(self._ids)):
            if self._ids[at] in completing:
                self._fill(at)
                self._complete(at)
        self._fill(len(self._ids))

    def phases(self, begin: int, end: int, text: str, tokenizer: TextTokenizer) -> Phases:
        """Of the step of the tokens [begin, end) since `start_call`, whose text is given."""
        begin, end = begin + self._call_start, end + self._call_start
        is_open = bool(self._open_after[end - 1]) if end else self._opened
        ended = [mark for mark in self._ends if begin <= mark.token < end]
        if is_open:
            thought_chars = len(text)
        elif not ended:
            thought_chars = 0
        else:
            token, rest_chars = ended[-1]
            after = tokenizer.decode_after(self._ids[: token + 1], self._ids[token + 1 : end])
            thought_chars = max(0, len(text) - len(after) - rest_chars)
        return Phases(sum(self._is_thinking[begin:end]), thought_chars, is_open)

    def _fill(self, until: int) -> None:
        """Tokens up to there have changed nothing."""
        state = b"\x01" if self.open_pair is not None else b"\x00"
        self._is_thinking += state * (until - len(self._is_thinking))
        self._open_after += state * (until - len(self._open_after))

    def _complete(self, at: int) -> None:
        """Take in a token that may complete marks."""
        self._is_thinking.append(self.open_pair is not None)
        for mark in self._finder.found(self._ids, at, self._last):
            self._last = LastMark(at, mark.rest_chars)
            self._mark(at, mark)
        self._open_after.append(self.open_pair is not None)

    def _mark(self, at: int, mark: FoundMark) -> None:
        if self.open_pair is None and mark.opens:
            begin = max(self._call_start, at + 1 - mark.num_tokens)
            self.open_pair = mark.opens[0]
        elif self.open_pair is None:
            begin = self._call_start
            self._open_after[begin:at] = b"\x01" * (at - begin)
            self._ends.append(LastMark(at, mark.rest_chars))
        elif self.open_pair in mark.ends:
            begin = at
            self.open_pair = None
            self._ends.append(LastMark(at, mark.rest_chars))
        else:
            return
        self._is_thinking[begin : at + 1] = b"\x01" * (at + 1 - begin)


@dataclass(frozen=True, slots=True)
class ThoughtReader:
    """Reads the thoughts of one generator.

    Attributes:
        tokenizer: of the model.
        family: how it writes them.
        finder: of its marks.
        opened: the pair that its prompt has opened; None: none.
    """

    tokenizer: TextTokenizer
    family: ThinkingFamily
    finder: MarkFinder
    opened: int | None

    def scan(self, path_ids: Sequence[int]) -> ThoughtScan:
        """A scan that has taken in what was sampled before."""
        scan = ThoughtScan(self.finder, self.opened)
        scan.extend(path_ids)
        scan.start_call()
        return scan

    def phases(self, path_ids: Sequence[int], forced_ids: Sequence[int], steps: Sequence[Step]) -> list[Phases]:
        """Of what was forced, and of each step after it: [1 + steps].

        Args:
            path_ids: sampled before them, in earlier calls.
            forced_ids: that a strategy put behind those; nobody thought them.
            steps: of one call.
        """
        scan = self.scan(path_ids)
        scan.extend(forced_ids)
        forced_text = self.tokenizer.decode_after(path_ids, forced_ids)
        found = [scan.phases(0, len(forced_ids), forced_text, self.tokenizer)._replace(thinking_tokens=0)]
        scan.start_call()
        for step in steps:
            scan.extend(step.token_ids)
        begin = 0
        for step in steps:
            end = begin + len(step.token_ids)
            found.append(scan.phases(begin, end, step.text, self.tokenizer))
            begin = end
        return found


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
        InvalidInput: nobody says how the model writes thoughts (`thinking_family`).
    """
    family = thinking_family(settings, thinking, tokenizer)
    finder = MarkFinder(tokenizer, family.pairs)
    opened = finder.opened_by(prompt)
    if thinking.opened_by_template is not None:
        opened = (opened or 0) if thinking.opened_by_template else None
    return ThoughtReader(tokenizer, family, finder, opened)
