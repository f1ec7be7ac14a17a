"""Limits in words, and forms of limits in both directions."""

from collections.abc import Mapping
from typing import Any, Final

from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.limits.algorithms import Limit
from interlock.limits.model import Profile, Scope

__all__ = ["ALGORITHMS", "SCOPES", "given_of", "in_words", "params_of", "plain", "rate_of"]

ALGORITHMS: Final = {
    "gcra": "Steady rate with bursts (GCRA)",
    "token_bucket": "Token bucket",
    "fixed_window": "So many in a window",
}
SCOPES: Final[Mapping[Scope, str]] = {
    "user_or_ip": "each person, or address while nobody is known",
    "user": "each person",
    "session": "each session",
    "ip": "each address",
    "conversation": "each conversation",
    "global": "everybody together",
}
_UNITS: Final = ((1.0, "second"), (60.0, "minute"), (3600.0, "hour"), (86_400.0, "day"))
_RATES: Final = {"gcra", "token_bucket"}


class _FormError(InterlockError):
    """A field of the form holds no number."""

    kind = ErrorKind.INVALID
    code = "invalid_limit"

    def __init__(self, name: str, words: str) -> None:
        super().__init__(f"{words} is a number above zero", param=name)


def in_words(limit: Limit) -> str:
    """`10 a second, bursts of 20`; `100 in 5 min`."""
    if limit.algorithm in {"fixed_window", "sliding_window"}:
        for seconds, unit in _UNITS:
            if limit.period_s == seconds:
                return f"{plain(limit.amount)} a {unit}"
        return f"{plain(limit.amount)} in {_span(limit.period_s)}"
    burst = f", bursts of {plain(limit.amount)}" if limit.amount > 1 else ""
    return f"{rate_of(1 / limit.period_s)}{burst}"


def rate_of(per_second: float) -> str:
    """`10 a second`, `3 a minute`: the unit that gives the smallest number of at least one."""
    for seconds, unit in _UNITS:
        count = per_second * seconds
        if round(count, 6) >= 1:
            return f"{plain(round(count, 2))} a {unit}"
    return f"1 in {_span(1 / per_second)}"


def plain(value: float) -> str:
    """A number without needless zeros, with thousands separators."""
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def params_of(form: Mapping[str, str]) -> dict[str, Any]:
    """What the form says, as profiles keep it. Raises InterlockError naming the field."""
    scope = form.get("scope", "user_or_ip")
    if form.get("algorithm", "gcra") not in _RATES:
        return {
            "limit": _number(form, "limit", "Requests in the window"),
            "window_seconds": _number(form, "window_seconds", "Length of the window"),
            "scope": scope,
        }
    return {
        "requests_per_second": _number(form, "requests_per_second", "Requests a second"),
        "burst": _number(form, "burst", "At once"),
        "scope": scope,
    }


def given_of(profile: Profile, limit: Limit, scope: Scope) -> dict[str, str]:
    """The fields of the form for a profile as it is."""
    found = {
        "name": profile.name,
        "description": profile.description or "",
        "algorithm": profile.algorithm,
        "scope": scope,
    }
    if profile.algorithm in _RATES:
        rate = profile.params.get("requests_per_second") or 1 / limit.period_s
        return found | {"requests_per_second": f"{rate:g}", "burst": f"{limit.amount:g}"}
    return found | {"limit": f"{limit.amount:g}", "window_seconds": f"{limit.period_s:g}"}


def _number(form: Mapping[str, str], name: str, words: str) -> float:
    text = form.get(name, "").strip()
    try:
        value = float(text)
    except ValueError:
        raise _FormError(name, words) from None
    if not value > 0 or len(text) > 24:
        raise _FormError(name, words)
    return int(value) if value.is_integer() and value < 1e15 else value


def _span(seconds: float) -> str:
    for size, unit in ((86_400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size and round(seconds / size, 6).is_integer():
            return f"{plain(seconds / size)} {unit}"
    return f"{plain(seconds)} s"
