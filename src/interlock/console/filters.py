"""Filters of lists as they stand in an address: chips, time ranges, pages."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from interlock.gateway.history import DecisionFilter
from interlock.policy.model import Verdict

__all__ = ["RANGES", "Chip", "Wanted", "wanted_of"]

RANGES: Mapping[str, float] = {
    "15m": 900.0,
    "1h": 3600.0,
    "24h": 86_400.0,
    "7d": 604_800.0,
    "30d": 2_592_000.0,
}
RANGE_WORDS = {
    "15m": "the last 15 min",
    "1h": "the last hour",
    "24h": "the last 24 h",
    "7d": "the last 7 days",
    "30d": "the last 30 days",
    "all": "everything kept",
}
_VERDICTS = {
    "denied": tuple(str(one) for one in Verdict if not one.allowed),
    "allowed": tuple(str(one) for one in Verdict if one.allowed),
    **{str(one): (str(one),) for one in Verdict},
}
FIELDS = ("verdict", "tool", "rule", "label", "key", "session", "request")
_PAGE = re.compile(r"[0-9.e+]{1,40}:[A-Za-z0-9_\-]{1,80}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """One filter that is on."""

    name: str
    value: str
    without: Mapping[str, str]
    """The other members of the address: following them drops this filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a list is asked for."""

    filter: DecisionFilter
    range: str
    words: str
    """The time range in words."""
    chips: tuple[Chip, ...]
    members: Mapping[str, str]
    """Of the address, without page, peek and node."""
    page: str | None


def wanted_of(query: Mapping[str, str], *, account_id: str | None, now: float) -> Wanted:
    """Reads the members of an address; what makes no sense is left out, not an error."""
    given = {name: str(query.get(name, "")).strip()[:300] for name in FIELDS}
    given = {name: value for name, value in given.items() if value and "\0" not in value}
    if given.get("verdict") not in _VERDICTS:
        given.pop("verdict", None)
    span = str(query.get("t", "24h"))
    if span not in RANGE_WORDS:
        span = "24h"
    members = {**given, **({"t": span} if span != "24h" else {})}
    for extra in ("group",):
        if query.get(extra) in {"rule", "tool", "key"}:
            members[extra] = str(query[extra])
    chips = tuple(
        Chip(
            name=name,
            value=value,
            without={key: held for key, held in members.items() if key != name},
        )
        for name, value in given.items()
    )
    page = str(query.get("page", ""))
    return Wanted(
        filter=DecisionFilter(
            account_id=account_id,
            verdicts=_VERDICTS.get(given.get("verdict", ""), ()),
            tool=given.get("tool"),
            rule=given.get("rule"),
            label=given.get("label"),
            key_id=given.get("key"),
            session_id=given.get("session"),
            request_id=given.get("request"),
            since=None if span == "all" else now - RANGES[span],
        ),
        range=span,
        words=RANGE_WORDS[span],
        chips=chips,
        members=members,
        page=page if _PAGE.fullmatch(page) else None,
    )
