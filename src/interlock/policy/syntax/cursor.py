"""A position in a list of tokens, with the questions a recursive-descent parser asks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from interlock.policy.errors import Diagnostic, PolicyError, excerpt
from interlock.policy.syntax.lexer import Token, TokenKind, tokenize
from interlock.policy.syntax.nodes import Span

__all__ = ["MAX_DEPTH", "Cursor"]

MAX_DEPTH = 40
"""Brackets and `not`s inside each other; deeper texts are refused, not overflowed on."""

_NAMES: dict[TokenKind, str] = {
    "string": "a string",
    "regex": "a regex string",
    "wildcard": "a wildcard string",
    "datetime": "a datetime string",
    "number": "number",
    "doc": "a doc comment",
    "end": "the end of the policy",
}


class Cursor:
    """Reads tokens once, from the left; `rewind` is for the one place that has to guess."""

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._tokens: list[Token] = []
        self._docs: dict[int, list[str]] = {}
        for token in tokenize(text, source):
            if token.kind == "doc":
                self._docs.setdefault(len(self._tokens), []).append(token.text)
            else:
                self._tokens.append(token)
        self._at = 0
        self._depth = 0
        self.token = self._tokens[0]

    @property
    def position(self) -> int:
        """Index of the current token, for `rewind`."""
        return self._at

    def rewind(self, position: int) -> None:
        """Goes back to a position taken before."""
        self._at = position
        self.token = self._tokens[position]

    def peek(self, ahead: int = 1) -> Token:
        """The token after the current one, or one further on."""
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

    def advance(self) -> Token:
        """Takes the current token, whatever it is."""
        token = self.token
        if token.kind != "end":
            self._at += 1
            self.token = self._tokens[self._at]
        return token

    def take_doc(self) -> str | None:
        """The doc comment that stands right before the current token, lines joined."""
        lines = self._docs.get(self._at)
        return "\n".join(lines) if lines else None

    def at_op(self, text: str) -> bool:
        """Whether the current token is this punctuation."""
        return self.token.kind == "op" and self.token.text == text

    def at_word(self, *words: str) -> bool:
        """Whether the current token is one of these words."""
        return self.token.kind == "ident" and self.token.text in words

    def accept_op(self, text: str) -> bool:
        """Takes the punctuation if it is there."""
        found = self.token.kind == "op" and self.token.text == text
        if found:
            self.advance()
        return found

    def accept_word(self, word: str) -> bool:
        """Takes the word if it is there."""
        found = self.token.kind == "ident" and self.token.text == word
        if found:
            self.advance()
        return found

    def expect_op(self, text: str, where: str, advice: str | None = None) -> Token:
        """Takes the punctuation or fails."""
        if not self.at_op(text):
            self.fail(f"expected `{text}` {where}, found {self.found()}", advice)
        return self.advance()

    def expect_word(self, word: str, where: str) -> Token:
        """Takes the word or fails."""
        if not self.at_word(word):
            self.fail(f"expected `{word}` {where}, found {self.found()}")
        return self.advance()

    def expect_kind(self, kind: TokenKind, what: str, advice: str | None = None) -> Token:
        """Takes a token of the kind or fails."""
        if self.token.kind != kind:
            self.fail(f"expected {what}, found {self.found()}", advice)
        return self.advance()

    def found(self) -> str:
        """The current token in words."""
        token = self.token
        if token.kind in {"ident", "op"}:
            return f"`{token.text}`"
        return f"number `{token.text}`" if token.kind == "number" else _NAMES[token.kind]

    def span_from(self, start: Token) -> Span:
        """From the start of `start` to the end of the last token taken."""
        last = self._tokens[max(self._at - 1, 0)].span
        first = start.span
        return Span(first.start, max(last.end, first.start), first.line, first.column)

    @contextmanager
    def nested(self) -> Iterator[None]:
        """Counts one level of nesting; fails when there are too many."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self.fail(
                f"brackets and `not`s are nested more than {MAX_DEPTH} deep",
                "name parts of the condition with `let`",
            )
        try:
            yield
        finally:
            self._depth -= 1

    def fail(self, message: str, advice: str | None = None, at: Token | None = None) -> NoReturn:
        """Raises a syntax error at the current token, or at `at`."""
        span = (at or self.token).span
        found = Diagnostic(
            message=message,
            source=self._source,
            line=span.line,
            column=span.column,
            excerpt=excerpt(self._text, span.line, span.column),
            help=advice,
        )
        raise PolicyError([found])
