"""Makes golden conversations of what a program sent: small, without secrets or places."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tests.clients.wiretap import Exchange
from tests.support.recorded import CALL_ID, GOLDEN, call_mark, text_mark

__all__ = ["record"]

_LONG = 80
_LEFT_OUT = frozenset(
    {"accept-encoding", "authorization", "connection", "content-length", "host", "x-api-key"}
)
_OBEYED = re.compile(r"^\s*(CALL|SAY) ", re.MULTILINE)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ITEM_ID = re.compile(r"\b(fc|fco|msg|rs|resp|req)_[0-9a-f][0-9a-f-]{15,}")
_SECRET = re.compile(r"\b[0-9a-f]{64}\b|\bsq-[\w-]{10,}")
_PLACE = re.compile(r"127\.0\.0\.1:\d+")
_INSTANT = re.compile(r"\b1[789]\d{11}\b")
_SYSTEM = re.compile(r" \([^)]*\)( unknown)?")


def record(name: str, exchanges: Sequence[Exchange], places: Mapping[str, str]) -> None:
    """Writes `tests/golden/clients/NAME.json`; `places` are folders and what they become."""
    scrub = _Scrub(places)
    for one in exchanges:
        scrub.calls.extend(
            found
            for found in dict.fromkeys(CALL_ID.findall(one.answer.decode()))
            if found not in scrub.calls
        )
    trees: list[dict[str, Any]] = []
    requests = []
    for one in exchanges:
        tree = scrub.value(json.loads(one.body))
        same = {}
        for member, value in tree.items():
            before = [i for i, other in enumerate(trees) if other.get(member) == value]
            if before and len(json.dumps(value)) > _LONG:
                same[member] = before[0]
        trees.append(tree)
        requests.append(
            {
                "method": one.method,
                "path": one.path,
                "key_header": "x-api-key" if "x-api-key" in one.headers else "authorization",
                "headers": {
                    header: _SYSTEM.sub("", scrub.text(value))
                    if header == "user-agent"
                    else scrub.text(value)
                    for header, value in sorted(one.headers.items())
                    if header not in _LEFT_OUT
                },
                "same": same,
                "body": {member: value for member, value in tree.items() if member not in same},
            }
        )
    rows = ",\n".join(json.dumps(one, ensure_ascii=False) for one in requests)
    (GOLDEN / f"{name}.json").write_text(f'{{"requests": [\n{rows}\n]}}\n', encoding="utf-8")


class _Scrub:
    """Replaces what is long, secret, or true on one machine only; the same by the same."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self.calls: list[str] = []
        """Call ids in the order they were made."""
        self._places = places
        self._known: dict[str, str] = {}

    def value(self, value: Any) -> Any:
        """A JSON value."""
        if isinstance(value, dict):
            return {
                name: text_mark(len(item))
                if name == "description" and isinstance(item, str)
                else self.value(item)
                for name, item in value.items()
            }
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, int) and _INSTANT.fullmatch(str(value)):
            return 1_700_000_000_000
        if not isinstance(value, str):
            return value
        short = len(value) <= _LONG or _OBEYED.search(value) or value.startswith("data:")
        if short or _is_object(value) or CALL_ID.fullmatch(value):
            return self.text(value)
        return text_mark(len(value))

    def text(self, text: str) -> str:
        """A text that stays."""
        for place, neutral in self._places.items():
            text = text.replace(place, neutral)
        text = CALL_ID.sub(self._call, text)
        text = _SECRET.sub("0" * 16, text)
        text = _ITEM_ID.sub(lambda match: self._numbered(match, f"{match[1]}_{{:04}}"), text)
        text = _UUID.sub(
            lambda match: self._numbered(match, "00000000-0000-4000-8000-{:012}"), text
        )
        text = _INSTANT.sub("1700000000000", text)
        return _PLACE.sub("127.0.0.1:8080", text)

    def _call(self, match: re.Match[str]) -> str:
        return call_mark(self.calls.index(match[0]))

    def _numbered(self, match: re.Match[str], shape: str) -> str:
        return self._known.setdefault(match[0], shape.format(len(self._known) + 1))


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
