"""Finds `@handle` in a message.

A handle is `[a-z0-9][a-z0-9._-]{0,31}` ignoring case, begins the text or follows a non-word
character, and does not count inside code. A trailing `.` or `-` belongs to the sentence, not
to the handle. Pure. Source: conversations.md, 12.
"""

import re
from collections import deque

__all__ = ["ALL", "handle_like", "mentioned_handles"]

ALL = "all"
"""`@all`: every human participant."""

_MENTION = re.compile(r"(?<!\w)@([a-z0-9][a-z0-9._-]*)", re.IGNORECASE | re.ASCII)
_BEFORE = re.compile(r"\w\Z")
_HANDLE = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}\Z", re.ASCII)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)\Z")
_TICKS = re.compile(r"`+")


def handle_like(text: str) -> bool:
    """Whether a lower-case text can be mentioned."""
    return _HANDLE.match(text) is not None


def mentioned_handles(content: str) -> tuple[str, ...]:
    """Lower-case handles in order of first appearance, each once."""
    found: dict[str, None] = {}
    for paragraph in _prose(content):
        text = _without_spans(paragraph)
        for match in _MENTION.finditer(text):
            # The look-behind above knows ASCII words only; letters of other scripts count too.
            if _BEFORE.search(text[: match.start()][-1:]):
                continue
            handle = match.group(1).rstrip(".-").lower()
            if handle_like(handle):
                found[handle] = None
    return tuple(found)


def _prose(content: str) -> list[str]:
    """Paragraphs outside fenced blocks: a code span never reaches over a blank line."""
    paragraphs: list[str] = []
    lines: list[str] = []
    fence = ""
    for line in content.splitlines():
        marker = _FENCE.match(line)
        if fence:
            closes = marker and marker[1].startswith(fence) and not marker[2].strip()
            if closes:
                fence = ""
            continue
        opens = marker and not (marker[1][0] == "`" and "`" in marker[2])
        if marker and opens:
            fence = marker[1]
        if (marker and opens) or not line.strip():
            paragraphs.append("\n".join(lines))
            lines = []
        else:
            lines.append(line)
    paragraphs.append("\n".join(lines))
    return paragraphs


def _without_spans(text: str) -> str:
    """The text with every code span replaced by one space."""
    runs = [(match.start(), match.end()) for match in _TICKS.finditer(text)]
    closing: dict[int, deque[int]] = {}
    for position, (start, end) in enumerate(runs):
        closing.setdefault(end - start, deque()).append(position)
    kept: list[str] = []
    at, position = 0, 0
    while position < len(runs):
        start, end = runs[position]
        same = closing[end - start]
        while same and same[0] <= position:
            same.popleft()
        if not same:
            position += 1
            continue
        kept += [text[at:start], " "]
        position = same[0]
        at = runs[position][1]
        position += 1
    return "".join([*kept, text[at:]])
