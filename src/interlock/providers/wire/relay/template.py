"""Recognises the next event of a run by its bytes, without parsing it.

Events that carry text differ from one another in one or two values only. A template
is made of an event that was parsed and judged: its bytes, with holes where such a
value stood. Another event matches when all literal bytes are equal and each hole
holds exactly one JSON string body (or one whole number). Its tree is then the judged
tree with other text in it, whatever that text says: quotes, escapes, `tool_calls`.
What is not provably the same is parsed; nothing is ever concluded from a search.
"""

import re

__all__ = ["MAX_TEMPLATE", "Template", "learn"]

MAX_TEMPLATE = 8192
"""Longer events are not worth keeping a template of, in bytes."""

_TEXT_HOLES = frozenset(
    {
        "arguments",
        "content",
        "delta",
        "input",
        "obfuscation",
        "p",
        "partial_json",
        "reasoning",
        "reasoning_content",
        "refusal",
        "signature",
        "text",
        "thinking",
    }
)
"""Members whose string values no judgement depends on."""
_NUMBER_HOLE = "sequence_number"

_HOLE = re.compile(
    rb'(?<=[{,\s])"(?:(%b)"\s*:\s*"((?:[^"\\]|\\.)*)"|%b"\s*:\s*([0-9]+))'
    % ("|".join(sorted(_TEXT_HOLES)).encode(), _NUMBER_HOLE.encode())
)
"""A member with a value that may become a hole. In well-formed JSON an unescaped quote
followed by a name, a quote and a colon is always the name of a member."""
_STRING_REST = re.compile(
    rb'[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*'
).match
_NUMBER_REST = re.compile(rb"(?:0|[1-9][0-9]{0,14})(?![0-9.eE])").match


class Template:
    """Literal bytes with holes; `start`/`end` are the captured hole of the last match."""

    __slots__ = ("end", "head", "length", "number_end", "number_start", "rest", "sink", "start")

    def __init__(
        self, head: bytes, rest: tuple[tuple[object, bytes, int, int], ...], sink: object
    ) -> None:
        self.head = head
        self.length = len(head)
        self.rest = rest
        self.sink = sink
        """What the captured text belongs to."""
        self.start = self.end = 0
        self.number_start = self.number_end = 0

    def match(self, data: bytes, at: int) -> int:
        """End of the event that begins at `at`, or -1."""
        if not data.startswith(self.head, at):
            return -1
        at += self.length
        for hole, literal, length, capture in self.rest:
            found = hole(data, at)  # type: ignore[operator]
            if found is None:
                return -1
            end = found.end()
            if not data.startswith(literal, end):
                return -1
            if capture:
                if capture == _CAPTURE:
                    self.start = at
                    self.end = end
                else:
                    self.number_start = at
                    self.number_end = end
            at = end + length
        return at


_PLAIN, _CAPTURE, _SEQUENCE = 0, 1, 2


def learn(event: bytes, capture: str, sink: object) -> Template | None:
    """The template of a whole event (terminator included), or None when it has no holes.

    `event` is one `data:` line of well-formed JSON, perhaps after an `event:` line.
    `capture` is the member whose text the caller wants to see; it must occur once.
    """
    if len(event) > MAX_TEMPLATE:
        return None
    rest: list[tuple[object, int]] = []
    start = 0
    cuts: list[bytes] = []
    captured = 0
    wanted = capture.encode()
    for found in _HOLE.finditer(event, event.find(b"data:") + 5):
        if found[1] is not None:
            kind = _CAPTURE if found[1] == wanted else _PLAIN
            captured += kind == _CAPTURE
            rest.append((_STRING_REST, kind))
            at, end = found.span(2)
        else:
            rest.append((_NUMBER_REST, _SEQUENCE))
            at, end = found.span(3)
        cuts.append(event[start:at])
        start = end
    if captured != 1:
        return None
    cuts.append(event[start:])
    holes = tuple(
        (hole, literal, len(literal), kind)
        for (hole, kind), literal in zip(rest, cuts[1:], strict=True)
    )
    return Template(cuts[0], holes, sink)
