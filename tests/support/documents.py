"""Reads the documents: links, fenced blocks, and what the marks before a block ask for.

A mark is a comment on the line before a fence:

- `<!-- runs -->`: a `bash` or `python` block that must run, in the order of the page, in one
  shell that starts in an empty directory;
- `<!-- file: NAME -->`: the block is saved as NAME first, as the page tells the reader to;
- `<!-- shows -->`: the block before printed these lines, white space apart; `...` at either
  end of a line stands for anything.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Block", "anchors", "blocks", "documents", "links", "missing"]

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(
    r"^(?:<!-- (?P<mark>runs|shows|file: (?P<file>[\w.]+)) -->\n)?"
    r"```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    language: str
    text: str
    mark: str | None
    file: str | None
    line: int


def documents() -> list[Path]:
    """Every page people read."""
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start("text"))
        yield Block(found["language"], found["text"], found["mark"], found["file"], line)


def links(page: Path) -> list[str]:
    """Targets of links within the repository."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    text = re.sub(r"`[^`\n]*`", "", text)
    return [link for link in _LINK.findall(text) if not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """What `#...` may name on a page."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(text))
    return {heading.replace(" ", "-") for heading in plain}


def missing(shown: str, output: str) -> list[str]:
    """The lines of a `shows` block that are not in the output."""
    printed = [" ".join(line.split()) for line in output.splitlines()]
    return [
        line
        for line in shown.splitlines()
        if line.strip() and not any(_matches(line, candidate) for candidate in printed)
    ]


def _matches(line: str, printed: str) -> bool:
    parts = (re.escape(" ".join(part.split())) for part in line.split("..."))
    return re.fullmatch(".*".join(parts), printed) is not None
