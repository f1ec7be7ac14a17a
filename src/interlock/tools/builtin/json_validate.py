"""Checks a JSON document against a JSON Schema (2020-12)."""

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from jsonschema.exceptions import SchemaError
from referencing.exceptions import Unresolvable

from interlock.tools.model import Example, Tool, ToolFailure, schema
from interlock.tools.schemas import PatternError, validator

__all__ = ["TOOL"]

_MOST = 100


def _run(arguments: Mapping[str, Any]) -> dict[str, Any]:
    text = arguments.get("text")
    if ("document" in arguments) == (text is not None):
        raise ToolFailure("invalid_arguments", "give either `document` or `text`")
    if text is None:
        document = arguments["document"]
    else:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            found = {"path": "", "message": f"the text is not JSON: {error}"[:300]}
            return {"valid": False, "errors": [found], "truncated": False}
    errors = _errors(document, arguments.get("schema", {}))
    truncated = len(errors) > _MOST
    shown = sorted(errors[:_MOST], key=lambda one: (one["path"], one["message"]))
    return {"valid": not shown, "errors": shown, "truncated": truncated}


def _errors(document: object, wanted: object) -> list[dict[str, str]]:
    """What is wrong with a document, one more than is shown at most. Raises ToolFailure."""
    try:
        found = islice(validator(wanted).iter_errors(document), _MOST + 1)
        return [{"path": _pointer(one.path), "message": one.message[:300]} for one in found]
    except SchemaError as error:
        why = f"the schema is not valid: {error.message[:200]}"
    except PatternError as error:
        why = str(error)
    except Unresolvable:
        why = "a `$ref` leads nowhere; other documents are not fetched"
    except RecursionError:
        raise ToolFailure("too_complex", "schema or document is nested too deeply") from None
    raise ToolFailure("invalid_schema", why)


def _pointer(path: Iterable[object]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(one).replace("~", "~0").replace("/", "~1") for one in path)


TOOL = Tool(
    name="json_validate",
    title="JSON validation",
    description="Check a JSON document, or a text that should be one, against a JSON Schema "
    "(2020-12). References to other documents are not followed.",
    category="json",
    input_schema=schema(
        (),
        document={},
        text={"type": "string", "maxLength": 200_000},
        schema={"type": ["object", "boolean"]},
    )
    | {"required": []},
    output_schema=schema(
        valid={"type": "boolean"},
        errors={
            "type": "array",
            "items": schema(path={"type": "string"}, message={"type": "string"}),
        },
        truncated={"type": "boolean"},
    ),
    examples=(
        Example(
            arguments={
                "document": {"age": -1},
                "schema": {"properties": {"age": {"minimum": 0}}, "required": ["name"]},
            },
            output={
                "valid": False,
                "errors": [
                    {"path": "", "message": "'name' is a required property"},
                    {"path": "/age", "message": "-1 is less than the minimum of 0"},
                ],
                "truncated": False,
            },
        ),
        Example(
            arguments={"text": '{"a": 1}'},
            output={"valid": True, "errors": [], "truncated": False},
        ),
    ),
    run=_run,
)
