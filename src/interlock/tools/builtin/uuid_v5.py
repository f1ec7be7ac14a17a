"""The UUID of a name in a namespace (version 5)."""

import uuid
from collections.abc import Mapping
from typing import Any, Final

from interlock.tools.model import Example, Tool, ToolFailure, schema

__all__ = ["TOOL"]

_NAMESPACES: Final[Mapping[str, uuid.UUID]] = {
    "dns": uuid.NAMESPACE_DNS,
    "url": uuid.NAMESPACE_URL,
    "oid": uuid.NAMESPACE_OID,
    "x500": uuid.NAMESPACE_X500,
}


def _run(arguments: Mapping[str, Any]) -> dict[str, Any]:
    given = arguments["namespace"]
    space = _NAMESPACES.get(given.lower())
    if space is None:
        try:
            space = uuid.UUID(given)
        except ValueError:
            known = ", ".join(_NAMESPACES)
            raise ToolFailure("invalid_namespace", f"the namespace is {known} or a UUID") from None
    return {"uuid": str(uuid.uuid5(space, arguments["name"]))}


TOOL = Tool(
    name="uuid_v5",
    title="Name UUID",
    description="The UUID (version 5) of a name in a namespace: dns, url, oid, x500 or a UUID.",
    category="encoding",
    input_schema=schema(
        namespace={"type": "string", "minLength": 1, "maxLength": 64},
        name={"type": "string", "maxLength": 10_000},
    ),
    output_schema=schema(uuid={"type": "string"}),
    examples=(
        Example(
            arguments={"namespace": "dns", "name": "python.org"},
            output={"uuid": "886313e1-3b8a-5372-9b90-0c9aee199e5d"},
        ),
    ),
    run=_run,
)
