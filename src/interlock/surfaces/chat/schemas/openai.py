"""Bodies of the OpenAI-style endpoints. Source: conversations.md section 16."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["KNOWN", "CompletionIn", "CompletionOut", "KeptIn", "ModelOut", "ModelsOut"]

_UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
KNOWN = (
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "tool_choice",
    "response_format",
)
"""Parameters that are handed on; others are told to be ignored."""


class ChatMessage(BaseModel):
    """One message; further members are handed on."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None


class KeptIn(BaseModel):
    """Where question and answer are to be kept."""

    conversation_id: Annotated[str, Field(pattern=_UUID)]
    parent_message_id: Annotated[str, Field(pattern=_UUID)]


class Metadata(BaseModel):
    """Metadata; only one member has a meaning."""

    model_config = ConfigDict(extra="allow")

    rustygpt: KeptIn | None = None


class CompletionIn(BaseModel):
    """A question; unknown members are ignored with a warning."""

    model_config = ConfigDict(extra="allow")

    model: Annotated[str, Field(min_length=1, max_length=200)]
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=2000)]
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    metadata: Metadata | None = None
    tools: list[dict[str, Any]] | None = None
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    top_p: Annotated[float | None, Field(ge=0, le=1)] = None
    max_tokens: Annotated[int | None, Field(ge=1, le=10_000_000)] = None
    max_completion_tokens: Annotated[int | None, Field(ge=1, le=10_000_000)] = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: Annotated[float | None, Field(ge=-2, le=2)] = None
    frequency_penalty: Annotated[float | None, Field(ge=-2, le=2)] = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    n: Annotated[int | None, Field(ge=1, le=1)] = None


class ModelOut(BaseModel):
    """A model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    name: str | None = None
    model_type: str | None = None


class ModelsOut(BaseModel):
    """All models, under the published key and under the usual one."""

    object: Literal["list"]
    data: list[ModelOut]
    models: list[ModelOut]


class CompletionOut(BaseModel):
    """An answer."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, Any] | None = None
    warnings: list[str] | None = None
