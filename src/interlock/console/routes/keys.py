"""Gateway keys: make, rotate, revoke. Source: console.md, 5.8."""

from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from interlock.console.errors import MissingRightError, NothingHereError
from interlock.console.page import Call, Page
from interlock.gateway.history import DecisionFilter
from interlock.identity.admin import CreatedKey
from interlock.identity.errors import InvalidIdentityError, KeyNotFoundError
from interlock.identity.model import KeyLimits, KeySpec, KeyView
from interlock.kernel.errors import InterlockError

__all__ = ["PAGES"]

_DAY_S = 86_400.0
_UNUSED_S = 90 * _DAY_S
_EXPIRY = {"": "Never", "30": "In 30 days", "90": "In 90 days", "365": "In a year"}
_FRAGMENTS = {"pane": "key_pane.html", "first": "key_first.html"}


async def listed(call: Call) -> Response:
    """All keys of the account; of the server for administrators."""
    keys = await call.services.admin.keys(account_id=call.viewer.scope)
    values: dict[str, Any] = {"key": None}
    if peek := call.query("peek"):
        values = await _detail(call, await _found(call, peek), back=True)
        if call.fragment == "pane":
            return call.render("key_pane.html", fragments=_FRAGMENTS, **values)
    now = call.services.now()
    flags = {
        key.id: [
            *(
                ["unused for 90 days"]
                if now - (key.last_used_at or key.created_at) > _UNUSED_S
                else []
            ),
            *(["never expires"] if key.expires_at is None else []),
        ]
        for key in keys
    }
    return call.render(
        "keys.html", fragments=_FRAGMENTS, rows=keys, flags=flags, peek=peek, **values
    )


async def alone(call: Call) -> Response:
    """One key on a page of its own."""
    key = await _found(call, call.path("id"))
    return call.render("key.html", fragments=_FRAGMENTS, **await _detail(call, key, back=False))


async def new(call: Call) -> Response:
    """The form."""
    _may_change(call)
    return call.render("key_new.html", problem=None, given={}, expiry=_EXPIRY)


async def create(call: Call) -> Response:
    """Makes the key and shows it, once."""
    _may_change(call)
    await call.need_recent(
        "Create key",
        f"This makes the key `{call.field('label')[:60]}`, which can call models and tools as you.",
    )
    try:
        made = await call.services.admin.create_key(
            _spec(call),
            call.viewer.actor,
            user=call.viewer.email,
            account_id=call.viewer.account_id,
        )
    except InterlockError as error:
        return call.render(
            "key_new.html", status=400, problem=error, given=dict(call.form), expiry=_EXPIRY
        )
    return _shown(call, made, old=None)


async def rotate(call: Call) -> Response:
    """Makes a second key like this one; the old one works until it is revoked."""
    key = await _found(call, call.path("id"))
    _may_change(call)
    await call.need_recent(
        "Rotate key",
        f"This makes a new key like `{key.label}`. The old one keeps working until you revoke it.",
    )
    if key.providers:
        raise InvalidIdentityError(
            "this key holds provider credentials, which cannot be copied to another key",
            hint="make a new key and give it the credentials again",
            param="key",
        )
    made = await call.services.admin.create_key(
        KeySpec(
            label=key.label,
            scopes=frozenset(key.scopes),
            base_config=key.base_config,
            limits=key.limits,
            tool_pinning=key.tool_pinning,  # type: ignore[arg-type] # as it was stored
            call_ids=key.call_ids,  # type: ignore[arg-type] # as it was stored
            retention=key.retention,  # type: ignore[arg-type] # as it was stored
            policy_override=key.policy_override,
            approval=key.approval,  # type: ignore[arg-type] # as it was stored
            expires_at=key.expires_at if (key.expires_at or 0) > call.services.now() else None,
        ),
        call.viewer.actor,
        user=key.user_email,
        account_id=key.account_id,
    )
    return _shown(call, made, old=key)


