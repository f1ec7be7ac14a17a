"""Reasoning across formats: effort against token budgets, and foreign proofs.

A provider wants its reasoning back unchanged: a signature (Messages) or an
encrypted blob (Responses). A client of another format has one opaque member for
that; `pack` puts what the format has no room for into it, `unpack` takes it out
of the next request. What no provider of ours packed is left alone.
"""

import base64
import binascii
from typing import Literal

import msgspec
from msgspec import Struct

from interlock.providers.wire.model import Reasoning, Thinking
from interlock.providers.wire.reading import JSON_ERRORS

__all__ = ["BUDGETS", "MIN_BUDGET", "budget_of", "effort_of", "pack", "unpack"]

MIN_BUDGET = 1024
"""The smallest budget Messages accepts."""

BUDGETS: dict[str, int] = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 32768,
    "max": 65536,
}
"""Thinking tokens an effort stands for."""

_EFFORT_UP_TO = (
    (1536, "minimal"),
    (4096, "low"),
    (12288, "medium"),
    (24576, "high"),
    (49152, "xhigh"),
)
_PREFIX = "ilk1."


class _Packed(Struct, array_like=True):
    origin: Literal["chat", "messages", "responses"] | None
    id: str | None
    signature: str | None
    encrypted: str | None
    format: str | None = None


def budget_of(reasoning: Reasoning) -> int | None:
    """Thinking tokens to ask for; None when nothing says how many."""
    if reasoning.budget_tokens is not None:
        return max(reasoning.budget_tokens, MIN_BUDGET)
    return BUDGETS.get(reasoning.effort) if reasoning.effort else None


def effort_of(reasoning: Reasoning) -> str | None:
    """The effort word for it; None when nothing says how much."""
    if not reasoning.enabled:
        return reasoning.effort
    if reasoning.effort is not None:
        return reasoning.effort
    budget = reasoning.budget_tokens
    if budget is None:
        return None
    return next((word for limit, word in _EFFORT_UP_TO if budget <= limit), "max")


def pack(part: Thinking) -> str | None:
    """The proof of `part` as one string; None when it has none."""
    if part.signature is None and part.encrypted is None:
        return None
    packed = _Packed(
        origin=part.origin,
        id=part.id,
        signature=part.signature,
        encrypted=part.encrypted,
        format=part.format,
    )
    return _PREFIX + base64.urlsafe_b64encode(msgspec.json.encode(packed)).decode()


def unpack(blob: str, text: str = "") -> Thinking | None:
    """The part `pack` made `blob` of, saying `text`; None when `blob` is not ours."""
    if not blob.startswith(_PREFIX):
        return None
    try:
        raw = base64.b64decode(blob[len(_PREFIX) :], altchars=b"-_", validate=True)
        packed = msgspec.json.decode(raw, type=_Packed)
    except (binascii.Error, ValueError, *JSON_ERRORS):
        return None
    return Thinking(
        text=text,
        signature=packed.signature,
        encrypted=packed.encrypted,
        id=packed.id,
        origin=packed.origin,
        format=packed.format,
    )
