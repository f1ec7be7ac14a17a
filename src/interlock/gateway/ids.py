"""Ids of sessions and tool calls: how they are made, recognised and taken apart.

A session id is a UUID of version 8 whose bytes hold the second it was made in, 48
random bits and a short authentication code over owner, second and randomness (s, r,
m below, in hex digits; v holds the variant bits)::

    ssssssss-rrrr-8rrm-vmmm-rrrrrrmmmmmm

The code lets the server recognise a session that never had anything worth storing
(no labels, no calls) without a database row per request. It is not a secret: what a
session may do depends on the key that names it, never on knowing the id.

Tool-call ids (gateway.md, section 7.3): long `tc-{session}-{call uuid}`, characters
[3:39] are the session; compact `tc` + last 12 hex digits of the session + 4 digits.
"""

import hashlib
import hmac
import re
import uuid

from interlock.kernel.ids import random_bytes

__all__ = ["CallId", "SessionIds", "new_call_id", "parse_call_id", "upstream_alias"]

_LONG = re.compile(
    r"tc-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})-"
    r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
)
_BARE = re.compile(r"tc([0-9a-f]{32})([0-9a-f]{32})")
_COMPACT = re.compile(r"tc([0-9a-f]{12})([0-9a-f]{4})")


class CallId:
    """A recognised tool-call id: the session it names, by full id or by suffix."""

    __slots__ = ("canonical", "session", "suffix")

    def __init__(self, canonical: str, session: str | None, suffix: str) -> None:
        self.canonical = canonical
        """The id in the form it was given out in."""
        self.session = session
        """None for the compact form, which only knows `suffix`."""
        self.suffix = suffix
        """Last 12 hex digits of the session id."""


def parse_call_id(text: str) -> CallId | None:
    """Recognises an id of ours in any accepted form; None for anything else."""
    if not text.startswith("tc"):
        return None
    if match := _LONG.fullmatch(text):
        return CallId(text, match[1], match[1][-12:])
    if match := _BARE.fullmatch(text):
        session, call = str(uuid.UUID(match[1])), str(uuid.UUID(match[2]))
        return CallId(f"tc-{session}-{call}", session, session[-12:])
    if match := _COMPACT.fullmatch(text):
        return CallId(text, None, match[1])
    return None


def new_call_id(session_id: str, form: str, counter: int) -> str:
    """A fresh id for a call of the session; `counter` numbers its calls from 0."""
    if form == "compact":
        return f"tc{session_id[-12:]}{counter & 0xFFFF:04x}"
    return f"tc-{session_id}-{uuid.UUID(bytes=random_bytes(16), version=4)}"


def upstream_alias(call_id: str) -> str:
    """What an upstream is told a call of ours was called when its own id is forgotten.

    At most 40 characters, which is what the strictest provider takes; the same id
    always gives the same alias, so a call and its result still match.
    """
    return "call_" + hashlib.blake2b(call_id.encode(), digest_size=12).hexdigest()


class SessionIds:
    """Makes and checks session ids with one secret of the installation."""

    def __init__(self, secret: bytes) -> None:
        key = hashlib.blake2b(secret, digest_size=32, person=b"session-id").digest()
        self._mac = hashlib.blake2b(digest_size=6, key=key)

    def new(self, owner: str, now: float) -> str:
        """A new session id for `owner` (account and key), made at `now` (epoch seconds)."""
        head = (int(now) & 0xFFFFFFFF).to_bytes(4, "big") + random_bytes(6)
        return self._assemble(head, self._code(owner, head))

    def made_at(self, session_id: str, owner: str) -> float | None:
        """When we made this id for `owner`; None if we did not."""
        if not session_id.isascii():
            return None
        try:
            raw = uuid.UUID(session_id).bytes
        except ValueError:
            return None
        head = raw[:4] + raw[4:6] + bytes((raw[6] << 4 & 0xF0 | raw[7] >> 4,)) + raw[10:13]
        expected = self._assemble(head, self._code(owner, head))
        if not hmac.compare_digest(expected, session_id.lower()):
            return None
        return float(int.from_bytes(head[:4], "big"))

    def _code(self, owner: str, head: bytes) -> bytes:
        mac = self._mac.copy()
        mac.update(head + owner.encode())
        return mac.digest()

    @staticmethod
    def _assemble(head: bytes, code: bytes) -> str:
        """Lays out 10 bytes of head and 6 of code around the version and variant bits."""
        h, c = head.hex(), code.hex()
        variant = "89ab"[code[1] >> 4 & 3]
        return f"{h[:8]}-{h[8:12]}-8{h[12:14]}{c[1]}-{variant}{c[3:6]}-{h[14:]}{c[6:]}"
