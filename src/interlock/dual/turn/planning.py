"""What the trusted models are asked, and how their answers read.

Planner, tool filter, selector, reviewer and the reviewer's translator see the request, tools,
programs and redacted reports; never a value, unless `context_var_visibility` says so.

Source: gateway.md 10.1, 10.2, 6.1, 6.2.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from interlock.dual.prompts import system_prompt
from interlock.dual.turn.config import DualConfig
from interlock.dual.turn.feedback import called_lines, report
from interlock.dual.turn.model import PlannerMessage
from interlock.dual.turn.signatures import Bound, internal_listing, listing
from interlock.dual.turn.state import Pending, State, StepState, pack

__all__ = [
    "MAX_PLANS",
    "Reply",
    "advice_lines",
    "filter_question",
    "json_object",
    "planner_history",
    "planner_questions",
    "read_choice",
    "read_reply",
    "read_review",
    "read_tools",
    "reduce_question",
    "review_question",
    "selector_question",
]

MAX_PLANS: Final = 16
"""More candidates than this are not asked for, whatever the config says."""

_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*(\w*)")
_PROGRAM_LANGUAGES: Final = frozenset({"python", "py", "python3"})
_REPLY_CHARS: Final = 4_000
_ADVICE_CHARS: Final = 4_000
_HISTORY_MESSAGES: Final = 60
_MAX_POINTS: Final = 5
_PROBLEMS: Final[Mapping[str, str]] = {
    "part_missing": "a part of the request is not done",
    "wrong_tool": "the wrong tool is used",
    "wrong_argument": "an argument is wrong",
    "wrong_order": "the order is wrong",
    "wrong_result": "the final value is not what was asked for",
    "too_much": "something is done that was not asked for",
    "other": "something else is wrong",
}


# Planner


def planner_questions(
    state: State, tools: Sequence[Bound], numbers: Sequence[int], notes: Sequence[str]
) -> list[Pending]:
    """The questions to the planner, one per candidate plan.

    `notes` are lines about variables that already exist. Models take turns; a model that is
    asked again gets another seed.
    """
    config = state.input.config
    models = config.fsm.pllm_candidate_models or (state.input.planner_model,)
    system = _planner_system(config, tools)
    messages = [(one.role, one.text) for one in _conversation(state, notes)]
    questions = []
    for index, no in enumerate(numbers):
        questions.append(
            Pending(
                no=no,
                role="pllm",
                system=system,
                messages=list(messages),
                model=models[index % len(models)],
                again=index // len(models),
            )
        )
    return questions


def planner_history(state: State) -> tuple[PlannerMessage, ...]:
    """The planner's conversation to keep for the session's next turn; empty in single-step."""
    fsm = state.input.config.fsm
    if not fsm.enable_multistep_planning or state.input.user_program is not None:
        return ()
    kept = [PlannerMessage(role="user", text=state.request)]
    for step in state.steps:
        failed = step.outcome == "failed"
        if failed and fsm.prune_failed_steps:
            continue
        text = step.bare_report if fsm.pllm_context_pruning else step.report
        kept.append(PlannerMessage(role="assistant", text=step.reply, failed=failed))
        if text:
            kept.append(PlannerMessage(role="user", text=text, failed=failed))
    return (*state.input.planner_history, *kept)[-_HISTORY_MESSAGES:]


def _planner_system(config: DualConfig, tools: Sequence[Bound]) -> str:
    fsm, prompt = config.fsm, config.prompt.pllm
    internal = fsm.enabled_internal_tools
    calls = fsm.max_tool_calls_per_step
    return system_prompt(
        "pllm",
        flavor=prompt.flavor,
        version=prompt.version,
        values={
            "clarify": "yes" if prompt.clarify_ambiguous_queries else "",
            "multistep": "yes" if fsm.enable_multistep_planning else "",
            "complete_turn": "yes" if "complete_turn" in internal else "",
            "parse": "yes" if "parse_with_ai" in internal else "",
            "wrap": "yes" if fsm.wrap_tool_result else "",
            "max_steps": str(fsm.max_pllm_steps),
            "max_calls": "any number of" if calls is None else str(calls),
            "tools": listing(tools),
            "internal": internal_listing(internal),
        },
    )


def _conversation(state: State, notes: Sequence[str]) -> list[PlannerMessage]:
    """The planner's messages: what came before, the request, and the attempts at it."""
    fsm = state.input.config.fsm
    shown, forgotten = _remembered(state)
    said = list(state.input.planner_history)
    context = report(
        "This is not the request yet: the request is the next message.",
        ("Instructions and conversation so far:", state.around.splitlines()),
        ("Variables that exist already:", notes),
        (
            "Tools that were called for this request already; what they did is done:",
            called_lines([tool for step in forgotten for tool in step.called]),
        ),
    )
    if "\n" in context:
        said.append(PlannerMessage(role="user", text=context))
    said.append(PlannerMessage(role="user", text=state.request))
    for index, step in enumerate(shown):
        newest = index == len(shown) - 1
        text = step.report if newest or not fsm.pllm_context_pruning else step.bare_report
        said.append(PlannerMessage(role="assistant", text=step.reply))
        said.append(PlannerMessage(role="user", text=text))
    return said


