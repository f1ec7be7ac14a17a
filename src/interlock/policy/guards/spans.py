"""Spans of text, the markers that replace them, and rewriting to a fixed point.

INVARIANT: `rewrite` returns a text in which the same detector finds nothing: it
repeats until that is so, and gives the whole text up for a marker when it does not
settle. Markers already in a text are never looked into, so rewriting is idempotent.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import re2

from interlock.policy.guards.fold import fold, looks_like_json

__all__ = ["Detector", "Span", "View", "encodable", "marker", "replace_literals", "rewrite", "scan"]

_MARKER = re2.compile(r"\[(?:REDACTED|BLOCKED): ?[A-Za-z_]{1,32}\]")
# The standard library's engine here, for RE2 cannot be given such text; one class, no repetition.
_SURROGATES = re.compile("[\ud800-\udfff]")
_MAX_ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Span:
    """A finding: half-open character range, what it is, how sure, and by which guard."""

    start: int
    end: int
    type: str
    score: float
    guard: str
    whole: bool = False
    """It is all there is in the text, quotes and blanks aside."""


@dataclass(frozen=True, slots=True)
class View:
    """What a detector gets: folded text between markers, and the member name it stands under."""

    text: str
    hint: str = ""
    """Lower-case name of the JSON member, blanks for `_` and `-`: context for bare numbers."""
    whole: bool = True
    """False when the original has other text or markers beside this."""


Detector = Callable[[View], Iterable[Span]]
"""Findings in a view, in any order, possibly overlapping, in coordinates of the view."""


def marker(span: Span) -> str:
    """The text that takes the place of a span."""
    word = "BLOCKED" if span.guard.endswith("_blocker") else "REDACTED"
    return f"[{word}:{span.type}]"


def scan(text: str, hint: str, detect: Detector) -> list[Span]:
    """All findings outside markers, in coordinates of `text`, sorted, not overlapping.

    Overlapping findings become one, named after the surest (blockers first).
    """
    text = encodable(text)
    json_escapes = looks_like_json(text)
    found: list[Span] = []
    for start, end in _segments(text):
        view = fold(text[start:end], json_escapes=json_escapes)
        alone = start == 0 and end == len(text)
        core = _core(view.text)
        for span in detect(View(view.text, hint, alone)):
            if span.end <= span.start:
                continue
            first, last = view.span(span.start, span.end)
            found.append(
                Span(
                    first + start,
                    last + start,
                    span.type,
                    span.score,
                    span.guard,
                    alone and span.start <= core[0] and span.end >= core[1],
                )
            )
    return _merged(found)


def rewrite(text: str, hint: str, detect: Detector) -> tuple[str, list[Span]]:
    """The text with every finding replaced by its marker, and the findings of all rounds."""
    seen: list[Span] = []
    for _ in range(_MAX_ROUNDS):
        spans = scan(text, hint, detect)
        if not spans:
            return text, seen
        seen.extend(spans)
        pieces: list[str] = []
        done = 0
        for span in spans:
            pieces += (text[done : span.start], marker(span))
            done = span.end
        pieces.append(text[done:])
        text = "".join(pieces)
    return marker(seen[-1]), seen


def replace_literals(text: str, literals: Iterable[tuple[str, str]]) -> str:
    """The text with every occurrence of given (text, type) pairs outside markers replaced."""
    for literal, kind in literals:
        pieces = []
        done = 0
        for start, end in _segments(text):
            pieces.append(text[done:start])
            pieces.append(text[start:end].replace(literal, f"[REDACTED:{kind}]"))
            done = end
        text = "".join(pieces) + text[done:]
    return text


def _segments(text: str) -> list[tuple[int, int]]:
    """The stretches between markers."""
    if "[" not in text:
        return [(0, len(text))] if text else []
    parts: list[tuple[int, int]] = []
    done = 0
    for match in _MARKER.finditer(text):
        start, end = match.span()
        if start > done:
            parts.append((done, start))
        done = end
    if done < len(text):
        parts.append((done, len(text)))
    return parts


def encodable(text: str) -> str:
    """Lone surrogates, which JSON can smuggle in, replaced one by one."""
    if text.isascii() or not _SURROGATES.search(text):
        return text
    return _SURROGATES.sub("\ufffd", text)


def _core(text: str) -> tuple[int, int]:
    """The text without blanks, quotes and brackets around it."""
    blanks = " \t\r\n\"'`<>()[]{},;."
    return len(text) - len(text.lstrip(blanks)), len(text.rstrip(blanks))


def _merged(spans: Sequence[Span]) -> list[Span]:
    merged: list[Span] = []
    for span in sorted(spans, key=lambda one: (one.start, -one.end)):
        if merged and span.start < merged[-1].end:
            last = merged[-1]
            best = max(last, span, key=_rank)
            merged[-1] = Span(
                last.start,
                max(last.end, span.end),
                best.type,
                best.score,
                best.guard,
                last.whole or span.whole,
            )
        else:
            merged.append(span)
    return merged


def _rank(span: Span) -> tuple[bool, float, int]:
    return span.guard.endswith("_blocker"), span.score, span.end - span.start