async def revoke(call: Call) -> Response:
    """Makes the key invalid for good."""
    key = await _found(call, call.path("id"))
    _may_change(call)
    day = await _day(call, key)
    await call.need_recent(
        "Revoke key",
        f"Clients that use `{key.label}` ({key.prefix}…) are "
        f"refused from now on. It decided {day:,} calls in the last 24 h.",
    )
    await call.services.admin.revoke_key(key.id, call.viewer.actor)
    return call.redirect(f"/console/keys/{key.id}")


async def first_request(call: Call) -> Response:
    """Whether the key was used: the line under a new key asks."""
    key = await _found(call, call.path("id"))
    return call.render("key_first_page.html", fragments=_FRAGMENTS, key=key)


def _may_change(call: Call) -> None:
    if not (call.viewer.admin or call.viewer.role in {"owner", "admin", "member"}):
        raise MissingRightError("change keys")


def _shown(call: Call, made: CreatedKey, *, old: KeyView | None) -> Response:
    return call.render("key_made.html", key=made.view, token=made.token, old=old)


def _spec(call: Call) -> KeySpec:
    days = call.field("expires")
    if days not in _EXPIRY:
        raise InvalidIdentityError("no such expiry", param="expires")
    scopes = frozenset(one.strip() for one in call.field("scopes").split(",") if one.strip())
    if "admin" in scopes:
        call.need_admin()
    return KeySpec(
        label=call.field("label"),
        scopes=scopes,
        limits=KeyLimits(
            requests_per_minute=_number(call, "requests_per_minute"),
            tokens_per_minute=_number(call, "tokens_per_minute"),
            monthly_cost=_amount(call, "monthly_cost"),
        ),
        retention=_one_of(call, "retention", ("full", "masked", "none")),  # type: ignore[arg-type] # checked
        tool_pinning=_one_of(call, "tool_pinning", ("off", "warn", "deny")),  # type: ignore[arg-type] # checked
        approval="ask" if call.field("approval") == "ask" else "off",
        expires_at=call.services.now() + int(days) * _DAY_S if days else None,
    )


def _one_of(call: Call, name: str, choices: tuple[str, ...]) -> str:
    value = call.field(name, choices[0])
    if value not in choices:
        raise InvalidIdentityError(f"`{name}` is one of {', '.join(choices)}", param=name)
    return value


def _number(call: Call, name: str) -> int | None:
    text = call.field(name)
    if not text:
        return None
    if not text.isdecimal() or len(text) > 12:
        raise InvalidIdentityError(f"`{name}` is a whole number", param=name)
    return int(text)


def _amount(call: Call, name: str) -> float | None:
    text = call.field(name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value < 1e12:
        raise InvalidIdentityError(f"`{name}` is an amount in US dollars", param=name)
    return value


async def _found(call: Call, key_id: str) -> KeyView:
    try:
        key = await call.services.admin.key(key_id[:200])
    except (KeyNotFoundError, InvalidIdentityError):
        raise NothingHereError(key_id) from None
    scope = call.viewer.scope
    if key.id != key_id or (scope is not None and key.account_id != scope):
        raise NothingHereError(key_id)
    return key


async def _day(call: Call, key: KeyView) -> int:
    since = call.services.now() - _DAY_S
    return await call.services.history.count(
        DecisionFilter(key_id=key.id, since=since), at_most=10_000
    )


async def _detail(call: Call, key: KeyView, *, back: bool) -> dict[str, Any]:
    now = call.services.now()
    midnight = datetime.fromtimestamp(now, UTC).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    return {
        "key": key,
        "back": back,
        "key_state": key.status(now),
        "calls": await _day(call, key),
        "spent": await call.services.history.spent(key.id, midnight.timestamp()),
    }


PAGES = (
    Page(path="/console/keys", handler=listed),
    Page(path="/console/keys", handler=create, methods=("POST",)),
    Page(path="/console/keys/new", handler=new),
    Page(path="/console/keys/{id}", handler=alone),
    Page(path="/console/keys/{id}/first", handler=first_request),
    Page(path="/console/keys/{id}/rotate", handler=rotate, methods=("POST",)),
    Page(path="/console/keys/{id}/revoke", handler=revoke, methods=("POST",)),
)
