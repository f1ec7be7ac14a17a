"""Profiles of rate limits and where they apply. Frozen values, no I/O.

Source: conversations.md section 15.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from interlock.limits.algorithms import Algorithm, Limit
from interlock.limits.errors import InvalidProfileError

__all__ = ["METHODS", "POSTING", "Assignment", "Profile", "Scope", "limit_of", "scope_of"]

Scope = Literal["user_or_ip", "user", "session", "ip", "conversation", "global"]
"""What one bucket stands for."""

METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
POSTING: Final = "conversation.post"
"""Name of the built-in profile of posting, per person and conversation."""

_ALGORITHMS: Final = ("gcra", "token_bucket", "fixed_window")
_MOST: Final = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A named limit. `params` is kept as it was given."""

    id: str
    name: str
    algorithm: Algorithm
    params: Mapping[str, Any] = field(default_factory=dict)
    description: str | None
    built_in: bool = False
    """May be changed, not deleted."""
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A profile on a method and a path pattern."""

    id: str
    profile_id: str
    profile_name: str
    method: str
    path_pattern: str
    created_at: float
    updated_at: float


def limit_of(algorithm: str, params: Mapping[str, Any]) -> Limit:
    """The limit a profile describes.

    Raises:
        InvalidProfileError: no such algorithm, an unknown or missing parameter, a value out
            of bounds.
    """
    if algorithm not in _ALGORITHMS:
        raise InvalidProfileError(
            f"algorithm `{algorithm[:40]}` is none of {', '.join(_ALGORITHMS)}", field="algorithm"
        )
    known = {
        "gcra": {"requests_per_second", "burst"},
        "token_bucket": {"capacity", "refill_per_second", "requests_per_second", "burst"},
        "fixed_window": {"limit", "window_seconds"},
    }[algorithm]
    unknown = sorted(set(params) - known - {"scope"})
    if unknown:
        raise InvalidProfileError(f"`{unknown[0][:40]}` is no parameter", field="params")
    scope_of(params)
    if algorithm == "fixed_window":
        count, window = _number(params, "limit", least=1), _number(params, "window_seconds")
        return Limit(algorithm="fixed_window", amount=math.floor(count), period_s=window)
    if algorithm == "token_bucket" and "capacity" in params:
        rate, burst = _number(params, "refill_per_second"), _number(params, "capacity", least=1)
        return Limit(algorithm="token_bucket", amount=math.floor(burst), period_s=1 / rate)
    rate = _number(params, "requests_per_second")
    burst = _number(params, "burst", least=1) if params.get("burst") is not None else 1.0
    kind: Algorithm = "gcra" if algorithm == "gcra" else "token_bucket"
    return Limit(algorithm=kind, amount=math.floor(burst), period_s=1 / rate)


def scope_of(params: Mapping[str, Any]) -> Scope:
    """What one bucket of a profile stands for. Raises InvalidProfileError."""
    scope = params.get("scope", "user_or_ip")
    for known in get_args(Scope):
        if scope == known:
            return known  # type: ignore[no-any-return] # get_args loses the type
    raise InvalidProfileError(
        f"params.scope must be one of {', '.join(get_args(Scope))}", field="params"
    )


def _number(params: Mapping[str, Any], name: str, *, least: float = 0.0) -> float:
    value = params.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidProfileError(f"params.{name} must be a number", field="params")
    if not math.isfinite(value) or value <= 0 or value < least or value > _MOST:
        bound = f"at least {least:g}" if least else "above 0"
        raise InvalidProfileError(f"params.{name} must be {bound} and at most 1e9", field="params")
    return float(value)
