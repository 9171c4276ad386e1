"""A place in a row of tokens: looking ahead, taking, expecting."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from scaling.answers.mathematics.lexer import Token
from scaling.answers.mathematics.syntax import Unreadable

MAX_DEPTH = 40
"""Brackets, fractions and signs within each other."""


class Cursor:
    """Where a parser stands."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = list(tokens)
        self._at = 0
        self._depth = 0

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        """One level further in; endless nesting is refused, not followed."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unreadable(f"more than {MAX_DEPTH} levels")
        yield
        self._depth -= 1

    def _peek(self, ahead: int = 0) -> Token | None:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else None

    def _sees(self, *texts: str, ahead: int = 0) -> bool:
        """Whether the next token is one of these signs, or commands by name."""
        token = self._peek(ahead)
        return token is not None and token.kind in ("sign", "command") and token.text in texts

    def _take(self) -> Token:
        token = self._peek()
        if token is None:
            raise Unreadable("it ends where something is missing")
        self._at += 1
        return token

    def _accept(self, *texts: str) -> str | None:
        return self._take().text if self._sees(*texts) else None

    def _expect(self, text: str) -> None:
        if self._accept(text) is None:
            token = self._peek()
            raise Unreadable(
                f"{text!r} is missing before {token.text!r}" if token else f"{text!r} is missing at the end"
            )
