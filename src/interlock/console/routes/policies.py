"""Policies: list, editor, check, try a call, versions. Source: console.md, 5.4."""

import asyncio
import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from interlock.console.colouring import colour_table
from interlock.console.errors import NothingHereError
from interlock.console.page import Call, Page
from interlock.console.routes.decisions import found as found_decision
from interlock.console.routes.whatif import tags_of
from interlock.console.starters import STARTERS
from interlock.console.telling import cause_of
from interlock.gateway.history import DecisionFilter
from interlock.gateway.policies.checks import diagnostics
from interlock.gateway.policies.errors import PolicyNotFoundError, VersionNotFoundError
from interlock.gateway.policies.model import Language, Policy, Version
from interlock.gateway.records import DecisionRecord
from interlock.kernel.errors import InterlockError
from interlock.policy.compiled import compile_policy
from interlock.policy.errors import Diagnostic, PolicyError
from interlock.policy.model import (
    Caller,
    Labels,
    LabelSet,
    PolicySource,
    Presets,
    Session,
    ToolCall,
)

__all__ = ["PAGES", "Opened", "opened"]

_DAY_S = 86_400.0
_TEXT_CHARS = 1_000_000
_FRAGMENTS = {"check": "policy_check.html", "tried": "policy_try.html"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A policy and its versions, newest first."""

    policy: Policy
    versions: Sequence[Version]

    def in_state(self, state: str) -> Version | None:
        """The version in this state; None: there is none."""
        return next((one for one in self.versions if one.state == state), None)


async def opened(call: Call) -> Opened:
    """The policy of the address.

    Raises:
        NothingHereError: none of this name.
    """
    name = call.path("name")
    try:
        policy, versions = await call.services.policies.versions(name)
    except PolicyNotFoundError:
        raise NothingHereError(name) from None
    return Opened(policy=policy, versions=versions)


async def listed(call: Call) -> Response:
    """Every policy of the server."""
    services = call.services
    rows = await services.policies.summaries()
    wanted = DecisionFilter(
        account_id=call.viewer.scope,
        since=services.now() - _DAY_S,
        verdicts=("hard_denied", "soft_denied"),
    )
    counts: dict[str, int] = {}
    for tally in await services.history.tally(wanted, "policy", limit=1000):
        name = tally.name.rpartition("@")[0] or tally.name
        counts[name] = counts.get(name, 0) + tally.count
    return call.render("policies.html", rows=rows, denials=counts, starters=STARTERS)


async def new(call: Call) -> Response:
    """The editor with nothing saved yet: empty, a starter, or a rule for a decision."""
    call.need_admin("change policies")
    name, text = call.query("name"), ""
    quoted: tuple[str, ...] = ()
    starter = next((one for one in STARTERS if one.name == call.query("starter")), None)
    if starter is not None:
        name, text = starter.name, starter.text
    elif call.query("decision"):
        record = await found_decision(call, call.query("decision"))
        name = "draft"
        text, quoted = _proposed(record)
    return call.render(
        "policy_new.html",
        fragments=_FRAGMENTS,
        name=name,
        text=text,
        starters=STARTERS,
        starter=starter,
        quoted=quoted,
        problem=None,
        language="sqrt",
        table=colour_table(),
        findings=_found(text, "sqrt", "draft") if text else (),
    )


async def save_new(call: Call) -> Response:
    """Keeps the first version; a starter brings its tests along."""
    call.need_admin("change policies")
    name = call.field("name")
    try:
        saved = await _save(call, name)
    except InterlockError as error:
        return call.render(
            "policy_new.html",
            status=400,
            fragments=_FRAGMENTS,
            name=name,
            text=call.form.get("text", ""),
            starters=STARTERS,
            starter=None,
            quoted=(),
            problem=error,
            language="sqrt",
            table=colour_table(),
            findings=(),
        )
    starter = next((one for one in STARTERS if one.name == call.field("starter")), None)
    if starter is not None:
        await call.services.policies.add_tests(
            saved, [(starter.name, starter.tests)], call.viewer.actor
        )
    return call.redirect(f"/console/policies/{saved}")


async def editor(call: Call) -> Response:
    """The newest text, or `version`, in the editor."""
    found = await opened(call)
    number = call.query("version")
    version = found.versions[0]
    if number:
        version = next((one for one in found.versions if str(one.n) == number), version)
    return await _editor(call, found, text=version.text, version=version)


async def save(call: Call) -> Response:
    """Keeps a new version; a second saver is shown both texts and nothing is lost."""
    call.need_admin("change policies")
    found = await opened(call)
    newest = found.versions[0]
    text = call.form.get("text", "").replace("\r\n", "\n")
    base = call.field("base")
    if base and base != str(newest.n) and text != newest.text and call.field("over") != base:
        return await _editor(
            call, found, text=text, version=newest, other=newest, base=base, status=409
        )
    await _save(call, found.policy.name, language=found.policy.language)
    return call.redirect(f"/console/policies/{found.policy.name}")


async def check(call: Call) -> Response:
    """Findings about a text that is not saved."""
    text = call.form.get("text", "")[:_TEXT_CHARS].replace("\r\n", "\n")
    language: Language = "cedar" if call.field("language") == "cedar" else "sqrt"
    found = await asyncio.to_thread(_found, text, language, call.field("name") or "draft")
    return call.render("policy_check_page.html", fragments=_FRAGMENTS, findings=found)


async def try_call(call: Call) -> Response:
    """Decides one call under a text that is not saved; recorded nowhere."""
    text = call.form.get("text", "")[:_TEXT_CHARS].replace("\r\n", "\n")
    problem, decision = "", None
    try:
        args: Any = json.loads(call.form.get("args", "") or "{}")
    except (ValueError, RecursionError):
        args = None
    if not call.field("tool"):
        problem = "name the tool to call"
    elif not isinstance(args, dict):
        problem = "the arguments must be one JSON object"
    else:
        language: Language = "cedar" if call.field("language") == "cedar" else "sqrt"
        source = PolicySource(name=call.field("name") or "draft", text=text, language=language)
        tags = LabelSet.from_wire(tags_of(call.field("arg_tags")))
        held = {name: Labels(tags=tags) for name in args} if call.field("arg_tags") else {}
        session = Session(
            labels=Labels(tags=LabelSet.from_wire(tags_of(call.field("session_tags"))))
        )
        try:
            program = await asyncio.to_thread(
                compile_policy, [source], presets=Presets(), caller=Caller(user=call.viewer.email)
            )
            decision = program.decide(
                ToolCall(tool=call.field("tool"), args=args, labels=held), session, trace=True
            )
        except PolicyError as error:
            problem = error.diagnostics[0].message
    return call.render(
        "policy_try_page.html", fragments=_FRAGMENTS, problem=problem, decision=decision
    )


async def versions(call: Call) -> Response:
    """All versions, and what one changed against another."""
    found = await opened(call)
    shown = call.query("n")
    chosen = next((one for one in found.versions if str(one.n) == shown), found.versions[0])
    before = next((one for one in found.versions if one.n == chosen.n - 1), None)
    return call.render(
        "policy_versions.html",
        found=found,
        chosen=chosen,
        before=before,
        diff=_diff(before.text if before else "", chosen.text),
        tab="versions",
    )


async def restore(call: Call) -> Response:
    """Keeps the text of an old version as a new draft."""
    call.need_admin("change policies")
    found = await opened(call)
    try:
        _, version = await call.services.policies.version(
            found.policy.name, int(call.field("n") or 0)
        )
    except (VersionNotFoundError, ValueError):
        raise NothingHereError(call.field("n")) from None
    await call.services.policies.save(
        found.policy.name,
        version.text,
        call.viewer.actor,
        language=found.policy.language,
        note=f"restored from version {version.n}",
    )
    return call.redirect(f"/console/policies/{found.policy.name}")


async def _save(call: Call, name: str, *, language: Language = "sqrt") -> str:
    saved = await call.services.policies.save(
        name,
        call.form.get("text", "").replace("\r\n", "\n"),
        call.viewer.actor,
        language="cedar" if call.field("language", language) == "cedar" else "sqrt",
        note=call.field("note"),
    )
    return saved.policy.name


async def _editor(
    call: Call,
    found: Opened,
    *,
    text: str,
    version: Version,
    other: Version | None = None,
    base: str = "",
    status: int = 200,
) -> Response:
    services = call.services
    wanted = DecisionFilter(account_id=call.viewer.scope, since=services.now() - _DAY_S)
    fired = {
        (tally.line or 0): tally.count
        for tally in await services.history.tally(wanted, "rule", limit=500)
        if tally.policy and tally.policy.rpartition("@")[0] == found.policy.name
    }
    tools = [
        one.name
        for one in await services.history.tally(
            DecisionFilter(account_id=call.viewer.scope), "tool", limit=50
        )
    ]
    result = await services.policies.run_tests(found.policy.name, version.n)
    return call.render(
        "policy_editor.html",
        status=status,
        fragments=_FRAGMENTS,
        found=found,
        text=text,
        version=version,
        other=other,
        base=base or str(found.versions[0].n),
        fired=fired,
        tools=tools,
        tests=result[2],
        table=colour_table(),
        tab="editor",
        findings=_found(text, found.policy.language, found.policy.name),
        diff=_diff(other.text, text) if other else [],
    )


def _found(text: str, language: Language, name: str) -> Sequence[Diagnostic]:
    return diagnostics(PolicySource(name=name or "draft", text=text, language=language))


def _diff(before: str, after: str) -> list[tuple[str, str]]:
    """Lines with what became of them: `same`, `added`, `removed`, `skip`."""
    marks = {"+": "added", "-": "removed", " ": "same", "@": "skip"}
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=3, lineterm="")
    return [
        (marks[line[0]], line[1:] if line[0] != "@" else "…")
        for line in lines
        if line[:3] not in {"+++", "---"} and line[:1] in marks
    ]


def _proposed(record: DecisionRecord) -> tuple[str, tuple[str, ...]]:
    """A rule for a case like this one, and the literals it quotes from the call."""
    cause = cause_of(record)
    tool = json.dumps(record.tool, ensure_ascii=True)
    quoted = [record.tool]
    if cause.labels:
        labels = ", ".join(json.dumps(one, ensure_ascii=True) for one in cause.labels)
        where = "@session" if cause.carrier == "the session" else cause.carrier
        when = f"{where}.tags overlaps {{{labels}}}"
        quoted += cause.labels
    else:
        name, value = next(
            (
                (n, v)
                for n, v in (record.args or {}).items()
                if isinstance(v, str) and len(v) < 200 and n.isidentifier()
            ),
            ("", ""),
        )
        when = f"{name}.value in {{{json.dumps(value, ensure_ascii=True)}}}" if name else ""
        quoted += [value] if name else []
    rule = f"should deny when {when};" if when else "should deny always;"
    text = (
        f"/// made from decision {record.id}: review every quoted text\n"
        f"tool {tool} {{\n    {rule}\n}}\n"
    )
    return text, tuple(quoted)


PAGES = (
    Page(path="/console/policies", handler=listed),
    Page(path="/console/policies/new", handler=new),
    Page(path="/console/policies/new", handler=save_new, methods=("POST",)),
    Page(path="/console/policies/check", handler=check, methods=("POST",)),
    Page(path="/console/policies/try", handler=try_call, methods=("POST",)),
    Page(path="/console/policies/{name}", handler=editor),
    Page(path="/console/policies/{name}", handler=save, methods=("POST",)),
    Page(path="/console/policies/{name}/versions", handler=versions),
    Page(path="/console/policies/{name}/versions", handler=restore, methods=("POST",)),
)
