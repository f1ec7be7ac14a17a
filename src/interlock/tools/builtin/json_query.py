"""JMESPath over a JSON document."""

from collections.abc import Mapping
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from interlock.tools.model import Example, Tool, ToolFailure, schema

__all__ = ["TOOL"]


def _run(arguments: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {"result": jmespath.search(arguments["query"], arguments["document"])}
    except JMESPathError as error:
        said = str(error).splitlines()[0][:200]
        raise ToolFailure("invalid_query", f"the query is not valid: {said}") from None
    except (ValueError, TypeError, RecursionError) as error:
        said = str(error)[:200]
        raise ToolFailure("query_failed", f"the query cannot be answered: {said}") from None


TOOL = Tool(
    name="json_query",
    title="JSON query",
    description="Pick and reshape parts of a JSON document with a JMESPath expression.",
    category="json",
    input_schema=schema(document={}, query={"type": "string", "minLength": 1, "maxLength": 500}),
    output_schema=schema(result={}),
    examples=(
        Example(
            arguments={
                "document": {"people": [{"name": "Ann", "age": 40}, {"name": "Bob", "age": 20}]},
                "query": "people[?age > `30`].name",
            },
            output={"result": ["Ann"]},
        ),
        Example(arguments={"document": {"a": 1}, "query": "b"}, output={"result": None}),
    ),
    run=_run,
)
