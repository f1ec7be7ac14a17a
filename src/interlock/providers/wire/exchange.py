"""One model call between a client format and an upstream format, as a pure machine.

The gateway drives every call through these four protocols and knows neither
format. Two implementations exist: `relay` (same format on both sides: bytes go
through, only what must change is touched) and `translate` (different formats,
through the neutral model). No I/O, no clock.

Life of a call::

    head = client.peek(body)                    # what the gateway must know
    exchange = registry.exchange(client, upstream)
    body_up = exchange.request(head, edits)     # bytes for the upstream
    JSON:    answer = exchange.answer(body);    answer.finish(verdicts) -> bytes
    stream:  relay = exchange.stream(...);      relay.feed(chunk) -> [Step]; relay.close(...)

Denied calls (gateway.md, section 9): the gateway asks the model again with
`exchange.again(...)`, and the continued stream is fed to the *same* relay after
`relay.next_round()`, so that the client sees one well-formed answer.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from msgspec import Struct, field

from interlock.providers.wire.model import Fault, StopReason, ToolCall, Usage

__all__ = [
    "Answer",
    "Client",
    "Edits",
    "Ended",
    "Exchange",
    "Failed",
    "FormatName",
    "Forward",
    "Head",
    "Held",
    "OfferedTool",
    "Reinsert",
    "ResultIn",
    "Step",
    "StreamRelay",
]

FormatName = Literal["chat", "messages", "responses"]


class OfferedTool(Struct, frozen=True, kw_only=True):
    """A tool as the request offers it."""

    name: str
    """Name a policy sees; functions in a namespace are `<namespace>.<name>`."""
    kind: str
    """`function`, or the provider's type of a tool it runs itself (`web_search_20250305`)."""
    description: str = ""
    schema: dict[str, Any] = field(default_factory=dict)
    hosted: bool = False
    """The provider runs it itself: its calls cannot be checked one by one."""


class ResultIn(Struct, frozen=True, kw_only=True):
    """A tool result among the trailing messages of a request."""

    call_id: str
    text: str
    """Text parts joined by newlines; images and documents are not included."""
    is_error: bool = False
    tool: str | None = None
    """Qualified name of the tool, when the request's own history contains the call."""
    arguments: str | None = None
    """Arguments of that call as JSON text, likewise."""


class Head(Struct, kw_only=True):
    """What the gateway needs to know of a request before it is forwarded."""

    format: FormatName
    model: str
    stream: bool
    body: bytes
    """The request as received."""
    tools: Sequence[OfferedTool] = ()
    implied: Sequence[OfferedTool] = ()
    """What the provider runs because of other members than `tools`: plugins, MCP servers."""
    results: Sequence[ResultIn] = ()
    """Tool results after the last assistant output, in order."""
    called: Sequence[str] = ()
    """Ids of all calls of that last assistant output; only looked for when there are results."""
    new_user_message: bool = False
    """A user message follows the results, or there are no results at all."""
    has_history: bool = False
    """The request contains assistant messages or tool traffic: ids may need mapping."""
    previous_response_id: str | None = None
    conversation: str | None = None
    user_ref: str | None = None
    """`metadata.user_id`, `user` or `prompt_cache_key`, as the caller's own session hint."""
    wants_usage: bool = True
    """False only for a chat stream that did not ask for usage: it is added and hidden."""
    store: bool = True
    """Responses: keep the answer for later retrieval."""
    parallel: bool = True
    dual_only: Sequence[str] = ()
    """Members that only dual-llm execution knows: user_provided_program, context_vars."""
    tree: dict[str, Any] | None = None
    """The decoded body once something needed it; shared, never mutated."""


class Reinsert(Struct, frozen=True, kw_only=True):
    """A call denied in a mixed batch: the model must see it, and why, on the next request."""

    after_call_id: str
    """Upstream id of the sibling that was let through."""
    call: ToolCall
    """With the upstream's id."""
    denial: str


class Edits(Struct, frozen=True, kw_only=True):
    """Everything that may change between the client's body and the upstream's.

    With all defaults and equal formats the body goes out byte for byte.
    """

    model: str | None = None
    """Name at the upstream when it differs from the one in the body."""
    upstream_id: Callable[[str], str] | None = None
    """Our tool-call id -> the upstream's; other ids come back unchanged."""
    results: Mapping[str, str] = field(default_factory=dict)
    """Our call id -> new text of its result (guards, unwrapped values)."""
    reinsert: Sequence[Reinsert] = ()
    drop_tools: frozenset[str] = frozenset()
    """Names of offered tools that must not reach the model."""
    prepend: Sequence[Any] = ()
    """Responses: items of earlier responses, put before `input`; `previous_response_id` goes."""
    tools: Sequence[Any] | None = None
    """Responses: tools of the earlier request when the follow-up sends none."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Sampling overrides from X-Config `llm`, as neutral `Request` field names."""
    ask_usage: bool = False
    """Ask a chat stream for usage though the client did not."""
    native_client: bool = True
    """False: the typed client, whose thinking blocks carry an extra `text` (8.5)."""


