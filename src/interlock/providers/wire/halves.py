r"""Texts cut in the middle of a surrogate pair (`"\ud83d"` now, `"\ude00"` next).

Providers whose language has 16-bit characters cut texts so. UTF-8 has no bytes for a
half, so halves are held back until the other one comes; one that stays alone becomes
the replacement character.
"""

import json

from interlock.providers.wire.model import ArgumentsDelta, Event, PartEnd, TextDelta

__all__ = ["HalvesJoiner", "has_halves", "mended_text", "read_mended", "read_with_halves"]

_LONE = "\ufffd"


def has_halves(payload: bytes) -> bool:
    """Whether JSON text may hold an escaped half of a pair."""
    return b"\\ud" in payload or b"\\uD" in payload


def read_with_halves(payload: bytes) -> object:
    """JSON that the fast reader refuses because of halves. Raises ValueError."""
    return json.loads(payload)


def read_mended(payload: bytes) -> object:
    """The same with halves replaced, for texts nothing follows."""
    return _mended(read_with_halves(payload))


def _mended(value: object) -> object:
    if isinstance(value, str):
        return mended_text(value)
    if isinstance(value, dict):
        return {mended_text(key): _mended(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_mended(element) for element in value]
    return value


def mended_text(text: str) -> str:
    """`text` with pairs joined and lone halves replaced."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class HalvesJoiner:
    """Joins halves across the deltas of each part."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[int, str] = {}

    def join(self, events: list[Event]) -> list[Event]:
        """`events` with texts that have no halves any more."""
        out: list[Event] = []
        kinds: dict[int, type[TextDelta | ArgumentsDelta]] = {}
        for event in events:
            if isinstance(event, TextDelta | ArgumentsDelta):
                kinds[event.index] = type(event)
                text = self._held.pop(event.index, "") + event.text
                if "\ud800" <= text[-1:] <= "\udbff":
                    self._held[event.index] = text[-1]
                    text = text[:-1]
                if text:
                    out.append(type(event)(index=event.index, text=mended_text(text)))
                continue
            if isinstance(event, PartEnd) and self._held.pop(event.index, ""):
                kind = kinds.get(event.index, TextDelta)
                out.append(kind(index=event.index, text=_LONE))
            out.append(event)
        return out
