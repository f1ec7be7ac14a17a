"""Whose requests are counted together: found before a request is served, and only for that.

Nothing is allowed because of what is found here, so it may be remembered for a moment: a
request with a cookie costs no second look into the store. A credential that is not good
counts for the address it came from; the route itself tells what is wrong with it.

Source: conversations.md section 15.4.
"""

import hashlib
import re
from collections import OrderedDict
from typing import Final

from starlette.requests import Request

from interlock.identity.keys import KeyService
from interlock.identity.login.throttle import network
from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError
from interlock.limits.routes import Asker
from interlock.web.credentials import Credentials

__all__ = ["Askers", "conversation_in"]

_CAPACITY: Final = 20_000
_KEPT_S: Final = 60.0
_UUID: Final = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
_PLACES: Final = (
    re.compile(rf"/api/(?:stream/)?conversations/({_UUID})(?:/|\Z)"),
    re.compile(rf"/api/threads/({_UUID})/root\Z"),
)

_Known = tuple[str | None, str | None]
"""Id of the person and of the login session."""


class Askers:
    """Finds who makes a request, as far as limits want to know."""

    def __init__(self, credentials: Credentials, keys: KeyService, clock: Clock) -> None:
        self._credentials = credentials
        self._keys = keys
        self._clock = clock
        self._seen: OrderedDict[bytes, tuple[_Known, float]] = OrderedDict()

    async def of(self, request: Request) -> Asker:
        """Never refuses."""
        user_id, session_id = await self._known(request)
        return Asker(
            address=network(self._credentials.address(request)),
            user_id=user_id,
            session_id=session_id,
            conversation_id=conversation_in(request.url.path),
        )

    async def _known(self, request: Request) -> _Known:
        bearer = self._credentials.bearer(request)
        if bearer is not None:
            try:
                key = await self._keys.lookup(bearer)
            except InterlockError:
                return None, None
            return key.user_id or f"key {key.id}", None
        token = self._credentials.token(request)
        if token is None:
            return None, None
        now = self._clock.monotonic()
        name = hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        seen = self._seen.get(name)
        if seen is not None and seen[1] > now:
            return seen[0]
        try:
            found = await self._credentials.sessions.resolve(
                token, self._credentials.origin(request), slide=False
            )
        except InterlockError:
            return None, None
        known = (found.user.id, found.session.family)
        self._seen[name] = (known, now + _KEPT_S)
        self._seen.move_to_end(name)
        if len(self._seen) > _CAPACITY:
            self._seen.popitem(last=False)
        return known


def conversation_in(path: str) -> str | None:
    """Id of the conversation a path of the chat API is about."""
    for pattern in _PLACES:
        found = pattern.match(path)
        if found is not None:
            return found[1].lower()
    return None
