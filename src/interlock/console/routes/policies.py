"""Policies: list, editor, check, try a call, versions. Source: console.md, 5.4."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from interlock.console.colouring import colour_table
from interlock.console.errors import NothingHereError
from interlock.console.page import Call, Page
from interlock.console.proposing import proposed
from interlock.console.routes.decisions import found as found_decision
from interlock.console.routes.policy_texts import diff_of, findings_of
from interlock.console.routes.policy_trying import FRAGMENTS
from interlock.console.starters import STARTERS
from interlock.console.vocabulary import outline_of, vocabulary_of
from interlock.gateway.history import DecisionFilter
from interlock.gateway.policies.errors import PolicyNotFoundError
from interlock.gateway.policies.model import Language, Policy, Version
from interlock.gateway.records import DecisionRecord
from interlock.kernel.errors import InterlockError

__all__ = ["PAGES", "Opened", "opened"]

_DAY_S = 86_400.0
_READ = 200
"""Recorded calls whose words the editor offers."""


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
        text, quoted = proposed(record)
    return call.render(
        "policy_new.html",
        fragments=FRAGMENTS,
        name=name,
        text=text,
        starters=STARTERS,
        starter=starter,
        quoted=quoted,
        problem=None,
        language="sqrt",
        table=colour_table(),
        words=vocabulary_of(await _recent(call)),
        outline=outline_of(text),
        findings=findings_of(text, "sqrt", "draft") if text else (),
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
            fragments=FRAGMENTS,
            name=name,
            text=call.form.get("text", ""),
            starters=STARTERS,
            starter=None,
            quoted=(),
            problem=error,
            language="sqrt",
            table=colour_table(),
            words=vocabulary_of(await _recent(call)),
            outline=(),
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
    recent = await _recent(call)
    result = await services.policies.run_tests(found.policy.name, version.n)
    return call.render(
        "policy_editor.html",
        status=status,
        fragments=FRAGMENTS,
        found=found,
        text=text,
        version=version,
        other=other,
        base=base or str(found.versions[0].n),
        fired=fired,
        tools=[name for name, _ in Counter(record.tool for record in recent).most_common()],
        tests=result[2],
        table=colour_table(),
        words=vocabulary_of(recent),
        outline=outline_of(text),
        tab="editor",
        findings=findings_of(text, found.policy.language, found.policy.name),
        diff=diff_of(other.text, text) if other else [],
    )


async def _recent(call: Call) -> Sequence[DecisionRecord]:
    """The newest recorded calls: what they were is what the editor offers."""
    found = await call.services.history.decisions(
        DecisionFilter(account_id=call.viewer.scope), limit=_READ
    )
    return found.decisions


PAGES = (
    Page(path="/console/policies", handler=listed),
    Page(path="/console/policies/new", handler=new),
    Page(path="/console/policies/new", handler=save_new, methods=("POST",)),
    Page(path="/console/policies/{name}", handler=editor),
    Page(path="/console/policies/{name}", handler=save, methods=("POST",)),
)
