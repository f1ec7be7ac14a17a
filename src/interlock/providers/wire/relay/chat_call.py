"""A call of a streamed Chat Completions answer, told in fragments."""

from typing import Any

from interlock.providers.wire.relay.answers import mapping
from interlock.providers.wire.relay.calls import object_of
from interlock.providers.wire.relay.events import HeldBytes, frame
from interlock.providers.wire.relay.exact import loads, unescape

__all__ = ["ChatCall"]

Tree = dict[str, Any]


class ChatCall(HeldBytes):
    """A call that is being told, or waits for its decision."""

    __slots__ = ("choice", "entry", "id", "key", "member", "named", "rich", "state", "text_name")

    def __init__(self, choice: int, key: int | None, entry: Tree) -> None:
        super().__init__()
        self.choice = choice
        self.key = key
        """Index in the upstream's `tool_calls`; None: the deprecated `function_call`."""
        self.entry = entry
        """The call as far as it is not text: id, type, unknown members."""
        self.member, self.text_name = _member(entry) if key is not None else ("", "arguments")
        inner = entry.get(self.member) if self.member else entry
        name = inner.get("name") if isinstance(inner, dict) else None
        self.named = name if isinstance(name, str) else ""
        self.rich: set[int] = set()
        """Positions of events that say more than arguments under the call's index."""
        self.id = ""
        self.state = "open"

    def rewrite(self, arguments: str) -> None:
        """Makes one event of it that says `arguments`; told before any of it left."""
        if self.member == "custom":
            given = object_of(arguments).get("input")
            arguments = given if isinstance(given, str) else arguments
        tree = _data(self.events[0])
        delta = tree["choices"][0]["delta"]
        fragment = delta["tool_calls"][0] if self.member else delta["function_call"]
        inner = mapping(fragment, self.member) if self.member else fragment
        inner[self.text_name] = arguments
        if self.member:
            fragment[self.member] = inner
        self.events = [frame(tree)]

    def whole(self) -> Tree:
        """The entry as a whole answer would have it."""
        text = unescape(self.pieces)
        if not self.member:
            return {**self.entry, "name": self.named, self.text_name: text}
        inner = {**mapping(self.entry, self.member), "name": self.named, self.text_name: text}
        tree = {name: value for name, value in self.entry.items() if name != "index"}
        return {**tree, self.member: inner}

    def told(self, our_id: str, index: int, *, choice: int, envelope: Tree | None) -> bytes:
        """All its events for the client, as the call at `index`; it gives them up.

        `envelope` (id, created, model) and `choice` place a later round's call in the
        answer the client has begun to read; without an envelope both are right already.
        """
        out: list[bytes] = []
        for i, event in enumerate(self.events):
            if envelope is None and index == self.key and i not in self.rich:
                out.append(event)
                continue
            tree = _data(event)
            if envelope is not None:
                tree |= envelope
                tree["choices"][0]["index"] = choice
                tree["choices"][0]["delta"].pop("role", None)
            self._name(tree["choices"][0]["delta"], our_id, index, first=i == 0)
            out.append(frame(tree))
        self.events = []
        return b"".join(out)

    def _name(self, delta: Tree, our_id: str, index: int, *, first: bool) -> None:
        """Id, type and name in the first fragment, in no other."""
        if not self.member:
            rest = {name: v for name, v in delta["function_call"].items() if name != "name"}
            delta["function_call"] = {"name": self.named, **rest} if first else rest
            return
        fragment = delta["tool_calls"][0]
        inner = {name: v for name, v in mapping(fragment, self.member).items() if name != "name"}
        about: Tree = {"index": index}
        if first:
            about |= {"id": our_id, "type": fragment.get("type") or self.member}
            inner = {"name": self.named, **inner}
        rest = {name: v for name, v in fragment.items() if name not in ("index", "id", "type")}
        delta["tool_calls"] = [{**about, **rest, self.member: inner}]


def _data(event: bytes) -> Tree:
    """The data of an event framed by us, or by the upstream in the same way."""
    tree: Tree = loads(event[event.index(b"data:") + 5 :].strip())
    return tree


def _member(entry: Tree) -> tuple[str, str]:
    if isinstance(entry.get("custom"), dict):
        return "custom", "input"
    return "function", "arguments"