def _remembered(state: State) -> tuple[list[StepState], list[StepState]]:
    """The attempts the planner still sees, and the forgotten ones."""
    fsm = state.input.config.fsm
    every = fsm.clear_history_every_n_attempts
    if every is None or fsm.enable_multistep_planning:
        return state.steps, []
    gone = len(state.steps) // every * every
    return state.steps[gone:], state.steps[:gone]


@dataclass(frozen=True, slots=True)
class Reply:
    """A planner's answer."""

    program: str | None
    """Of its last fenced block; None without one."""
    text: str
    """All of it."""

    @property
    def shown(self) -> str:
        """As the planner's own history shows it."""
        if self.program is None:
            return self.text[:_REPLY_CHARS]
        return f"```python\n{self.program}\n```"


def read_reply(text: str) -> Reply:
    """The program in an answer: its last block marked as Python, else its last block."""
    blocks = _blocks(text)
    marked = [body for language, body in blocks if language in _PROGRAM_LANGUAGES]
    plain = [body for language, body in blocks if not language]
    found = (marked or plain)[-1:]
    return Reply(found[0].rstrip("\n") if found else None, text.strip())


# Selection, filter


def selector_question(state: State, no: int, programs: Sequence[str]) -> Pending:
    """Which of several programs to run."""
    listed = "\n\n".join(
        f"Program {index}:\n```python\n{program}\n```" for index, program in enumerate(programs)
    )
    return Pending(
        no=no,
        role="selector",
        system=system_prompt("selector", flavor="universal", version="latest"),
        messages=[("user", f"{_request(state)}\n\n{listed}")],
        schema=pack(
            _object({"choice": {"type": "integer", "minimum": 0, "maximum": len(programs) - 1}})
        ),
    )


def read_choice(answer: str | None, count: int) -> int:
    """The chosen index; the first when the answer is no valid one."""
    choice = _member(answer, "choice")
    known = isinstance(choice, int) and not isinstance(choice, bool) and 0 <= choice < count
    return choice if known else 0


def filter_question(state: State, no: int, tools: Sequence[Bound]) -> Pending:
    """Which tools could help."""
    prompt = state.input.config.prompt.tllm
    names = [tool.spec.name for tool in tools]
    lines = []
    for tool in tools:
        line = f"- {tool.spec.name}"
        if prompt.add_tool_description and tool.spec.description:
            line += f": {' '.join(tool.spec.description.split())[:500]}"
        if prompt.add_tool_input_schema:
            line += f"\n  arguments: {json.dumps(dict(tool.spec.schema))[:2000]}"
        lines.append(line)
    listed = "\n".join(lines)
    return Pending(
        no=no,
        role="tllm",
        system=system_prompt("tllm", flavor=prompt.flavor, version=prompt.version),
        messages=[("user", f"{_request(state)}\n\nTools:\n{listed}")],
        schema=pack(
            _object({"tools": {"type": "array", "items": {"type": "string", "enum": names}}})
        ),
    )


def read_tools(answer: str | None, names: Sequence[str]) -> list[str] | None:
    """The chosen tools; None when the answer is not valid or chooses none: then all stay."""
    chosen = _member(answer, "tools")
    if not isinstance(chosen, list):
        return None
    wanted = {name for name in chosen if isinstance(name, str)}
    return [name for name in names if name in wanted] or None


# Review


