"""What-if: a recorded call decided again with something changed. Never recorded."""

import json
from typing import Any

from starlette.responses import Response

from interlock.console.page import Call, Page
from interlock.console.routes.decisions import found
from interlock.console.telling import difference, rules_of
from interlock.gateway.policies.errors import PolicyNotFoundError
from interlock.gateway.policies.whatif import Change
from interlock.gateway.records import DecisionRecord
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.policy.model import PolicySource

__all__ = ["PAGES", "tags_of"]


async def form(call: Call) -> Response:
    """The form, filled with the call as it was."""
    record = await found(call, call.path("id"))
    return await _answer(call, record, {}, simulate=False)


async def simulate(call: Call) -> Response:
    """Decides it as the form says."""
    record = await found(call, call.path("id"))
    if call.field("do") == "test":
        return await _save_test(call, record)
    return await _answer(call, record, dict(call.form), simulate=True)


async def _answer(
    call: Call, record: DecisionRecord, given: dict[str, str], *, simulate: bool
) -> Response:
    whatif = call.services.whatif
    basis = await whatif.basis(record)
    original = basis.texts[-1] if basis.texts else None
    fields = {
        "args": given.get("args", json.dumps(record.args, indent=2, ensure_ascii=False)),
        "session_tags": given.get(
            "session_tags", ", ".join((record.labels.get("session") or {}).get("tags") or ())
        ),
        "policy": given.get("policy", original.text if original else ""),
    }
    names = list(record.args or ())
    meta = record.labels.get("args") or {}
    for name in names:
        held = ", ".join((meta.get(name) or {}).get("tags") or ())
        fields[f"tags.{name}"] = given.get(f"tags.{name}", held)
    problem, sim, said = "", None, ""
    if simulate:
        try:
            change = _change(record, fields, original, basis.texts)
            sim = await whatif.simulate(record, change)
            problem = sim.problem
            if sim.decision is not None:
                said = difference(record, sim.decision)
        except ValueError as error:
            problem = str(error)
    return call.render(
        "whatif_page.html",
        fragments={"whatif": "whatif.html"},
        status=400 if problem and sim is None else 200,
        record=record,
        fields=fields,
        names=names,
        original=original,
        missing=basis.missing,
        problem=problem,
        sim=sim,
        difference=said,
        rules=rules_of(record, sim.decision) if sim is not None and sim.decision else [],
        saved=None,
    )


def _change(
    record: DecisionRecord,
    fields: dict[str, str],
    original: PolicySource | None,
    texts: tuple[PolicySource, ...],
) -> Change:
    try:
        args: Any = json.loads(fields["args"])
    except (ValueError, RecursionError):
        args = None
    if not isinstance(args, dict):
        raise ValueError("the arguments must be one JSON object")
    tags = {
        name.removeprefix("tags."): tags_of(value)
        for name, value in fields.items()
        if name.startswith("tags.")
    }
    edited: tuple[PolicySource, ...] | None = None
    text = fields["policy"].replace("\r\n", "\n")
    if original is None and text.strip():
        edited = (PolicySource(name="edited", text=text),)
    elif original is not None and text != original.text:
        new = PolicySource(name=original.name, text=text, language=original.language)
        edited = (*texts[:-1], new)
    held = (record.labels.get("session") or {}).get("tags") or []
    session = tags_of(fields["session_tags"])
    meta = record.labels.get("args") or {}
    changed = {
        name: found
        for name, found in tags.items()
        if sorted(found) != sorted((meta.get(name) or {}).get("tags") or [])
    }
    return Change(
        args=args,
        tags=changed,
        session_tags=None if sorted(session) == sorted(held) else session,
        texts=edited,
    )


def tags_of(text: str) -> list[str]:
    """Labels as people type them: separated by commas."""
    return [one.strip() for one in text.split(",") if one.strip()]


async def _save_test(call: Call, record: DecisionRecord) -> Response:
    """Keeps the simulated case as a test of a stored policy."""
    call.need_admin("change policies")
    name = call.field("into")
    try:
        args = json.loads(call.form.get("args", "{}"))
        labels = {
            key.removeprefix("tags."): {"tags": tags_of(value)}
            for key, value in call.form.items()
            if key.startswith("tags.") and tags_of(value)
        }
        document = {
            "tests": [
                {
                    "name": call.field("title") or f"{record.tool} like {record.id}",
                    "session": {"tags": tags_of(call.field("session_tags"))},
                    "call": {"tool": record.tool, "args": args, "labels": labels},
                    "want": {"verdict": call.field("expect")},
                }
            ]
        }
        await call.services.policies.add_tests(
            name, [("what-if", json.dumps(document))], call.viewer.actor
        )
    except PolicyNotFoundError:
        raise
    except (ValueError, InterlockError) as error:
        text = error.message if isinstance(error, InterlockError) else "the arguments are not JSON"
        raise InvalidTestError(text) from None
    return call.redirect(f"/console/policies/{name}/tests")


class InvalidTestError(InterlockError):
    """A case that cannot be kept as a test."""

    kind = ErrorKind.INVALID
    code = "invalid_test"


PAGES = (
    Page(path="/console/decisions/{id}/what-if", handler=form),
    Page(path="/console/decisions/{id}/what-if", handler=simulate, methods=("POST",)),
)
