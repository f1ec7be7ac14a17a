"""State of the Responses format: earlier answers by id, kept by the server itself.

`previous_response_id` works with every upstream because the earlier items are put
before the new input; the upstream sees a request without state. Items of our own
answers carry our tool-call ids and are mapped like any history.

Source: gateway.md section 8.3; "`store: false` only stops retrieval".
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from interlock.gateway.context import CallContext
from interlock.gateway.records import Recorder, StoredResponse
from interlock.kernel.clock import Clock
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.providers.model import Target

__all__ = ["ResponseNotFoundError", "ResponseStore"]

_CACHED = 512
_CACHED_BYTES = 64 << 20
_CHAIN = 1000
_UNSTORED_BYTES = 256 << 10
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class ResponseNotFoundError(InterlockError):
    """No such stored response for this caller."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "not_found"

    def __init__(self, response_id: str) -> None:
        super().__init__(f"no response `{response_id[:100]}`")


class ResponseStore:
    """Keeps and finds answers of the Responses format."""

    def __init__(
        self,
        *,
        recorder: Recorder,
        clock: Clock,
        lifetime_s: float,
        cached_bytes: int = _CACHED_BYTES,
    ) -> None:
        self._recorder = recorder
        self._clock = clock
        self._lifetime_s = lifetime_s
        self._cache: OrderedDict[str, StoredResponse] = OrderedDict()
        self._cached_bytes = 0
        self._max_bytes = cached_bytes

    async def find(self, account_id: str, response_id: str) -> StoredResponse:
        """A stored response of the account. Raises ResponseNotFoundError."""
        stored = self._cache.get(response_id)
        if stored is None:
            stored = await self._recorder.load_response(response_id)
        now = self._clock.now().timestamp()
        if stored is None or stored.account_id != account_id or stored.expires_at < now:
            raise ResponseNotFoundError(response_id)
        self._remember(stored)
        return stored

    async def retrieve(self, account_id: str, response_id: str) -> StoredResponse:
        """As `find`, for a client that asks for the object: not for `store: false`."""
        stored = await self.find(account_id, response_id)
        if not stored.retrievable:
            raise ResponseNotFoundError(response_id)
        return stored

    async def delete(self, account_id: str, response_id: str) -> None:
        """Forgets a response. Raises ResponseNotFoundError."""
        await self.retrieve(account_id, response_id)
        self._forget(response_id)
        await self._recorder.delete_response(response_id)

    async def session_of(self, ctx: CallContext, link: str) -> str | None:
        """Session id behind a `previous_response_id`; None when we do not know it."""
        try:
            return (await self.find(ctx.key.account_id, link)).session_id
        except ResponseNotFoundError:
            return None

    async def history(self, ctx: CallContext) -> tuple[Sequence[Any], Sequence[Any] | None]:
        """Items of the earlier responses, oldest first, and the tools to reuse.

        Nothing for requests without `previous_response_id`. Raises
        ResponseNotFoundError for an id that is not (or no longer) known.
        """
        head = ctx.head
        link = head.previous_response_id
        if head.format != "responses" or not link:
            return (), None
        chain: list[StoredResponse] = []
        newest = stored = await self.find(ctx.key.account_id, link)
        chain.append(stored)
        while stored.previous_id is not None and len(chain) < _CHAIN:
            stored = await self.find(ctx.key.account_id, stored.previous_id)
            chain.append(stored)
        items: list[Any] = []
        for stored in reversed(chain):
            items.extend(_decode(stored.items))
            items.extend(item for item in _decode(stored.body)["output"] if _repeatable(item))
        tools = _decode(newest.tools)
        return items, (tools or None) if not head.tools else None

    def keep(
        self,
        ctx: CallContext,
        session_id: str,
        body: bytes,
        target: Target,
        reused: Sequence[Any] | None = None,
    ) -> None:
        """Stores an answer as the client got it; `reused` are tools of an earlier request."""
        head = ctx.head
        now = self._clock.now().timestamp()
        answer = _decode(body)
        request = head.tree if head.tree is not None else _decode(head.body)
        given = request.get("input", [])
        items = _encode(given if isinstance(given, list) else [_user(given)])
        if not head.store and len(items) > _UNSTORED_BYTES:
            return
        stored = StoredResponse(
            id=answer["id"],
            session_id=session_id,
            key_id=ctx.key.id,
            account_id=ctx.key.account_id,
            created_at=now,
            expires_at=now + self._lifetime_s,
            retrievable=head.store,
            body=body,
            items=items,
            tools=_encode(reused or request.get("tools") or []),
            previous_id=head.previous_response_id,
            provider=target.provider,
        )
        self._remember(stored)
        self._recorder.response(stored)

    def _remember(self, stored: StoredResponse) -> None:
        self._forget(stored.id)
        self._cache[stored.id] = stored
        self._cached_bytes += _size(stored)
        while len(self._cache) > _CACHED or self._cached_bytes > self._max_bytes:
            self._forget(next(iter(self._cache)))

    def _forget(self, response_id: str) -> None:
        stored = self._cache.pop(response_id, None)
        if stored is not None:
            self._cached_bytes -= _size(stored)


def _size(stored: StoredResponse) -> int:
    return len(stored.body) + len(stored.items) + len(stored.tools)


def _user(text: Any) -> dict[str, Any]:  # noqa: ANN401 - as the client sent it
    return {"type": "message", "role": "user", "content": text}


def _repeatable(item: dict[str, Any]) -> bool:
    """Reasoning can be repeated only with its encrypted content."""
    return item.get("type") != "reasoning" or bool(item.get("encrypted_content"))
