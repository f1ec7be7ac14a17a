"""Limits: where they hold, who is near one, what one would say. Source: console.md, 5.8."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import Response

from interlock.console.errors import NothingHereError
from interlock.console.limit_words import ALGORITHMS, SCOPES, given_of, in_words
from interlock.console.page import Call, Page
from interlock.identity.errors import UserNotFoundError
from interlock.identity.login.throttle import network
from interlock.identity.model import KeyView, User
from interlock.limits.desk import Fill, ProfileRow
from interlock.limits.errors import InvalidAssignmentError
from interlock.limits.matching import clean_method, clean_path
from interlock.limits.model import METHODS
from interlock.limits.routes import Asker, Peeked
from interlock.limits.service import KeyStanding
from interlock.limits.sightings import Sighting
from interlock.web.asking import conversation_in

__all__ = ["PAGES", "found_profile"]

_FRAGMENTS = {"now": "limits_now.html", "routes": "limits_routes.html"}
_KEYS = 50
_METHODS = tuple(sorted(METHODS - {"OPTIONS"}))
_GATEWAY = ("/control", "/v1")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """A key with limits and what it has left."""

    key: KeyView
    standing: KeyStanding
    spent: float
    """US dollars this month."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the tester found out."""

    who: str
    method: str
    path: str
    peeked: Peeked | None
    problem: str = ""
    gateway: bool = False
    """The path belongs to the gateway, whose requests are limited by their key."""


async def limits(call: Call) -> Response:
    """Everything about limits on one page, and what a request would be told."""
    desk = call.services.limits
    limited = await desk.limited()
    keys = await call.services.admin.keys()
    values: dict[str, Any] = {
        "limited": limited,
        "stopped": [one for one in limited if one.limited(call.services.now())],
        "names": await _names(call, limited, keys),
        "enabled": desk.enabled,
        "in_words": in_words,
    }
    if call.fragment == "now":
        return call.render("limits_now.html", **values)
    profiles, routes = await desk.overview()
    fills = [row.fullest for row in routes if row.fullest is not None]
    values["names"] = {
        **values["names"],
        **await _names(call, [fill.sighting for fill in fills], keys),
    }
    values |= {"routes": routes, "profiles": profiles, "scopes": SCOPES}
    if call.fragment == "routes":
        return call.render("limits_routes.html", **values)
    return call.render(
        "limits.html",
        fragments=_FRAGMENTS,
        told=await _tried(call),
        key_rows=await _key_rows(call, keys),
        share=_share,
        **_choices(call),
        **values,
    )


async def profile(call: Call) -> Response:
    """One profile: its form, the routes it holds on."""
    row = await found_profile(call, call.path("id"))
    return call.render(
        "limit_profile.html",
        row=row,
        given=given_of(row.profile, row.limit, row.scope),
        problem=None,
        words=in_words(row.limit),
        algorithms=ALGORITHMS,
        scopes=SCOPES,
        methods=_METHODS,
    )


async def found_profile(call: Call, profile_id: str) -> ProfileRow:
    """The profile with this id. Raises NothingHereError."""
    profiles, _ = await call.services.limits.overview()
    for row in profiles:
        if row.profile.id == profile_id:
            return row
    raise NothingHereError(profile_id)


def _choices(call: Call) -> dict[str, Any]:
    return {
        "methods": _METHODS,
        "tried": {
            "method": call.query("method", "GET")[:10],
            "path": call.query("path")[:500],
            "who": call.query("who")[:320],
        },
    }


async def _tried(call: Call) -> Told | None:
    """What a request of the form would be told; nothing is counted."""
    path, who = call.query("path")[:500], call.query("who")[:320]
    if not path:
        return None
    method = call.query("method", "GET")[:10]
    try:
        method, path = clean_method(method), clean_path(urlsplit(path).path or "/")
        asker, name = await _asker(call, who, path)
        peeked = await call.services.limits.peek(method, path, asker)
    except (InvalidAssignmentError, UserNotFoundError) as error:
        return Told(who=who, method=method, path=path, peeked=None, problem=error.message)
    except ValueError:
        return Told(who=who, method=method, path=path, peeked=None, problem="this is no path")
    return Told(
        who=name,
        method=method,
        path=path,
        peeked=peeked,
        gateway=peeked is None and path.startswith(_GATEWAY),
    )


async def _asker(call: Call, who: str, path: str) -> tuple[Asker, str]:
    """Somebody by name, an address, or the person who asks."""
    place = conversation_in(path)
    if not who:
        mine = Asker(address="", user_id=call.viewer.user_id, conversation_id=place)
        return mine, call.viewer.name or "you"
    try:
        ip_address(who)
    except ValueError:
        user = await call.services.people.named(who)
        return Asker(address="", user_id=user.id, conversation_id=place), user.username
    return Asker(address=network(who), conversation_id=place), f"address {who}"


async def _names(
    call: Call, found: Sequence[Sighting], keys: Sequence[KeyView]
) -> Mapping[str, tuple[str, str]]:
    """Whom a bucket is of: words and a path of the console, by `who`."""
    ids = {one.who.removeprefix("user:") for one in found if one.who.startswith("user:")}
    people: Mapping[str, User] = await call.services.roster.names(ids)
    labels = {key.id: key.label for key in keys}
    made: dict[str, tuple[str, str]] = {}
    for one in found:
        kind, _, name = one.who.partition(":")
        if kind == "user" and name in people:
            made[one.who] = (people[name].username, f"/console/users/{name}")
        elif kind == "user" and name.startswith("key "):
            key = name.removeprefix("key ")
            made[one.who] = (f"key {labels.get(key, key)}", f"/console/keys/{key}")
        elif kind == "key":
            made[one.who] = (f"key {labels.get(name, name)}", f"/console/keys/{name}")
        elif kind == "all":
            made[one.who] = ("everybody", "")
        else:
            words = {"ip": "address", "session": "session", "conversation": "conversation"}
            made[one.who] = (f"{words.get(kind, kind)} {name or '-'}", "")
    return made


async def _key_rows(call: Call, keys: Sequence[KeyView]) -> list[KeyRow]:
    now = call.services.now()
    month = datetime.fromtimestamp(now, UTC).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    sums = await call.services.history.usage(by=("key",), since=month.timestamp())
    spent = {row.group["key"]: row.cost for row in sums}
    rows: list[KeyRow] = []
    for key in keys:
        if key.status(now) != "active" or len(rows) >= _KEYS:
            continue
        standing = await call.services.limits.standing(key.id, key.limits)
        if standing.requests or standing.tokens or standing.monthly_cost:
            rows.append(KeyRow(key=key, standing=standing, spent=spent.get(key.id, 0.0)))
    return rows


def _share(fill: Fill) -> int:
    """Per cent of a bucket that is used."""
    return min(100, round(100 * fill.used / fill.amount))


PAGES = (
    Page(path="/console/limits", handler=limits, right="admin"),
    Page(path="/console/limits/profiles/{id}", handler=profile, right="admin"),
)
