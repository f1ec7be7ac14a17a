"""What a request says, as a turn takes it: conversation, tools, variables, configuration.

Pure. Whatever an image or a provider's own tool would mean to a program is refused by
name, never left out silently. Files a user attaches become variables of the program: the
planner sees their names, never their text.

Source: gateway.md sections 6, 7.5, 8, 13.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from interlock.dual.turn import (
    AnswerFormat,
    Branching,
    Called,
    ContextVar,
    DualConfig,
    Fsm,
    PlannerPrompt,
    Prompts,
    ReviewPrompt,
    RolePrompt,
    ToolFilterPrompt,
    ToolSpec,
)
from interlock.dual.turn import Message as TurnMessage
from interlock.gateway.config import SessionConfig
from interlock.gateway.errors import NotApplicableError
from interlock.policy.model import Labels, LabelSet
from interlock.providers.wire.errors import InvalidRequestError
from interlock.providers.wire.exchange import Head
from interlock.providers.wire.model import (
    Audio,
    Document,
    Image,
    Message,
    Refusal,
    Request,
    Text,
    ToolCall,
    ToolDef,
    ToolResult,
)
from interlock.providers.wire.registry import FORMATS

__all__ = ["ATTACHMENT_TAG", "Intake", "dual_config", "read_request"]

ATTACHMENT_TAG = "__attachment"
"""On every value that comes from a file of the user's message."""

_FIELDS = ("producers", "consumers", "tags")


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """A request, read for dual-llm."""

    request: Request
    """The neutral form: sampling for the planner, and nothing else, is taken from it."""
    messages: tuple[TurnMessage, ...]
    tools: tuple[ToolSpec, ...] | None
    """None: the request sends no tools at all."""
    context_vars: Mapping[str, ContextVar] = field(default_factory=dict)
    program: str | None = None


def read_request(head: Head) -> Intake:
    """Reads a request body. Raises InvalidRequestError and NotApplicableError."""
    tree: dict[str, Any] = msgspec.json.decode(head.body) if head.tree is None else head.tree
    request = FORMATS[head.format].decode_request(tree)
    if request.n is not None and request.n > 1:
        raise InvalidRequestError("`n` must be 1 in dual-llm", param="n")
    if request.provider_tools:
        tool = request.provider_tools[0]
        raise NotApplicableError(
            f"tool type `{tool.type}` runs at the provider and cannot be part of a program",
            param="tools",
        )
    variables = dict(_context_vars(tree.get("context_vars")))
    messages = tuple(_message(one, variables) for one in request.messages)
    marked = _deterministic(tree.get("tools"))
    tools = tuple(_tool(one, marked) for one in request.tools)
    program = tree.get("user_provided_program")
    if program is not None and not isinstance(program, str):
        raise InvalidRequestError(
            "`user_provided_program` must be text", param="user_provided_program"
        )
    return Intake(
        request=request,
        messages=messages,
        tools=tools if "tools" in tree or "functions" in tree else None,
        context_vars=variables,
        program=program,
    )


def _message(message: Message, variables: dict[str, ContextVar]) -> TurnMessage:
    """One message as text; attached files go into `variables` and are named in the text."""
    texts: list[str] = []
    calls: list[Called] = []
    call_id = ""
    for part in message.parts:
        match part:
            case Text() | Refusal():
                texts.append(part.text)
            case Document():
                texts.append(_attach(part, variables))
            case ToolCall():
                calls.append(Called(id=part.id, tool=part.qualified, arguments=part.arguments))
            case ToolResult():
                call_id = part.call_id
                texts += [item.text for item in part.content if isinstance(item, Text)]
            case Image() | Audio():
                raise NotApplicableError(
                    f"{type(part).__name__.lower()} parts cannot be used in dual-llm: "
                    "a program works on text and data",
                    param="messages",
                )
            case _:
                continue
    return TurnMessage(
        role=message.role, text="\n".join(texts), calls=tuple(calls), call_id=call_id
    )


def _attach(part: Document, variables: dict[str, ContextVar]) -> str:
    """Puts a file into a variable; returns what the planner is told of it."""
    name = f"attachment_{sum(known.startswith('attachment_') for known in variables) + 1}"
    if part.text is not None:
        value: Any = part.text
        kind = "text"
    elif part.data is not None:
        value = {"media_type": part.media_type, "base64": part.data}
        kind = "an object with `media_type` and `base64`"
    else:
        raise NotApplicableError(
            "a file by reference cannot be used in dual-llm: send its content", param="messages"
        )
    variables[name] = ContextVar(
        value=value, labels=Labels(tags=LabelSet(frozenset((ATTACHMENT_TAG,))))
    )
    return f"[A file is attached: variable `{name}`, {kind}]"


