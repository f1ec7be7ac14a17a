"""The body of `generate`.

Strict: nothing coerced, nothing unknown. The members of `tools` are left to the wire
format they are written in. Source: gateway.md section 14.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from interlock.gateway.config import InternalTool

__all__ = ["GenerateBody", "GenerationType"]

GenerationType = Literal[
    "oai_chat_completion",
    "openrouter_chat_completion",
    "anthropic_messages",
    "sequrity_azure_chat_completion",
    "sequrity_azure_responses",
    "oai_responses",
]

_MAX_DESCRIPTION_CHARS = 100_000
_MAX_TOOLS = 1000


class GenerateBody(BaseModel):
    """A request for a policy."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())

    type: GenerationType
    """Format of `tools`; says nothing about who does the work."""
    model: str = Field(min_length=1, max_length=500)
    description: Annotated[str, StringConstraints(pattern=r"\S")] = Field(
        max_length=_MAX_DESCRIPTION_CHARS
    )
    policy_lang: Literal["sqrt"] = "sqrt"
    n_retries: int = Field(default=3, ge=0)
    tools: list[dict[str, Any]] = Field(default_factory=list, max_length=_MAX_TOOLS)
    internal_tool_names: list[InternalTool] = Field(default_factory=list)
