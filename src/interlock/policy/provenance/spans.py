"""Which words of an argument stand in which words of the conversation.

For a person who is asked about a call: evidence (`labels`) says whether a whole value is
vouched for, this says where each piece of it was read. The longest run of words wins;
single common words prove nothing and are left out. What stands nowhere is the model's own.

Work is bounded: at most so many words of the conversation are looked at, the newest first,
and at most so many places of one word.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["Passage", "traced"]

_WORD: Final = re.compile(r"\w(?:(?:[\w@/\\\-+#&=%~.:]|(?<=\w)'(?=\w))*\w)?")
"""An apostrophe joins only letters: in `to='ann'` the quoted text is a word of its own."""
_MOST_WORDS: Final = 200_000
_MOST_PLACES: Final = 64
_MOST_TEXTS: Final = 200
_MOST_CHARS: Final = 20_000
_MOST_SOURCES: Final = 4
_ALONE: Final = 7
"""Characters of a plain word that is worth telling alone."""
_LEAST: Final = 9
"""Characters of a run of two words; longer runs always count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A text of the conversation."""

    kind: str
    """`user`, or `tool_result`."""
    text: str
    tool: str = ""
    ref: str = ""
    """Id of the call it is the result of, or what a plan calls it."""
    field: str = ""
    """Path of the text in the result, e.g. `0.body`; empty for a whole result."""

    def described(self) -> dict[str, str]:
        """Without its text."""
        facts = {"kind": self.kind, "tool": self.tool, "ref": self.ref, "field": self.field}
        return {name: value for name, value in facts.items() if value}


@dataclass(slots=True)
class _Index:
    """Words of all passages in a row, passages separated by None."""

    words: list[str | None] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    places: dict[str, list[int]] = field(default_factory=dict)

    def add(self, owner: int, text: str) -> None:
        for found in _WORD.finditer(text):
            word = _folded(found.group())
            places = self.places.setdefault(word, [])
            if len(places) < _MOST_PLACES:
                places.append(len(self.words))
            self.words.append(word)
            self.owners.append(owner)
        self.words.append(None)
        self.owners.append(owner)

    def longest(self, wanted: Sequence[str], at: int) -> tuple[int, list[int]]:
        """Length of the longest run from `at` on, and whose passages have it, in order."""
        best, owners = 0, dict[int, None]()
        for place in self.places.get(wanted[at], ()):
            length = 1
            while (
                at + length < len(wanted)
                and place + length < len(self.words)
                and self.words[place + length] == wanted[at + length]
            ):
                length += 1
            if length > best:
                best, owners = length, {}
            if length == best:
                owners[self.owners[place]] = None
        return best, list(owners)


def traced(args: Mapping[str, Any], passages: Sequence[Passage]) -> dict[str, Any]:
    """Where the words of a call's arguments stand, as plain data.

    Returns `{sources: [{n, kind, tool?, ref?, field?}], texts: [{path, text, spans: [{start,
    end, from: [n]}]}], complete}`: offsets in characters of `text`, paths as JSON pointers;
    `complete` is false when a bound was met. Passages come oldest first.
    """
    index = _Index()
    complete = True
    for owner in reversed(range(len(passages))):
        if len(index.words) >= _MOST_WORDS:
            complete = False
            break
        index.add(owner, passages[owner].text)
    numbers: dict[int, int] = {}
    texts: list[dict[str, Any]] = []
    for path, text in _texts(args):
        if len(texts) == _MOST_TEXTS:
            complete = False
            break
        shown = text[:_MOST_CHARS]
        complete = complete and len(shown) == len(text)
        spans = []
        for start, end, owners in _runs(shown, index):
            told = [numbers.setdefault(one, len(numbers) + 1) for one in owners[:_MOST_SOURCES]]
            spans.append({"start": start, "end": end, "from": told})
        texts.append({"path": path, "text": shown, "spans": spans})
    sources = [{"n": n, **passages[owner].described()} for owner, n in numbers.items()]
    return {"sources": sources, "texts": texts, "complete": complete}


def _runs(text: str, index: _Index) -> Iterator[tuple[int, int, list[int]]]:
    found = list(_WORD.finditer(text))
    words = [_folded(one.group()) for one in found]
    at = 0
    while at < len(found):
        length, owners = index.longest(words, at)
        run = words[at : at + length]
        if length == 0 or not (length == len(words) or _tells(run)):
            at += 1
            continue
        yield found[at].start(), found[at + length - 1].end(), sorted(owners)
        at += length


def _tells(run: Sequence[str]) -> bool:
    """Whether a run of words is unlikely to stand there by chance."""
    if len(run) > 2:
        return True
    if sum(map(len, run)) >= (_ALONE if len(run) == 1 else _LEAST):
        return True
    return any(_pointed(word) for word in run)


def _pointed(word: str) -> bool:
    """A number of some length, an address, a host, a path."""
    digits = sum(one.isdigit() for one in word)
    return digits >= 3 or any(one in word for one in "@/\\.=")


def _folded(word: str) -> str:
    return unicodedata.normalize("NFKC", word).casefold()


def _texts(args: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every text and number, with its path, in the order of the arguments."""
    pending: list[tuple[str, Any]] = [("", args)]
    while pending:
        path, item = pending.pop()
        if isinstance(item, Mapping):
            pending.extend(_below(path, item.items()))
        elif isinstance(item, list | tuple):
            pending.extend(_below(path, enumerate(item)))
        elif isinstance(item, str):
            yield path, item
        elif isinstance(item, int | float) and not isinstance(item, bool):
            yield path, str(item)


def _below(path: str, items: Iterable[tuple[object, Any]]) -> list[tuple[str, Any]]:
    """Members with their paths, last first: they are taken from the end."""
    named = [
        (f"{path}/{str(name).replace('~', '~0').replace('/', '~1')}", held) for name, held in items
    ]
    return named[::-1]