def _context_vars(given: object) -> Mapping[str, ContextVar]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise InvalidRequestError("`context_vars` must be an object", param="context_vars")
    found = {}
    for name, item in given.items():
        at = f"context_vars.{name}"
        if not name.isidentifier() or name.startswith("__"):
            raise InvalidRequestError(f"`{at}` is not a variable name", param=at)
        if not isinstance(item, dict) or "value" not in item:
            raise InvalidRequestError(f"`{at}` must be an object with `value`", param=at)
        found[name] = ContextVar(value=item["value"], labels=_labels(item.get("meta"), at))
    return found


def _labels(meta: object, at: str) -> Labels:
    if meta is None:
        return Labels()
    if not isinstance(meta, dict) or set(meta) - set(_FIELDS):
        raise InvalidRequestError(
            f"`{at}.meta` must be an object of {', '.join(_FIELDS)}", param=f"{at}.meta"
        )
    for name, listed in meta.items():
        if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
            raise InvalidRequestError(
                f"`{at}.meta.{name}` must be a list of texts", param=f"{at}.meta.{name}"
            )
    return Labels.of(
        tags=meta.get("tags", ()),
        producers=meta.get("producers", ()),
        consumers=meta.get("consumers", ("*",)),
    )


def _deterministic(tools: object) -> frozenset[str]:
    """Names of tools whose definition says `x_deterministic`."""
    found = set()
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict):
            continue
        function = tool.get("function")
        definition = function if isinstance(function, dict) else tool
        if True in (tool.get("x_deterministic"), definition.get("x_deterministic")):
            found.add(str(definition.get("name")))
    return frozenset(found)


def _tool(tool: ToolDef, marked: frozenset[str]) -> ToolSpec:
    return ToolSpec(
        name=tool.qualified,
        description=tool.description or "",
        schema=tool.schema,
        output_schema=tool.output_schema,
        deterministic=tool.name in marked,
    )


def dual_config(config: SessionConfig) -> DualConfig:
    """The part of a session's config that a turn acts on."""
    dual = {name: value for name, value in config.fsm.dual.items() if value is not None}
    for name in ("force_to_cache", "enabled_internal_tools", "pllm_candidate_models"):
        if name in dual:
            dual[name] = tuple(dual[name])  # type: ignore[arg-type]
    fsm = msgspec.convert(
        {
            **dual,
            "min_num_tools_for_filtering": config.fsm.min_num_tools_for_filtering,
            "clear_session_meta": config.fsm.clear_session_meta,
        },
        Fsm,
    )
    if "max_tool_calls_per_step" in config.fsm.dual and "max_tool_calls_per_step" not in dual:
        fsm = replace(fsm, max_tool_calls_per_step=None)
    wanted = config.response_format
    policy = config.policy
    branching = policy.branching
    return DualConfig(
        fsm=fsm,
        prompt=_prompts(config.prompt),
        response_format=AnswerFormat(
            strip_response_content=wanted.strip_response_content,
            include_program=wanted.include_program,
            include_policy_check_history=wanted.include_policy_check_history,
            include_namespace_snapshot=wanted.include_namespace_snapshot,
        ),
        strict=policy.mode == "strict",
        branching=Branching(
            mode=branching.mode,
            producers=branching.producers,
            tags=branching.tags,
            consumers=branching.consumers,
        )
        if policy.mode == "custom"
        else None,
        non_executable=policy.presets.enable_non_executable_memory,
    )


_PROMPTS: Mapping[str, type[Any]] = {
    "pllm": PlannerPrompt,
    "rllm": ReviewPrompt,
    "grllm": RolePrompt,
    "qllm": RolePrompt,
    "tllm": ToolFilterPrompt,
    "error_detector_llm": RolePrompt,
}


def _prompts(given: Mapping[str, Any]) -> Prompts:
    made = {}
    for role, kind in _PROMPTS.items():
        set_here = {k: v for k, v in (given.get(role) or {}).items() if v is not None}
        made[role] = msgspec.convert(set_here, kind)
    return Prompts(**made)
