"""Making a gateway key. Source: console.md, 5.8."""

from starlette.responses import Response

from interlock.console.page import Call, Page
from interlock.console.routes.keys import may_change, shown_once
from interlock.identity.errors import InvalidIdentityError
from interlock.identity.model import KeyLimits, KeySpec
from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = ["PAGES"]

_DAY_S = 86_400.0
_EXPIRY = {"": "Never", "30": "In 30 days", "90": "In 90 days", "365": "In a year"}
_REFUSED = {
    ErrorKind.INVALID,
    ErrorKind.UNPROCESSABLE,
    ErrorKind.NOT_FOUND,
    ErrorKind.CONFLICT,
}


async def new(call: Call) -> Response:
    """The form."""
    may_change(call)
    return await _form(call, None)


async def create(call: Call) -> Response:
    """Makes the key and shows it, once."""
    may_change(call)
    owner, policy = call.field("owner"), call.field("policy")
    if owner or policy:
        call.need_admin()
    await call.need_recent(
        "Create key",
        f"This makes the key `{call.field('label')[:60]}`, which can call models and tools as "
        f"{owner[:120] or 'you'}{f', decided by the policy {policy[:60]}' if policy else ''}.",
    )
    try:
        if policy:
            await call.services.policies.versions(policy)
        made = await call.services.admin.create_key(
            _spec(call),
            call.viewer.actor,
            user=owner or call.viewer.email,
            account_id=None if owner else call.viewer.account_id,
        )
    except InterlockError as error:
        if error.error_kind not in _REFUSED:
            raise
        return await _form(call, error)
    if policy:
        await call.services.bindings.bind(policy, "key", made.view.id, call.viewer.actor)
    return shown_once(call, made, old=None)


async def _form(call: Call, problem: InterlockError | None) -> Response:
    summaries = await call.services.policies.summaries() if call.viewer.admin else []
    return call.render(
        "key_new.html",
        status=200 if problem is None else 400,
        problem=problem,
        given=dict(call.form),
        expiry=_EXPIRY,
        policies=[(one.policy.name, one.active) for one in summaries],
    )


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


PAGES = (
    Page(path="/console/keys", handler=create, methods=("POST",)),
    Page(path="/console/keys/new", handler=new),
)
