"""From a program's request to the result it goes on with.

The order of a result's intake is that of 10.5: transform, error detection, JSON, unwrap,
initial labels, combine, `__non_executable`, then the policy's rules (the driver's, by `Label`).

Source: gateway.md 10.5, 10.6.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import re2

from interlock.dual.turn import attempts, internal, results
from interlock.dual.turn.engine import Calls, Engine
from interlock.dual.turn.model import CacheEntry
from interlock.dual.turn.state import (
    CallState,
    FinalState,
    Pending,
    State,
    ValueState,
    pack,
    unpack,
)
from interlock.policy.labels import initial_labels
from interlock.policy.model import DEFAULT_LABELS, Labels, ToolCall

__all__ = [
    "STOPS_KEPT",
    "Numbers",
    "concluded",
    "deliver",
    "forget",
    "receive",
    "request",
    "restricted",
    "start",
]

Numbers = Callable[[], int]
"""Gives the turn's next number."""

_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
_CACHE_KEPT: Final = 256
STOPS_KEPT: Final = 16
"""Suspensions whose answer can still be repeated word by word."""


def request(state: State, event: Calls, number: Numbers) -> bool:
    """Takes up the calls a program wants; False when they are more than a step may make."""
    step = state.steps[-1]
    limit = state.input.config.fsm.max_tool_calls_per_step
    if limit is not None and step.calls + len(event.requests) > limit:
        return False
    step.calls += len(event.requests)
    for one in event.requests:
        state.calls.append(
            CallState(
                no=number(),
                request=one.no,
                name=one.sig.name,
                tool=one.sig.tool,
                args=pack(dict(one.args)),
                labels=dict(one.labels),
                control=one.control,
                internal=one.sig.internal,
                step=step.number,
                line=one.line,
                derived=one.derived,
                planned=sorted(one.planned),
                lineage=pack(_with_calls(state, one.lineage)),
            )
        )
    return True


def start(state: State, engine: Engine, call: CallState, number: Numbers) -> bool:
    """What an allowed call does first; True when it ends the turn."""
    if not call.internal:
        if _from_cache(state, engine, call):
            return False
        call.stage = "out"
        state.steps[-1].called.append(call.tool)
        return False
    args = unpack(call.args)
    call.initial = internal.tagged(_inputs(call), call.tool)
    match call.tool:
        case "complete_turn":
            call.stage = "done"
            _complete(state, engine, call, args.get("value"))
            return True
        case "set_policy":
            call.stage = "restrict"
            call.initial = _inputs(call)
            return False
        case "parse_with_ai":
            question = internal.parse_question(args, state.input.config.prompt.qllm, no=number())
        case _:
            question = internal.hypothesis_question(
                args, state.input.config.prompt.qllm, no=number()
            )
    if isinstance(question, str):
        _failed(call, question)
    else:
        call.stage = "ask"
        question.call = call.no
        state.questions.append(question)
    return False


def receive(state: State, call: CallState, text: str, *, is_error: bool, number: Numbers) -> None:
    """A client's answer to a call."""
    config = state.input.config
    call.answered = True
    if config.prompt.pllm.query_include_tool_results:
        call.kept = text
    received = results.detection_text(text, config.fsm)
    call.text = text
    if is_error or results.is_error_text(received, config.fsm):
        _take(state, call, failed=True)
    elif config.fsm.detect_tool_errors == "llm":
        shown = results.shown_to_detector(received, config.fsm)
        question = internal.error_question(shown, config.prompt.error_detector_llm, no=number())
        question.call = call.no
        call.stage = "detect"
        state.questions.append(question)
    else:
        _take(state, call, failed=False)


def concluded(state: State, call: CallState, question: Pending, number: Numbers) -> None:
    """A model has answered for a call: the quarantined one, or the error detector."""
    if call.stage == "detect":
        _take(state, call, failed=internal.is_error_answer(question.answer))
        return
    found = internal.extracted(call.tool, question)
    if not found.problem:
        call.value = pack(found.value)
        call.stage = "label"
    elif call.tries < internal.REPAIRS:
        call.tries += 1
        state.questions.append(internal.repair_question(question, found.problem, no=number()))
    else:
        _failed(call, f"{call.tool}: no valid answer: {found.problem}")


def restricted(call: CallState, error: str | None) -> None:
    """Policy code of the program was added, or not."""
    if error is not None:
        _failed(call, f"set_policy: {error}")
    else:
        call.value = pack(None)
        call.stage = "label"


