"""A unified diff of two texts, line by line."""

import difflib
from collections.abc import Mapping
from typing import Any

from interlock.tools.model import Example, Tool, ToolFailure, schema

__all__ = ["TOOL"]

_LINES = 2000


def _run(arguments: Mapping[str, Any]) -> dict[str, Any]:
    before, after = (arguments[name].splitlines() for name in ("before", "after"))
    if max(len(before), len(after)) > _LINES:
        raise ToolFailure("too_large", f"texts are compared up to {_LINES} lines")
    lines = list(
        difflib.unified_diff(
            before,
            after,
            fromfile="before",
            tofile="after",
            n=arguments.get("context", 3),
            lineterm="",
        )
    )
    return {
        "equal": not lines,
        "added": sum(1 for one in lines[2:] if one.startswith("+")),
        "removed": sum(1 for one in lines[2:] if one.startswith("-")),
        "diff": "\n".join(lines),
    }


TOOL = Tool(
    name="text_diff",
    title="Text difference",
    description="Compare two texts line by line and give a unified diff.",
    category="text",
    input_schema=schema(
        ("before", "after"),
        before={"type": "string", "maxLength": 100_000},
        after={"type": "string", "maxLength": 100_000},
        context={"type": "integer", "minimum": 0, "maximum": 20},
    ),
    output_schema=schema(
        equal={"type": "boolean"},
        added={"type": "integer"},
        removed={"type": "integer"},
        diff={"type": "string"},
    ),
    examples=(
        Example(
            arguments={"before": "a\nb", "after": "a\nc"},
            output={
                "equal": False,
                "added": 1,
                "removed": 1,
                "diff": "--- before\n+++ after\n@@ -1,2 +1,2 @@\n a\n-b\n+c",
            },
        ),
        Example(
            arguments={"before": "a", "after": "a"},
            output={"equal": True, "added": 0, "removed": 0, "diff": ""},
        ),
    ),
    run=_run,
)
