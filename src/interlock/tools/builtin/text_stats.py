"""Counts what a text is made of."""

import re
from collections.abc import Mapping
from typing import Any

from interlock.tools.model import Example, Tool, schema

__all__ = ["TOOL"]

_WORD = re.compile(r"\w+(?:['\N{RIGHT SINGLE QUOTATION MARK}\-]\w+)*")
_SENTENCE = re.compile(r"[.!?]+(?=\s|$)")
_WHOLE = {"type": "integer"}


def _run(arguments: Mapping[str, Any]) -> dict[str, Any]:
    text: str = arguments["text"]
    words = _WORD.findall(text)
    ended = len(_SENTENCE.findall(text))
    open_end = bool(words) and not text.rstrip().endswith((".", "!", "?"))
    return {
        "characters": len(text),
        "bytes": len(text.encode("utf-8", "surrogatepass")),
        "words": len(words),
        "unique_words": len({one.casefold() for one in words}),
        "lines": len(text.splitlines()),
        "sentences": ended + open_end,
        "paragraphs": sum(1 for one in re.split(r"\n[ \t]*\n", text) if one.strip()),
    }


TOOL = Tool(
    name="text_stats",
    title="Text statistics",
    description="Count characters, bytes (UTF-8), words, different words, lines, sentences and "
    "paragraphs of a text.",
    category="text",
    input_schema=schema(text={"type": "string", "maxLength": 200_000}),
    output_schema=schema(
        characters=_WHOLE,
        bytes=_WHOLE,
        words=_WHOLE,
        unique_words=_WHOLE,
        lines=_WHOLE,
        sentences=_WHOLE,
        paragraphs=_WHOLE,
    ),
    examples=(
        Example(
            arguments={"text": "One fish. Two fish!\n\nRed fish, blue"},
            output={
                "characters": 35,
                "bytes": 35,
                "words": 7,
                "unique_words": 5,
                "lines": 3,
                "sentences": 3,
                "paragraphs": 2,
            },
        ),
    ),
    run=_run,
)
