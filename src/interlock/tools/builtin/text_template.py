"""Fills `{{ name }}` places of a text; nothing in it is evaluated."""

import json
import re
from collections.abc import Mapping
from typing import Any

from interlock.tools.model import Example, Tool, ToolFailure, schema

__all__ = ["TOOL"]

_PLACE = re.compile(r"\{\{\s*([A-Za-z_][\w.]{0,199})\s*\}\}")
_MOST = 200_000


def _run(arguments: Mapping[str, Any]) -> dict[str, Any]:
    values, missing = arguments["values"], arguments.get("missing", "error")
    template, pieces, end, size = arguments["template"], [], 0, 0
    used: list[str] = []
    for place in _PLACE.finditer(template):
        name = place.group(1)
        known, value = _value(values, name)
        if not known and missing == "error":
            raise ToolFailure("missing_value", f"`{name}` has no value")
        text = _text(value) if known else (place.group() if missing == "keep" else "")
        pieces += [template[end : place.start()], text]
        end = place.end()
        size += len(text)
        if size > _MOST:
            raise ToolFailure("too_large", f"the filled text is longer than {_MOST} characters")
        used.append(name)
    pieces.append(template[end:])
    return {"text": "".join(pieces), "used": list(dict.fromkeys(used))}


def _value(values: object, name: str) -> tuple[bool, object]:
    """Follows `a.b.0` through objects and lists."""
    found = values
    for part in name.split("."):
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            return False, None
    return True, found


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


TOOL = Tool(
    name="text_template",
    title="Text template",
    description="Fill the places {{ name }} or {{ a.b.0 }} of a text with values. Missing ones "
    "are an error, kept as they are, or empty.",
    category="text",
    input_schema=schema(
        ("template", "values"),
        template={"type": "string", "maxLength": 100_000},
        values={"type": "object"},
        missing={"enum": ["error", "keep", "empty"]},
    ),
    output_schema=schema(
        text={"type": "string"}, used={"type": "array", "items": {"type": "string"}}
    ),
    examples=(
        Example(
            arguments={
                "template": "Dear {{ who.name }}, you have {{count}} mails.",
                "values": {"who": {"name": "Ann"}, "count": 2},
            },
            output={"text": "Dear Ann, you have 2 mails.", "used": ["who.name", "count"]},
        ),
    ),
    run=_run,
)
