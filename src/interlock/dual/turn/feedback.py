"""What the planner is told about how its program went (6.2, `debug_info_level`; 10.1).

INVARIANT: nothing here quotes data. Of an error the class and the place; its message only when
nothing it derives from has a label or a source. Classes and functions are named only when the
planner's own text has the name.
"""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

from interlock.dual.errors import RunError
from interlock.dual.marks import NEUTRAL, Mark
from interlock.dual.ops.types import EXCEPTIONS
from interlock.dual.turn.config import DebugLevel
from interlock.dual.turn.visibility import shown_name
from interlock.kernel.roles import NOT_A_REQUEST

__all__ = ["called_lines", "error_lines", "is_clean", "report"]

_MESSAGE_CHARS: Final = 500
_SOURCE_CHARS: Final = 200
_FRAMES: Final = 20
_REDACTED: Final = "its message is not shown because it may hold data from outside"
_MODULE: Final = frozenset({"<module>", "<lambda>", "<listcomp>", "<genexpr>"})


def is_clean(mark: Mark) -> bool:
    """Whether what has this mark derives from the program's text alone."""
    return mark is NEUTRAL or (not mark.sources and mark.labels == NEUTRAL.labels)


def report(head: str, *sections: tuple[str, Sequence[str]]) -> str:
    """A message to the planner: what happened, then titled lines where there are any."""
    parts = [f"{NOT_A_REQUEST} {head}"]
    for title, lines in sections:
        if lines:
            parts.append("\n".join([title, *lines]))
    return "\n\n".join(parts)


def error_lines(
    error: RunError, *, level: DebugLevel, known: Collection[str], source: str
) -> list[str]:
    """How a program ended badly, as far as the planner may know."""
    if error.kind == "limit":
        return [_limit(error, level)]
    name = error.type_name
    if name not in EXCEPTIONS:
        name = shown_name(name, known, otherwise="Exception")
    if level == "minimal":
        return [name]
    if not is_clean(error.mark):
        said = f"{name} in line {error.line}; {_REDACTED}"
    elif error.message:
        said = f"{name} in line {error.line}: {error.message[:_MESSAGE_CHARS]}"
    else:
        said = f"{name} in line {error.line}"
    if level == "normal":
        return [said]
    return [said, *_traceback(error, known, source)]


def called_lines(tools: Sequence[str]) -> list[str]:
    """The tools a program has called, by name and number of calls."""
    counted = Counter(tools)
    return [f"- {tool}" + (f" ({n} times)" if n > 1 else "") for tool, n in counted.items()]


def _limit(error: RunError, level: DebugLevel) -> str:
    words = f"the program used up a limit: {error.type_name}"
    return words if level == "minimal" else f"{words}, in line {error.line}"


def _traceback(error: RunError, known: Collection[str], source: str) -> list[str]:
    lines = source.splitlines()
    shown = ["Traceback, outermost first:"]
    for function, line in list(error.frames)[-_FRAMES:]:
        name = function if function in _MODULE else shown_name(function, known, otherwise="<?>")
        text = lines[line - 1].strip()[:_SOURCE_CHARS] if 0 < line <= len(lines) else ""
        shown.append(f"  line {line} in {name}: {json.dumps(text, ensure_ascii=False)[1:-1]}")
    return shown