class Forward(Struct, frozen=True, tag="forward"):
    """Bytes for the client, now."""

    data: bytes


class Held(Struct, frozen=True, tag="held"):
    """A complete tool call, not yet seen by the client; decide it.

    Then either send `release(our_id, None)` or call `relay.drop(call)`. Decide in
    order. A second argument other than None replaces the arguments (JSON text) that
    the client sees, because a guard rewrote them.
    """

    call: ToolCall
    release: Callable[[str, str | None], bytes]


class Ended(Struct, frozen=True, tag="ended"):
    """The upstream's answer is complete; the client's is not until `relay.close()`."""

    stop: StopReason
    usage: Usage | None
    model: str
    response_id: str


class Failed(Struct, frozen=True, tag="failed"):
    """The upstream failed in the stream, or ended too early. Nothing more will come."""

    fault: Fault


Step = Forward | Held | Ended | Failed


class StreamRelay(Protocol):
    """Client side of a streamed answer; survives several upstream rounds.

    Bounded: raises `StreamOverflowError` (an `InterlockError`, kind upstream) when a
    single event, or the fragments held for one call, exceed `max_held_bytes`.
    """

    def feed(self, data: bytes) -> list[Step]:
        """Next bytes of the upstream's event stream, cut anywhere.

        Work per byte is constant; text comes out in the same call it went in,
        as far as its events are complete.
        """
        ...

    def eof(self) -> list[Step]:
        """The upstream closed: nothing if `Ended` was seen, else one `Failed`."""
        ...

    def drop(self, call: ToolCall) -> None:
        """The held call was denied: it leaves no trace in the client's stream."""
        ...

    def next_round(self) -> None:
        """A new upstream answer continues this one; its opening must not reach the client."""
        ...

    def close(
        self,
        *,
        extra_text: str | None = None,
        usage: Usage | None = None,
        stop: StopReason | None = None,
    ) -> bytes:
        """Terminal bytes of a good answer, exactly once.

        `extra_text` is said before the end (a denial sentence, a notice). `usage` is
        the sum over all rounds. `stop` replaces the upstream's reason (END after denials).
        """
        ...

    def fail(self, fault: Fault) -> bytes:
        """Terminal bytes of a failed answer in the client's format, never looking like success."""
        ...

    def result(self) -> dict[str, Any] | None:
        """Responses: the full response object as the client got it; other formats None."""
        ...


class Answer(Protocol):
    """A whole (not streamed) upstream answer, opened."""

    calls: Sequence[ToolCall]
    stop: StopReason
    usage: Usage | None
    model: str
    response_id: str

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
        """The body for the client.

        `ids` maps upstream call ids to ours, `denied` are upstream ids to leave out,
        `arguments` replaces the arguments (JSON text) of calls by upstream id.
        With nothing to change and equal formats: the upstream's bytes.
        """
        ...


class Exchange(Protocol):
    """A pair (client format, upstream format)."""

    client: FormatName
    upstream: FormatName

    def request(self, head: Head, edits: Edits) -> bytes:
        """Body for the upstream. Raises `UntranslatableError` naming what cannot be said."""
        ...

    def answer(self, body: bytes) -> Answer:
        """Opens a whole answer. Raises `MalformedAnswerError` when it is not one."""
        ...

    def stream(
        self,
        head: Head,
        *,
        hide_usage: bool,
        native_client: bool,
        session_id: str,
        max_held_bytes: int = 8 << 20,
    ) -> StreamRelay:
        """The machine for a streamed answer. `hide_usage`: we asked, the client did not."""
        ...

    def again(
        self, request_body: bytes, calls: Sequence[ToolCall], denials: Mapping[str, str]
    ) -> bytes:
        """The upstream body of the next round.

        `request_body` is the upstream body of the round before; `calls` all calls the
        model made in it (upstream ids); `denials` maps each id to the synthetic result.
        Only called when every call of the round was denied.
        """
        ...

    def dropped(self) -> Sequence[str]:
        """Paths of request members the last `request` could not carry (for the trace)."""
        ...


class Client(Protocol):
    """The client side of one wire format."""

    name: FormatName

    def peek(self, body: bytes) -> Head:
        """Reads what `Head` needs, as lazily as it can.

        Raises `InvalidRequestError` (kind invalid, `param` = path of the member) for
        malformed JSON, invalid UTF-8, wrong types of members we use, missing ones.
        """
        ...
