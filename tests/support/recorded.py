"""Conversations of coding programs as they were on the wire, made small and anonymous.

Recorded by `make record-clients` into `tests/golden/clients/`. What was long is a mark
with its length and becomes a text of that length again, so that bodies have their real
size; ids of calls, which the server makes anew, are marks with the number of the call.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CALL_ID", "GOLDEN", "Conversation", "Recorded", "call_mark", "names", "text_mark"]

GOLDEN = Path(__file__).parent.parent / "golden" / "clients"
_HEX = "[0-9a-f]"
CALL_ID = re.compile(rf"tc(?:-{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}){{2}}")
"""A call id of ours in its long form."""

_MARK = re.compile(r"\[\[(text|call) (\d+)\]\]")
_FILLER = "what the program says here is not of interest and was left out. "


def text_mark(length: int) -> str:
    """Stands for a text of that many characters."""
    return f"[[text {length}]]"


def call_mark(number: int) -> str:
    """Stands for the id of the call that was let through as number `number`, from 0."""
    return f"[[call {number}]]"


def names() -> list[str]:
    """Every recorded conversation."""
    return sorted(path.stem for path in GOLDEN.glob("*.json"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A request of a program."""

    method: str
    path: str
    headers: dict[str, str]
    """Without the key, which goes into the header `key_header`."""
    key_header: str
    tree: Any

    def body(self, call_ids: Sequence[str]) -> bytes:
        """The body in its real size; `call_ids` were let through so far, in order."""
        return json.dumps(_filled(self.tree, call_ids), ensure_ascii=False).encode()

    def sent_headers(self, key: str) -> dict[str, str]:
        """The headers with a gateway key."""
        value = f"Bearer {key}" if self.key_header == "authorization" else key
        return {**self.headers, self.key_header: value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """The requests of one or more runs of a program that belong together."""

    name: str
    requests: list[Recorded]

    @classmethod
    def load(cls, name: str) -> "Conversation":
        """The conversation of that name."""
        document = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
        return cls(name=name, requests=list(_requests(document["requests"])))


def _requests(given: list[dict[str, Any]]) -> Iterator[Recorded]:
    """With members put back that are the same as in an earlier request of the file."""
    trees: list[dict[str, Any]] = []
    for one in given:
        same = {name: trees[index][name] for name, index in one.get("same", {}).items()}
        trees.append({**one["body"], **same})
        yield Recorded(
            method=one["method"],
            path=one["path"],
            headers=one["headers"],
            key_header=one["key_header"],
            tree=trees[-1],
        )


def _filled(value: Any, call_ids: Sequence[str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(item, call_ids) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, call_ids) for item in value]
    if not isinstance(value, str) or "[[" not in value:
        return value

    def real(match: re.Match[str]) -> str:
        number = int(match.group(2))
        if match.group(1) == "call":
            return call_ids[number]
        return (_FILLER * (number // len(_FILLER) + 1))[:number]

    return _MARK.sub(real, value)
