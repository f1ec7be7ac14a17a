"""The pass-through exchange: the same format on both sides."""

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from interlock.providers.wire.exchange import (
    Answer,
    Client,
    Edits,
    Exchange,
    FormatName,
    Head,
    StreamRelay,
)
from interlock.providers.wire.model import ToolCall
from interlock.providers.wire.relay.answer_chat import ChatAnswer, assistant_message, open_chat
from interlock.providers.wire.relay.answer_messages import MessagesAnswer, open_messages
from interlock.providers.wire.relay.answer_responses import ResponsesAnswer, open_responses
from interlock.providers.wire.relay.calls import object_of
from interlock.providers.wire.relay.items import item_for
from interlock.providers.wire.relay.peek_chat import ChatClient
from interlock.providers.wire.relay.peek_messages import MessagesClient
from interlock.providers.wire.relay.peek_responses import ResponsesClient
from interlock.providers.wire.relay.request_chat import again_chat, request_chat
from interlock.providers.wire.relay.request_messages import again_messages, request_messages
from interlock.providers.wire.relay.request_responses import again_responses, request_responses
from interlock.providers.wire.relay.stream_chat import ChatRelay
from interlock.providers.wire.relay.stream_messages import MessagesRelay
from interlock.providers.wire.relay.stream_responses import ResponsesRelay

__all__ = ["client", "relay_exchange"]

_CLIENTS: Mapping[FormatName, Client] = {
    "chat": ChatClient(),
    "messages": MessagesClient(),
    "responses": ResponsesClient(),
}

_Whole = ChatAnswer | MessagesAnswer | ResponsesAnswer
_Round = ChatAnswer | MessagesAnswer | ResponsesAnswer | ChatRelay | MessagesRelay | ResponsesRelay


def client(name: FormatName) -> Client:
    """The client side of a format; shared, it holds nothing but a cache of tool lists."""
    return _CLIENTS[name]


def relay_exchange(name: FormatName) -> Exchange:
    """A new pass-through exchange. It belongs to one model call and remembers its last round."""
    return _RelayExchange(name)


class _RelayExchange:
    """See `Exchange`."""

    __slots__ = ("_earlier", "_linked", "_lost", "_native", "_round", "client", "upstream")

    def __init__(self, name: FormatName) -> None:
        self.client: FormatName = name
        self.upstream: FormatName = name
        self._lost: list[str] = []
        self._native = True
        self._linked: str | None = None
        self._round: _Round | None = None
        self._earlier: list[_Whole] = []
        """Whole answers of earlier rounds; all their calls were denied."""

    def request(self, head: Head, edits: Edits) -> bytes:
        """See `Exchange.request`."""
        self._lost = []
        self._native = edits.native_client
        self._linked = head.previous_response_id
        match self.client:
            case "chat":
                return request_chat(head, edits, self._lost)
            case "messages":
                return request_messages(head, edits, self._lost)
            case "responses":
                return request_responses(head, edits, self._lost)
            case _:
                assert_never(self.client)

    def answer(self, body: bytes) -> Answer:
        """See `Exchange.answer`."""
        found: _Whole
        match self.client:
            case "chat":
                found = open_chat(body)
            case "messages":
                found = open_messages(body, native=self._native)
            case "responses":
                found = open_responses(body, linked=self._linked)
            case _:
                assert_never(self.client)
        self._round = found
        found.earlier = tuple(one.said() for one in self._earlier)
        return found

    def stream(
        self,
        head: Head,
        *,
        hide_usage: bool,
        native_client: bool,
        session_id: str,
        max_held_bytes: int = 8 << 20,
    ) -> StreamRelay:
        """See `Exchange.stream`."""
        found: ChatRelay | MessagesRelay | ResponsesRelay
        match self.client:
            case "chat":
                found = ChatRelay(head, hide_usage=hide_usage, max_held_bytes=max_held_bytes)
            case "messages":
                found = MessagesRelay(
                    head,
                    native_client=native_client,
                    session_id=session_id,
                    max_held_bytes=max_held_bytes,
                )
            case "responses":
                found = ResponsesRelay(
                    head,
                    native_client=native_client,
                    session_id=session_id,
                    max_held_bytes=max_held_bytes,
                )
            case _:
                assert_never(self.client)
        self._round = found
        return found

    def again(
        self, request_body: bytes, calls: Sequence[ToolCall], denials: Mapping[str, str]
    ) -> bytes:
        """See `Exchange.again`; before or after `next_round` of the relay."""
        texts = [(call.id, call.name, denials.get(call.id, "")) for call in calls]
        output = self._round.output() if self._round is not None else None
        if isinstance(self._round, _Whole):
            self._earlier.append(self._round)
        if self.client == "chat":
            message: Any = output or assistant_message({"tool_calls": [_chat(c) for c in calls]})
            known = {call["id"] for call in message.get("tool_calls") or ()}
            legacy = not known
            told = [text for text in texts if legacy or text[0] in known]
            return again_chat(request_body, message, told)
        if self.client == "messages":
            content: Any = output or [_tool_use(call) for call in calls]
            return again_messages(request_body, content, texts)
        items: Any = output or [item_for(call, "function") for call in calls]
        return again_responses(request_body, items, texts)

    def dropped(self) -> Sequence[str]:
        """See `Exchange.dropped`; here only overrides the format has no member for."""
        return self._lost


def _chat(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _tool_use(call: ToolCall) -> dict[str, Any]:
    tree = {"type": "tool_use", "id": call.id, "name": call.name}
    return {**tree, "input": object_of(call.arguments)}
