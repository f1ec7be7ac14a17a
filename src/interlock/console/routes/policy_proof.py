"""Policies: tests, replay, where they are bound, activation. Source: console.md, 5.4."""

from typing import Literal, cast

from starlette.responses import Response

from interlock.console.errors import NothingHereError
from interlock.console.filters import RANGES
from interlock.console.page import Call, Page
from interlock.console.routes.policies import Opened, opened
from interlock.gateway.history import DecisionFilter
from interlock.gateway.policies.errors import ActivationRefusedError, InvalidPolicyError
from interlock.gateway.policies.model import TargetKind, Version, source_of
from interlock.gateway.policies.replaying import OUTCOMES, ReplaySummary
from interlock.kernel.errors import InterlockError

__all__ = ["PAGES"]

_REPLAY_ROWS = 20_000
_SHOWN = 100
_ORDER = ("newly_allowed", "newly_denied", "other_rule")


async def tests(call: Call) -> Response:
    """Tests of the policy, run against the newest version."""
    return await _tests(call, await opened(call), problem=None, text="")


async def add_tests(call: Call) -> Response:
    """Keeps tests of a YAML text, or removes one."""
    call.need_admin("change policies")
    found = await opened(call)
    name = found.policy.name
    if call.field("remove"):
        await call.services.policies.remove_test(name, call.field("remove"), call.viewer.actor)
        return call.redirect(f"/console/policies/{name}/tests")
    text = call.form.get("file", "") or call.form.get("text", "")
    try:
        await call.services.policies.add_tests(name, [("tests", text)], call.viewer.actor)
    except InterlockError as error:
        return await _tests(call, found, problem=error, text=text)
    return call.redirect(f"/console/policies/{name}/tests")


async def _tests(
    call: Call, found: Opened, *, problem: InterlockError | None, text: str
) -> Response:
    version, stored, results = await call.services.policies.run_tests(found.policy.name)
    return call.render(
        "policy_tests.html",
        status=200 if problem is None else 400,
        found=found,
        version=version,
        rows=list(zip(stored, results, strict=False)),
        problem=problem,
        text=text,
        tab="tests",
    )


async def replay(call: Call) -> Response:
    """The form, and with `run` what the newest version would have decided otherwise."""
    found = await opened(call)
    span = call.query("t", "24h")
    span = span if span in RANGES else "24h"
    summary = None
    if call.query("run"):
        summary = await _replay(call, found.versions[0], found, RANGES[span])
    groups: dict[str, dict[tuple[str, str], int]] = {}
    for one in summary.changed if summary else ():
        rules = groups.setdefault(one.outcome, {})
        pair = (one.tool, one.after_rule or "default")
        rules[pair] = rules.get(pair, 0) + 1
    return call.render(
        "policy_replay.html",
        found=found,
        span=span,
        spans=tuple(RANGES),
        summary=summary,
        order=_ORDER,
        groups=groups,
        outcomes=OUTCOMES,
        shown=sorted(summary.changed, key=lambda one: _ORDER.index(one.outcome))[:_SHOWN]
        if summary
        else [],
        tab="replay",
    )


async def _replay(call: Call, version: Version, found: Opened, seconds: float) -> ReplaySummary:
    now = call.services.now()
    source = source_of(found.policy, version)
    policies = await call.services.policies.current()
    candidate = policies.with_version(found.policy, version, "active")

    return await call.services.replays.run(
        DecisionFilter(account_id=call.viewer.scope, since=now - seconds),
        lambda record: [
            *[
                one
                for one in candidate.sources(record.account_id, record.key_id, record.surface)
                if one.enforcement == "enforce" and one.name != source.name
            ],
            source,
        ],
        until=now,
        headers=True,
        limit=_REPLAY_ROWS,
    )


async def used_by(call: Call) -> Response:
    """Where the policy is bound."""
    found = await opened(call)
    current = await call.services.policies.current()
    keys = await call.services.admin.keys(account_id=call.viewer.scope)
    return call.render(
        "policy_used.html",
        found=found,
        tab="used",
        keys=keys,
        labels={key.id: key.label for key in keys},
        problem=None,
        rows=[one for one in current.bindings if one.policy_id == found.policy.id],
    )


async def bind(call: Call) -> Response:
    """Binds the policy somewhere, or ends a binding."""
    call.need_admin("change policies")
    found = await opened(call)
    name = found.policy.name
    await call.need_recent(
        "Change where it applies", f"This changes which calls `{name}` decides, at once."
    )
    kind = call.field("kind", "server")
    if kind not in {"server", "surface", "account", "key"}:
        raise InvalidPolicyError(
            "a policy is bound to the server, a surface, an account or a key", param="kind"
        )
    target = call.field("target")
    if call.field("do") == "unbind":
        await call.services.bindings.unbind(name, cast(TargetKind, kind), target, call.viewer.actor)
    else:
        await call.services.bindings.bind(name, cast(TargetKind, kind), target, call.viewer.actor)
    return call.redirect(f"/console/policies/{name}/used")


async def activate(call: Call) -> Response:
    """What is known about the newest version before it takes effect."""
    return await _evidence(call, await opened(call), problem=None)


async def _evidence(
    call: Call, found: Opened, *, problem: ActivationRefusedError | None
) -> Response:
    checked = await call.services.activations.check(found.policy.name, found.versions[0].n)
    return call.render(
        "policy_activate.html",
        status=200 if problem is None else 409,
        found=found,
        checked=checked,
        problem=problem,
        tab="activate",
    )


async def do_activate(call: Call) -> Response:
    """Activates, watches, goes back or retires."""
    call.need_admin("change policies")
    found = await opened(call)
    name, do = found.policy.name, call.field("do")
    number = int(call.field("n")) if call.field("n").isdecimal() else found.versions[0].n
    if number not in {one.n for one in found.versions}:
        raise NothingHereError(call.field("n"))
    words: dict[str, Literal["Activate", "Watch", "Roll back", "Retire"]] = {
        "activate": "Activate",
        "shadow": "Watch",
        "rollback": "Roll back",
        "retire": "Retire",
    }
    if do not in words:
        raise InvalidPolicyError("activate, shadow, rollback or retire", param="do")
    if do != "shadow":
        await call.need_recent(
            words[do],
            f"{words[do]} `{name}` version {number}: it decides "
            "calls from now on, wherever the policy is bound.",
        )
    activations, actor = call.services.activations, call.viewer.actor
    try:
        if do == "rollback":
            await activations.rollback(name, actor)
        elif do == "retire":
            await activations.retire(name, actor)
        else:
            await activations.activate(name, actor, n=number, shadow=do == "shadow")
    except ActivationRefusedError as error:
        return await _evidence(call, found, problem=error)
    return call.redirect(
        f"/console/policies/{name}/used" if do == "activate" else f"/console/policies/{name}"
    )


PAGES = (
    Page(path="/console/policies/{name}/tests", handler=tests),
    Page(path="/console/policies/{name}/tests", handler=add_tests, methods=("POST",)),
    Page(path="/console/policies/{name}/replay", handler=replay),
    Page(path="/console/policies/{name}/used", handler=used_by),
    Page(path="/console/policies/{name}/used", handler=bind, methods=("POST",)),
    Page(path="/console/policies/{name}/activate", handler=activate, right="admin"),
    Page(path="/console/policies/{name}/activate", handler=do_activate, methods=("POST",)),
)
