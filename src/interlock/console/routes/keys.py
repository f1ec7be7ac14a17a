"""Gateway keys: make, rotate, revoke. Source: console.md, 5.8."""

from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from interlock.console.errors import MissingRightError, NothingHereError
from interlock.console.page import Call, Page
from interlock.gateway.history import DecisionFilter
from interlock.identity.admin import CreatedKey
from interlock.identity.errors import InvalidIdentityError, KeyNotFoundError
from interlock.identity.model import KeySpec, KeyView
from interlock.limits.counters import CountersUnavailable
from interlock.limits.service import KeyStanding

__all__ = ["PAGES", "may_change", "shown_once"]

_DAY_S = 86_400.0
_UNUSED_S = 90 * _DAY_S
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


async def rotate(call: Call) -> Response:
    """Makes a second key like this one; the old one works until it is revoked."""
    key = await _found(call, call.path("id"))
    may_change(call)
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
    return shown_once(call, made, old=key)


async def revoke(call: Call) -> Response:
    """Makes the key invalid for good."""
    key = await _found(call, call.path("id"))
    may_change(call)
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


def may_change(call: Call) -> None:
    """Raises MissingRightError for who may only look."""
    if not (call.viewer.admin or call.viewer.role in {"owner", "admin", "member"}):
        raise MissingRightError("change keys")


def shown_once(call: Call, made: CreatedKey, *, old: KeyView | None) -> Response:
    """The page with the key itself; `old` is the one it replaces."""
    return call.render("key_made.html", key=made.view, token=made.token, old=old)


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
        "standing": await _standing(call, key),
        "bound": await _bound(call, key),
        "spent": await call.services.history.spent(key.id, midnight.timestamp()),
    }


async def _standing(call: Call, key: KeyView) -> KeyStanding | None:
    """What is left this minute; None while the shared counters do not answer."""
    try:
        return await call.services.limits.standing(key.id, key.limits)
    except CountersUnavailable:
        return None


async def _bound(call: Call, key: KeyView) -> list[tuple[str, bool]]:
    """Names of the policies that hold for calls of the key, and whether they decide."""
    current = await call.services.policies.current()
    targets = {("server", ""), ("account", key.account_id), ("key", key.id)}
    found = [one for one in current.bindings if (one.kind, one.target) in targets]
    return [
        (current.policies[one.policy_id].name, one.policy_id in current.active) for one in found
    ]


PAGES = (
    Page(path="/console/keys", handler=listed),
    Page(path="/console/keys/{id}", handler=alone),
    Page(path="/console/keys/{id}/first", handler=first_request),
    Page(path="/console/keys/{id}/rotate", handler=rotate, methods=("POST",)),
    Page(path="/console/keys/{id}/revoke", handler=revoke, methods=("POST",)),
)
