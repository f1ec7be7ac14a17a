"""Checking a text that is not saved, and deciding one call under it: recorded nowhere."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from interlock.console.page import Call, Page
from interlock.console.routes.policy_texts import findings_of
from interlock.console.routes.whatif import tags_of
from interlock.console.vocabulary import outline_of
from interlock.gateway.policies.model import Language
from interlock.policy.compiled import compile_policy
from interlock.policy.errors import PolicyError
from interlock.policy.model import (
    Caller,
    Labels,
    LabelSet,
    PolicySource,
    Presets,
    Session,
    ToolCall,
)

__all__ = ["FRAGMENTS", "PAGES"]

_TEXT_CHARS = 1_000_000
FRAGMENTS = {"check": "policy_check.html", "tried": "policy_try.html"}


async def check(call: Call) -> Response:
    """Findings about a text that is not saved."""
    text = call.form.get("text", "")[:_TEXT_CHARS].replace("\r\n", "\n")
    language: Language = "cedar" if call.field("language") == "cedar" else "sqrt"
    found = await asyncio.to_thread(findings_of, text, language, call.field("name") or "draft")
    return call.render(
        "policy_check_page.html", fragments=FRAGMENTS, findings=found, outline=outline_of(text)
    )


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
        held = _labels_of(call.field("arg_tags"), args)
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
        "policy_try_page.html", fragments=FRAGMENTS, problem=problem, decision=decision
    )


def _labels_of(text: str, args: Mapping[str, object]) -> dict[str, Labels]:
    """Labels of arguments as people type them: `untrusted` for all, `body=untrusted pii` for one.

    Several are separated by commas; one that is named has its own alone.
    """
    every = [one for one in tags_of(text) if "=" not in one]
    found = dict.fromkeys(args, every) if every else {}
    for one in tags_of(text):
        name, equals, tags = one.partition("=")
        if equals:
            found[name.strip()] = tags.split()
    return {name: Labels(tags=LabelSet.from_wire(tags)) for name, tags in found.items()}


PAGES = (
    Page(path="/console/policies/check", handler=check, methods=("POST",)),
    Page(path="/console/policies/try", handler=try_call, methods=("POST",)),
)
