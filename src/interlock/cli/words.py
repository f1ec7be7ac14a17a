"""How a call's arguments are shown to a person: word by word, with where each was read.

Everything shown was written by others. What could hide or act is written out, lines of a
text are set off so that none can pose as a line of ours, and so are the marks around words.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from rich.markup import escape

from interlock.kernel.visible import visible

__all__ = ["legend", "marked", "plain", "shown_json"]

_MARKS = str.maketrans({"«": "<U+00AB>", "»": "<U+00BB>"})
_NEXT_LINE = "\n      | "


def plain(text: object) -> str:
    """A text from outside on one line, as markup for the terminal."""
    return escape(visible(str(text)).replace("\n", " ").replace("\t", " "))


def shown_json(value: object) -> str:
    """A value as JSON, as markup for the terminal."""
    return plain(msgspec.json.encode(value).decode().translate(_MARKS))


def marked(name: str, value: object, words: Mapping[str, Any]) -> str:
    """An argument with the words that stand in a source marked; markup for the terminal.

    `words` is what `policy.provenance.traced` told of the call's arguments.
    """
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    texts = [
        one
        for one in words.get("texts", ())
        if one["path"] == pointer or one["path"].startswith(pointer + "/")
    ]
    if len(texts) == 1 and texts[0]["path"] == pointer:
        return _spans(texts[0])
    lines = [shown_json(value)]
    lines += [
        f"      [dim]{_inside(one['path'][len(pointer) :])}[/] {_spans(one)}"
        for one in texts
        if one["spans"]
    ]
    return "\n".join(lines)


def legend(words: Mapping[str, Any]) -> Iterator[str]:
    """One line for each source, then one if not everything was looked at."""
    for source in words.get("sources", ()):
        yield f"[dim]{source['n']}[/] {plain(_described(source))}"
    if words.get("complete") is False:
        yield "too long to look at all of it: words without a number may have been read too"


def _spans(text: Mapping[str, Any]) -> str:
    whole, pieces, end = str(text["text"]), [], 0
    for span in text["spans"]:
        numbers = ",".join(str(one) for one in span["from"])
        pieces.append(_inside(whole[end : span["start"]]))
        inner = _inside(whole[span["start"] : span["end"]])
        pieces.append(f"[underline]«{inner}»[/]{escape(f'[{numbers}]')}")
        end = span["end"]
    pieces.append(_inside(whole[end:]))
    return "".join(pieces)


def _inside(text: str) -> str:
    """Part of a text, on as many lines as it has."""
    return escape(visible(text).translate(_MARKS)).replace("\n", _NEXT_LINE)


def _described(source: Mapping[str, Any]) -> str:
    """A source in words."""
    if source["kind"] == "user":
        return "the user's words"
    where = f", field {source['field']}" if source.get("field") else ""
    call = f" ({source['ref']})" if source.get("ref") else ""
    return f"result of {source.get('tool') or 'an unknown tool'}{call}{where}"
