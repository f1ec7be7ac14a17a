"""Base64, both ways, both alphabets."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from interlock.tools.model import Example, Tool, ToolFailure, schema

__all__ = ["TOOL"]


def _run(arguments: Mapping[str, Any]) -> dict[str, Any]:
    text, url = arguments["text"], arguments.get("url_safe", False)
    if arguments["operation"] == "encode":
        data = text.encode("utf-8", "surrogatepass")
        coded = base64.urlsafe_b64encode(data) if url else base64.b64encode(data)
        return {"text": coded.decode()}
    given = "".join(text.split())
    given += "=" * (-len(given) % 4)
    try:
        data = base64.b64decode(given, altchars=b"-_" if url else None, validate=True)
    except (binascii.Error, ValueError):
        raise ToolFailure("invalid_base64", "the text is not base64") from None
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        raise ToolFailure("not_text", "the decoded bytes are not UTF-8 text") from None


TOOL = Tool(
    name="base64_codec",
    title="Base64",
    description="Encode a text (UTF-8) as base64 or decode one, in the standard or the URL-safe "
    "alphabet.",
    category="encoding",
    input_schema=schema(
        ("operation", "text"),
        operation={"enum": ["encode", "decode"]},
        text={"type": "string", "maxLength": 150_000},
        url_safe={"type": "boolean"},
    ),
    output_schema=schema(text={"type": "string"}),
    examples=(
        Example(arguments={"operation": "encode", "text": "a?>"}, output={"text": "YT8+"}),
        Example(
            arguments={"operation": "decode", "text": "YT8-", "url_safe": True},
            output={"text": "a?>"},
        ),
    ),
    run=_run,
)