def deliver(state: State, engine: Engine, call: CallState, labels: Labels) -> None:
    """Gives the program its result, with these labels."""
    call.stage = "done"
    wrap = state.input.config.fsm.wrap_tool_result and not call.internal
    if call.failed and wrap:
        engine.give(call.request, call.problem, labels, wrap="Err")
    elif call.failed:
        name = "ValueError" if call.internal else "ToolError"
        engine.refuse(call.request, name, call.problem, labels)
    else:
        value = None if call.value is None else unpack(call.value)
        engine.give(call.request, value, labels, wrap="Ok" if wrap else None)
        if not call.internal and _is_cached(state, call.tool):
            _remember(state, call, labels)
    call.text = call.value = None
    call.problem = ""


def _with_calls(state: State, lineage: Mapping[str, Any]) -> dict[str, Any]:
    """A lineage whose results say which call of the turn they are of (`call`)."""
    latest = {one.request: one.no for one in state.calls}
    nodes = [dict(node) for node in lineage.get("nodes", ())]
    for node in nodes:
        kind, _, number = str(node.get("id")).partition(":")
        if kind == "result" and number.isdigit() and int(number) in latest:
            node["call"] = latest[int(number)]
    return {**lineage, "nodes": nodes} if nodes else {}


def _inputs(call: CallState) -> Labels:
    """The merge of what a call was made from and decided by."""
    made = ToolCall(tool=call.tool, args=unpack(call.args), labels=call.labels)
    return initial_labels(made).merge(call.control)


def _take(state: State, call: CallState, *, failed: bool) -> None:
    """A result becomes a value with its initial labels, to be labelled by the policy."""
    config = state.input.config
    received = results.detection_text(call.text or "", config.fsm)
    spec = next((tool for tool in state.input.tools if tool.name == call.tool), None)
    strict = config.fsm.strict_tool_result_parsing
    parse = not strict or (spec is not None and spec.output_schema is not None)
    value = received.text if failed else results.decoded(received, parse=parse)
    value, call.initial = results.labelled(
        value, _inputs(call), non_executable=config.non_executable
    )
    if failed:
        _failed(call, received.text)
    else:
        call.value = pack(value)
        call.stage = "label"


def _failed(call: CallState, problem: str) -> None:
    call.failed = True
    call.problem = problem
    call.value = None
    call.stage = "label"


def _complete(state: State, engine: Engine, call: CallState, value: object) -> None:
    """`complete_turn`: this value is the answer."""
    labels = call.labels.get("value", DEFAULT_LABELS).merge(call.control)
    state.steps[-1].outcome = "done"
    state.ending = FinalState(
        value=ValueState(value=pack(value), labels=labels, value_type=type(value).__name__),
        derived=call.derived,
        namespace=attempts.snapshot(state, engine),
    )


def forget(state: State) -> None:
    """Drops what no repeated request can ask for any more: a stored turn stays small."""
    kept = {no for stop in state.stops[-STOPS_KEPT:] for no in stop.calls}
    shown = state.input.config.prompt.pllm.query_include_tool_args
    for call in state.calls:
        if call.stage == "done" and call.no not in kept:
            call.lineage, call.labels = "{}", {}
            call.args = call.args if shown else "{}"


# Cache


def _is_cached(state: State, tool: str) -> bool:
    """Whether equal calls of a tool need not be made twice."""
    spec = next((one for one in state.input.tools if one.name == tool), None)
    if spec is not None and spec.deterministic:
        return True
    patterns = state.input.config.fsm.force_to_cache
    return any(re2.compile(one, _OPTIONS).fullmatch(tool) is not None for one in patterns)


def _cache_key(call: CallState) -> str:
    args = json.dumps(unpack(call.args), sort_keys=True, separators=(",", ":"))
    return f"{call.tool}:{args}"


def _remember(state: State, call: CallState, labels: Labels) -> None:
    if call.value is not None and len(state.cache) < _CACHE_KEPT:
        state.cache[_cache_key(call)] = CacheEntry(data=call.value, labels=labels)


def _from_cache(state: State, engine: Engine, call: CallState) -> bool:
    """Answers a call from the cache; the labels are the result's then and the arguments' now."""
    if not _is_cached(state, call.tool):
        return False
    entry = state.cache.get(_cache_key(call))
    if entry is None:
        return False
    wrap = state.input.config.fsm.wrap_tool_result
    labels = entry.labels.merge(_inputs(call))
    engine.give(call.request, unpack(entry.data), labels, wrap="Ok" if wrap else None)
    call.stage = "done"
    return True
