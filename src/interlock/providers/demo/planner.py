"""The demo model as planner: a program out of a request.

In this order: the fenced block ```` ```plan ```` of the newest user message (several
blocks: one per attempt), CALL lines anywhere in its context, one call of the tool
whose name and description share most words with the request, and otherwise the request
itself as the final value. The program comes back in a ```` ```python ```` fence.
"""

import json
import re
from collections.abc import Sequence

from interlock.providers.demo.lines import CallLine
from interlock.providers.demo.sources import words
from interlock.providers.demo.tools import Parameter, Tool

__all__ = ["identifier", "plan"]

_PLAN = re.compile(r"^[ \t]*```plan[ \t]*\r?\n(.*?)^[ \t]*```[ \t]*$", re.MULTILINE | re.DOTALL)
_QUOTED = re.compile(
    r"\"([^\"\n]{1,2000})\"|(?<!\w)'([^'\n]{1,2000})'(?!\w)|[“„]([^”“\n]{1,2000})[”“]"
)
_NUMBER = re.compile(r"(?<![\w.])-?\d{1,15}(?:\.\d{1,10})?(?![\w.])")


def plan(query: str, tools: Sequence[Tool], calls: Sequence[CallLine], *, attempt: int) -> str:
    """The answer of the planner. `attempt` counts its earlier answers to this query."""
    blocks = [match.group(1) for match in _PLAN.finditer(query)]
    if blocks:
        program = blocks[min(attempt, len(blocks) - 1)].rstrip("\n")
    elif calls:
        program = _calling(calls)
    else:
        program = _matching(query, tools)
    return f"```python\n{program}\n```"


def _calling(calls: Sequence[CallLine]) -> str:
    lines = []
    for line in calls:
        args = json.loads(line.arguments)
        given = ", ".join(f"{name}={value!r}" for name, value in args.items())
        lines.append(f"result = {identifier(line.tool)}({given})")
    return "\n".join([*lines, "final_return_value = result"])


def _matching(query: str, tools: Sequence[Tool]) -> str:
    wanted = words(query)
    scored = [
        (
            2 * len(wanted & words(tool.name.replace("_", " ")))
            + len(wanted & words(tool.description)),
            -index,
        )
        for index, tool in enumerate(tools)
    ]
    best = max(scored, default=(0, 0))
    if best[0] == 0:
        return f"final_return_value = {query.strip()!r}"
    tool = tools[-best[1]]
    given = ", ".join(f"{name}={value!r}" for name, value in _arguments(query, tool).items())
    return f"final_return_value = {identifier(tool.name)}({given})"


def _arguments(query: str, tool: Tool) -> dict[str, object]:
    """Quoted strings and numbers of the request in the order of the parameters."""
    quoted = ["".join(groups) for groups in _QUOTED.findall(query)]
    numbers = [float(one) for one in _NUMBER.findall(_QUOTED.sub("", query))]
    given: dict[str, object] = {}
    for parameter in tool.parameters:
        value = _value(parameter, quoted, numbers)
        if value is None and parameter.required:
            value = _default(parameter, query)
        if value is not None:
            given[parameter.name] = value
    return given


def _value(parameter: Parameter, quoted: list[str], numbers: list[float]) -> object | None:
    if parameter.kind in {"integer", "number"}:
        if not numbers:
            return None
        number = numbers.pop(0)
        return int(number) if parameter.kind == "integer" or number.is_integer() else number
    if parameter.kind == "array":
        taken = list(quoted)
        quoted.clear()
        return taken or None
    if parameter.kind == "string" and quoted:
        return quoted.pop(0)
    return None


def _default(parameter: Parameter, query: str) -> object:
    empty: dict[str, object] = {
        "integer": 0,
        "number": 0,
        "boolean": True,
        "array": [],
        "object": {},
    }
    return empty.get(parameter.kind, query.strip())


def identifier(name: str) -> str:
    """A tool name as a program writes it (gateway.md, section 10.4)."""
    return re.sub(r"\W", "_", name)