def review_question(state: State, no: int, variables: Sequence[str], kind: str) -> Pending:
    """Whether what was done is what was asked for; the value itself is not shown."""
    prompt = state.input.config.prompt.rllm
    done = [step for step in state.steps if step.program is not None]
    last = done[-1]
    failed = [
        line
        for step in done
        for line in [f"Attempt {step.number}:", *step.review_lines]
        if step.review_lines
    ]
    parts = [_request(state)]
    if state.input.config.fsm.enable_multistep_planning:
        parts += [_listed(step) for step in done if step.outcome != "failed"]
    else:
        parts.append(_listed(last))
    parts.append(f"The program ended normally. The final value is of type {kind}.")
    if variables:
        parts.append("\n".join(["Variables:", *variables]))
    if failed:
        parts.append("\n".join(["Earlier programs failed:", *failed]))
    return Pending(
        no=no,
        role="rllm",
        system=system_prompt("rllm", flavor=prompt.flavor, version=prompt.version),
        messages=[("user", "\n\n".join(parts))],
        schema=pack(_object({"accept": {"type": "boolean"}, "advice": {"type": "string"}})),
    )


def read_review(answer: str | None) -> tuple[bool, str]:
    """Whether it is accepted, and the advice. No valid answer accepts: it guards no boundary."""
    accepted = _member(answer, "accept")
    advice = _member(answer, "advice")
    return accepted is not False, advice[:_ADVICE_CHARS] if isinstance(advice, str) else ""


def reduce_question(state: State, no: int, advice: str, tools: Sequence[Bound]) -> Pending:
    """The advice in fixed terms."""
    prompt = state.input.config.prompt.grllm
    program = state.steps[-1].program or ""
    names = [tool.name for tool in tools]
    point = _object(
        {
            "problem": {"type": "string", "enum": list(_PROBLEMS)},
            "tool": {"type": "string", "enum": [*names, "none"]},
            "line": {"type": "integer", "minimum": 0, "maximum": len(program.splitlines())},
        }
    )
    points = {"type": "array", "items": point, "maxItems": _MAX_POINTS}
    return Pending(
        no=no,
        role="grllm",
        system=system_prompt("grllm", flavor=prompt.flavor, version=prompt.version),
        messages=[("user", f"The program:\n{program}\n\nThe remark:\n{advice}")],
        schema=pack(_object({"points": points})),
    )


def advice_lines(answer: str | None, tools: Sequence[Bound], lines: int) -> list[str]:
    """The reduced advice in words of ours: kinds, tool names and line numbers, nothing else."""
    points = _member(answer, "points")
    known = {tool.name for tool in tools}
    said = []
    for point in points[:_MAX_POINTS] if isinstance(points, list) else ():
        if not isinstance(point, dict) or point.get("problem") not in _PROBLEMS:
            continue
        text = f"- {_PROBLEMS[point['problem']]}"
        if point.get("tool") in known:
            text += f", tool {point['tool']}"
        line = point.get("line")
        if isinstance(line, int) and not isinstance(line, bool) and 0 < line <= lines:
            text += f", line {line}"
        said.append(text)
    return said


def _listed(step: StepState) -> str:
    return f"Program {step.number}:\n```python\n{step.program}\n```"


def _request(state: State) -> str:
    request = f"Request:\n{state.request}"
    if not state.around:
        return request
    return f"Instructions and conversation so far:\n{state.around}\n\n{request}"


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _blocks(text: str) -> list[tuple[str, str]]:
    """Fenced blocks and their languages; one that is not closed goes to the end.

    Line by line, so that no answer takes more than linear time.
    """
    found: list[tuple[str, str]] = []
    fence, language, lines = "", "", list[str]()
    for line in text.replace("\r\n", "\n").split("\n"):
        mark = _FENCE.match(line)
        if not fence:
            if mark is not None:
                fence, language, lines = mark[1], mark[2].lower(), []
        elif mark is not None and line.strip() == fence:
            found.append((language, "\n".join(lines)))
            fence = ""
        else:
            lines.append(line)
    if fence:
        found.append((language, "\n".join(lines)))
    return found


def _member(answer: str | None, name: str) -> Any:  # noqa: ANN401 - a model's JSON
    """A member of the JSON object in an answer; None when there is none."""
    return (json_object(answer or "") or {}).get(name)


def json_object(text: str) -> dict[str, Any] | None:
    """The JSON object an answer consists of, fences around it allowed."""
    for candidate in (text, *(body for _, body in reversed(_blocks(text)))):
        try:
            found = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    return None
