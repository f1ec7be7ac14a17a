"""`POST .../generate`: the body as what is wanted, and the reply.

Pure. Source: gateway.md section 14.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from pydantic import ValidationError

from interlock.gateway.generation import Written, signatures
from interlock.policy.generation import INTERNAL_SIGNATURES, Wanted
from interlock.providers.wire.errors import InvalidRequestError
from interlock.providers.wire.exchange import FormatName
from interlock.surfaces.control.build import split_models
from interlock.surfaces.control.errors import InvalidBodyError, InvalidGenerationError
from interlock.surfaces.control.problems import problems, shown
from interlock.surfaces.control.schemas.generation import GenerateBody, GenerationType

__all__ = ["generate_body", "read_generate"]

_FORMATS: Final[Mapping[GenerationType, FormatName]] = {
    "oai_chat_completion": "chat",
    "openrouter_chat_completion": "chat",
    "sequrity_azure_chat_completion": "chat",
    "anthropic_messages": "messages",
    "oai_responses": "responses",
    "sequrity_azure_responses": "responses",
}


def read_generate(body: bytes) -> tuple[str, Wanted]:
    """The model to ask, and what for.

    Raises InvalidBodyError when the body is not JSON, InvalidGenerationError (422) with
    the path of the member when it is not a request of this route.
    """
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBodyError(f"Invalid JSON: {error}") from None
    if not isinstance(tree, dict):
        raise InvalidGenerationError("the body should be a JSON object")
    try:
        asked = GenerateBody.model_validate(tree)
    except ValidationError as error:
        found = problems(error)
        raise InvalidGenerationError(shown(found), param=found[0].path or None) from None
    if "," in asked.model:
        split_models(asked.model)
    try:
        tools = signatures(_FORMATS[asked.type], asked.tools)
    except InvalidRequestError as error:
        raise InvalidGenerationError(error.message, param=error.param) from None
    declared = {tool.name for tool in tools}
    internal = [name for name in asked.internal_tool_names if name not in declared]
    tools += [INTERNAL_SIGNATURES[name] for name in dict.fromkeys(internal)]
    return asked.model, Wanted(
        description=asked.description, tools=tuple(tools), retries=asked.n_retries
    )


def generate_body(written: Written) -> bytes:
    """The reply: exactly two keys, flat integers; clients refuse more."""
    usage = written.usage
    return msgspec.json.encode(
        {
            "policies": written.code,
            "usage": {
                "prompt_tokens": usage.input,
                "completion_tokens": usage.output,
                "total_tokens": usage.input + usage.output,
            },
        }
    )
