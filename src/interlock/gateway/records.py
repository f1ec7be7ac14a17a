"""What the gateway writes down: one usage record per request, one record per decision.

Records are plain values handed to a `Recorder`; it batches them into the store
off the hot path. Times are aware UTC as seconds since the epoch (float), costs
are US dollars, token counts are whole tokens (gateway.md, section 17).
"""

from typing import Any, Protocol

from msgspec import Struct, field

__all__ = ["DecisionRecord", "Recorder", "SessionRecord", "StoredResponse", "UsageRecord"]


class UsageRecord(Struct, frozen=True, kw_only=True, gc=False):
    """One HTTP request that reached a model, or tried to."""

    request_id: str
    at: float
    account_id: str
    key_id: str
    session_id: str | None
    surface: str
    endpoint: str
    """Endpoint type and suffix, e.g. `chat/messages`."""
    provider: str
    model: str
    """As asked for."""
    upstream_model: str
    role: str
    """Which model role the tokens belong to: `main`, `pllm`, `tagllm`, ..."""
    stream: bool
    status: int
    """HTTP status as the client saw it; 499 when the client went away."""
    error: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost: float | None = None
    """None: no price known."""
    estimated: bool = False
    attempts: int = 1
    duration_s: float = 0.0
    first_byte_s: float | None = None
    upstream_s: float = 0.0
    trace_id: str | None = None
    dropped: tuple[str, ...] = ()
    """Request members a translation could not carry."""


class DecisionRecord(Struct, frozen=True, kw_only=True):
    """One decided tool call (gateway.md, section 11.13), or a shadow of one."""

    id: str
    at: float
    account_id: str
    key_id: str
    session_id: str | None
    request_id: str
    trace_id: str | None
    surface: str
    tool: str
    call_id: str | None
    verdict: str
    reason: str
    rule: str | None
    """`<declaration>#<index>` of the deciding rule."""
    rule_text: str | None
    rule_line: int | None
    policy: str | None
    """Name of the policy text (binding or header) the rule stands in."""
    caller: dict[str, Any]
    args: dict[str, Any] | None
    """None when the key keeps no values (`none`); strings masked when `masked`."""
    labels: dict[str, Any]
    """`{args: {name: labels}, session: labels}` the call came with; `updated: {args, session}`
    what `session before` blocks made of them, where they changed anything."""
    rules: list[dict[str, Any]] = field(default_factory=list)
    lineage: dict[str, Any] = field(default_factory=dict)
    """`{nodes, edges, path}`."""
    shadow: list[dict[str, Any]] = field(default_factory=list)
    guards: list[dict[str, Any]] = field(default_factory=list)
    """Classifier and blocker hits."""
    basis: dict[str, Any] = field(default_factory=dict)
    """What it was decided under: `{bound, header, override, mode, presets, values}`; with the
    labels, all that deciding again needs."""
    duration_s: float = 0.0


class SessionRecord(Struct, frozen=True, kw_only=True, gc=False):
    """State of a session that must survive a restart. `state` is msgpack of the gateway's own."""

    id: str
    key_id: str
    account_id: str
    endpoint: str
    created_at: float
    updated_at: float
    expires_at: float
    closed: bool
    state: bytes
    version: int = 1
    """Counts the writes of the session. `save_session` stores a version only on top of the
    one before it; `session` stores whatever is newest and adds one."""


class StoredResponse(Struct, frozen=True, kw_only=True):
    """A Responses answer kept for `previous_response_id` and retrieval."""

    id: str
    session_id: str
    key_id: str
    account_id: str
    created_at: float
    expires_at: float
    retrievable: bool
    """False for `store: false`: finds its session, cannot be fetched."""
    body: bytes
    """The response object as JSON."""
    items: bytes
    """Input items of this request (not of earlier ones) as a JSON list."""
    tools: bytes
    """Tools of the request as a JSON list."""
    previous_id: str | None
    provider: str


class Recorder(Protocol):
    """Takes records without waiting; writes them in batches on its own thread."""

    def usage(self, record: UsageRecord) -> None:
        """Queues a usage record."""
        ...

    def decision(self, record: DecisionRecord) -> None:
        """Queues a decision record."""
        ...

    def session(self, record: SessionRecord) -> None:
        """Queues the newest state of a session; an older queued one of it is replaced."""
        ...

    async def save_session(self, record: SessionRecord) -> bool:
        """Stores a session now, if the stored one is of the version before (1: there is none).

        False: somebody else was faster, and nothing was stored. Raises InterlockError when
        the store does not answer.
        """
        ...

    def response(self, record: StoredResponse) -> None:
        """Queues a stored response."""
        ...

    async def flush(self, *, wait_s: float) -> bool:
        """Waits until everything queued so far is committed; False when `wait_s` ran out."""
        ...

    async def load_session(self, session_id: str) -> SessionRecord | None:
        """A session from the store (queued state included)."""
        ...

    async def find_session(self, suffix: str) -> str | None:
        """Id of the newest session whose id ends in `suffix` (12 hex digits)."""
        ...

    async def load_response(self, response_id: str) -> StoredResponse | None:
        """A stored response (queued ones included)."""
        ...

    async def delete_response(self, response_id: str) -> None:
        """Removes a stored response."""
        ...
