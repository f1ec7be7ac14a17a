"""The exchange between two different wire formats, through the neutral model.

An `Exchange` serves one call: it remembers the request (to echo it, and to restore
names) and what the model said in the last round (to continue it after denials).
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from interlock.providers.wire.calls import decidable_parts
from interlock.providers.wire.codec import Codec, View
from interlock.providers.wire.edits import apply, with_earlier_items
from interlock.providers.wire.errors import InvalidRequestError
from interlock.providers.wire.exchange import Edits, FormatName, Head
from interlock.providers.wire.model import (
    Document,
    Image,
    Part,
    Request,
    Response,
    StopReason,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from interlock.providers.wire.names import ToolNames
from interlock.providers.wire.reading import JSON_ERRORS, Tree, answer_tree, untranslatable
from interlock.providers.wire.streaming import Round, TranslatedStream

__all__ = ["Translation"]

_MEMBERS: dict[FormatName, dict[str, str]] = {
    "chat": {
        "max_tokens": "max_completion_tokens",
        "output_format": "response_format",
        "output_format.name": "response_format.json_schema.name",
        "output_format.strict": "response_format.json_schema.strict",
        "output_format.description": "response_format.json_schema.description",
        "reasoning": "reasoning_effort",
    },
    "messages": {
        "stop": "stop_sequences",
        "reasoning": "thinking",
        "output_format": "output_config.format",
        "user": "metadata.user_id",
        "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    },
    "responses": {
        "max_tokens": "max_output_tokens",
        "output_format": "text.format",
        "output_format.name": "text.format.name",
        "output_format.strict": "text.format.strict",
        "output_format.description": "text.format.description",
        "verbosity": "text.verbosity",
        "reasoning": "reasoning.effort",
    },
}
"""What the client calls a neutral field, where the name differs."""

_ANSWER_LIMIT = 8
"""An answer may be this many times as large as one held call before it is too large."""


class Translation:
    """See `Exchange`; for formats that differ.

    `now` gives seconds since the epoch for answers whose format does not tell when
    they were made, `new_id` unguessable ids (from a prefix) for Responses answers:
    their ids name them later, and upstreams of other formats repeat theirs.
    """

    def __init__(
        self,
        client: FormatName,
        upstream: FormatName,
        codecs: Mapping[FormatName, Codec],
        now: Callable[[], float] | None,
        new_id: Callable[[str], str] | None,
    ) -> None:
        self.client: FormatName = client
        self.upstream: FormatName = upstream
        self._client = codecs[client]
        self._upstream = codecs[upstream]
        self._now = now
        self._new_id = new_id if client == "responses" else None
        self._names = ToolNames()
        self._view = View()
        self._dropped: list[str] = []
        self._round = Round()
        self._earlier: list[list[Part]] = []
        """What the model said in earlier rounds apart from calls; these were all denied."""

    def request(self, head: Head, edits: Edits) -> bytes:
        """See `Exchange`."""
        tree = with_earlier_items(self._tree(head), edits)
        request = apply(self._client.decode_request(tree), edits)
        self._names = ToolNames(request.tools)
        flat = self._names.flatten(request)
        self._check_files(flat)
        if flat.stream:
            flat = msgspec.structs.replace(flat, include_usage=True)
        encoded = self._upstream.encode_request(flat)
        names = _MEMBERS[self.client]
        dropped = [names.get(name, name) for name in encoded.dropped]
        if any(tool.namespace_description for tool in request.tools):
            dropped.append("tools[].namespace.description")
        self._dropped = list(dict.fromkeys(dropped))
        self._view = View(tree=self._tree(head), native=edits.native_client)
        return msgspec.json.encode(encoded.body)

    def _tree(self, head: Head) -> Tree:
        if head.tree is not None:
            return head.tree
        try:
            tree = msgspec.json.decode(head.body)
        except JSON_ERRORS as error:
            raise InvalidRequestError("the body is not valid JSON", param="body") from error
        if not isinstance(tree, dict):
            raise InvalidRequestError("the body is not an object", param="body")
        return tree

    def _check_files(self, request: Request) -> None:
        """A file id means nothing to another provider."""
        if "messages" not in {self.client, self.upstream}:
            return
        for message in request.messages:
            for part in message.parts:
                shown = part.content if isinstance(part, ToolResult) else [part]
                for item in shown:
                    if isinstance(item, Image | Document) and item.file_id is not None:
                        raise untranslatable("messages", "a file by id")

    def answer(self, body: bytes) -> "TranslatedAnswer":
        """See `Exchange`."""
        response = self._upstream.decode_response(answer_tree(body))
        response = self._stamped(response)
        response = msgspec.structs.replace(response, parts=decidable_parts(response.parts))
        self._round.whole(response.parts)
        view = msgspec.structs.replace(self._view, answer_id=self._fresh_id())
        return TranslatedAnswer(response, self._client, view, self._names, self._earlier)

    def _fresh_id(self) -> str | None:
        return self._new_id("resp") if self._new_id is not None else None

    def _stamped(self, response: Response) -> Response:
        if response.created or self._now is None:
            return response
        return msgspec.structs.replace(response, created=int(self._now()))

    def stream(
        self,
        head: Head,
        *,
        hide_usage: bool,
        native_client: bool,
        session_id: str,
        max_held_bytes: int = 8 << 20,
    ) -> "TranslatedStream":
        """See `Exchange`."""
        tree = self._view.tree or self._tree(head)
        view = View(
            tree=tree,
            native=native_client,
            hide_usage=hide_usage or (self.client == "chat" and not _wants_usage(tree)),
            session_id=session_id,
            answer_id=self._fresh_id(),
        )
        client = self._client
        upstream = self._upstream
        self._round = Round(max_bytes=max_held_bytes * _ANSWER_LIMIT)
        return TranslatedStream(
            decoder=lambda: upstream.stream_decoder(max_event_bytes=max_held_bytes),
            answer_id=lambda upstream_id: client.answer_id(upstream_id, view),
            encoder=client.stream_encoder(view, max_bytes=max_held_bytes * _ANSWER_LIMIT),
            names=self._names,
            said=self._round,
            max_held_bytes=max_held_bytes,
            created=int(self._now()) if self._now is not None else 0,
        )

    def again(
        self, request_body: bytes, calls: Sequence[ToolCall], denials: Mapping[str, str]
    ) -> bytes:
        """See `Exchange`. Thoughts and text of the round are told again with its calls."""
        parts = self._round.parts()
        self._earlier.append(list(parts))
        parts += [self._names.flat_call(call) for call in calls]
        body = self._upstream.continued(answer_tree(request_body), parts, denials)
        return msgspec.json.encode(body)

    def dropped(self) -> Sequence[str]:
        """See `Exchange`."""
        return self._dropped


def _wants_usage(tree: Tree) -> bool:
    """Whether a chat client asked for usage in its stream; others crash on that chunk."""
    options = tree.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


class TranslatedAnswer:
    """See `Answer`."""

    def __init__(
        self,
        response: Response,
        client: Codec,
        view: View,
        names: ToolNames,
        earlier: Sequence[Sequence[Part]],
    ) -> None:
        self._response = response
        self._client = client
        self._view = view
        self._earlier = tuple(earlier)
        self._parts: list[Part] = [
            names.restore(part) if isinstance(part, ToolCall) else part for part in response.parts
        ]
        self.calls: Sequence[ToolCall] = [p for p in self._parts if isinstance(p, ToolCall)]
        self.stop = response.stop
        self.usage = response.usage
        self.model = response.model
        self.response_id = client.answer_id(response.id, view)

    def finish(
        self,
        ids: Mapping[str, str],
        *,
        denied: frozenset[str] = frozenset(),
        arguments: Mapping[str, str] | None = None,
        extra_text: str | None = None,
        usage: Usage | None = None,
        stop: StopReason | None = None,
    ) -> bytes:
        """See `Answer`."""
        rewritten = arguments or {}
        parts: list[Part] = []
        for part in self._parts:
            if not isinstance(part, ToolCall):
                parts.append(part)
            elif part.id not in denied:
                said = rewritten.get(part.id, part.arguments)
                parts.append(
                    msgspec.structs.replace(part, id=ids.get(part.id, part.id), arguments=said)
                )
        parts = self._after_earlier(parts)
        if extra_text is not None:
            if self._client_joins_text(parts):
                extra_text = "\n\n" + extra_text
            parts.append(Text(text=extra_text))
        called = any(isinstance(part, ToolCall) for part in parts)
        if stop is None:
            stop = self.stop
            if stop is StopReason.TOOL_CALLS and not called:
                stop = StopReason.END
        response = msgspec.structs.replace(
            self._response, parts=parts, stop=stop, usage=usage or self.usage
        )
        return msgspec.json.encode(self._client.encode_response(response, self._view))

    def _after_earlier(self, parts: list[Part]) -> list[Part]:
        """What earlier rounds said, then `parts`; two lines apart where there is one text."""
        row: list[Part] = []
        for said in (*self._earlier, parts):
            apart = self._client_joins_text(row)
            for part in said:
                new = part
                if apart and isinstance(part, Text) and part.text:
                    new, apart = msgspec.structs.replace(part, text="\n\n" + part.text), False
                row.append(new)
        return row

    def _client_joins_text(self, parts: Sequence[Part]) -> bool:
        """Whether the client's format has one text, in which ours must be set off."""
        said = any(isinstance(part, Text) and part.text for part in parts)
        return said and self._client.JOINS_TEXT
