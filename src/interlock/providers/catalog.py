"""The kinds of upstream there are, as data: where, which credential header, which paths.

A provider that speaks a known wire format is one row here and nothing else. Paths are
relative to the base URL, which ends in the API version (`.../v1`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from interlock.providers.model import Operation, Suffix
from interlock.providers.wire.exchange import FormatName

__all__ = ["BUILT_IN", "DEFAULTS", "KINDS", "KeyHeader", "Kind", "Row"]

Kind = Literal["openai", "openrouter", "anthropic", "azure", "llama", "compatible", "demo"]
KeyHeader = Literal["authorization", "x-api-key", "api-key"]

_CHAT: Mapping[FormatName, str] = MappingProxyType({"chat": "/chat/completions"})
_OPENAI: Mapping[FormatName, str] = MappingProxyType(
    {"chat": "/chat/completions", "responses": "/responses", "messages": "/messages"}
)
_MESSAGES: Mapping[FormatName, str] = MappingProxyType({"messages": "/messages"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of upstream."""

    adapter: str = "standard"
    """Name in `registry.ADAPTERS`: how paths are made and connections opened."""
    base_url: str | None = None
    """None: has to be configured."""
    formats: tuple[FormatName, ...] = ("chat",)
    """Spoken formats, preferred first; a provider's settings may name others."""
    generate: Mapping[FormatName, str] = field(default_factory=lambda: _OPENAI)
    """Path of a model call per format (also of those only some servers speak)."""
    other: Mapping[Operation, str] = field(
        default_factory=lambda: {"embeddings": "/embeddings", "models": "/models"}
    )
    key_header: KeyHeader = "authorization"
    key_required: bool = True
    key_variable: str | None = None
    """Environment variable this key is commonly kept in; read by the composition root."""
    headers: tuple[tuple[str, str], ...] = ()
    """Sent unless the caller sends the same header."""
    probe_model: str | None = None
    """A cheap model for `interlock providers test`."""


KINDS: Mapping[Kind, Row] = MappingProxyType(
    {
        "openai": Row(
            base_url="https://api.openai.com/v1",
            formats=("chat", "responses"),
            key_variable="OPENAI_API_KEY",
            probe_model="gpt-5-nano",
        ),
        "openrouter": Row(
            base_url="https://openrouter.ai/api/v1",
            key_variable="OPENROUTER_API_KEY",
            probe_model="openai/gpt-5-nano",
        ),
        "anthropic": Row(
            base_url="https://api.anthropic.com/v1",
            formats=("messages",),
            generate=_MESSAGES,
            other={"models": "/models", "count_tokens": "/messages/count_tokens"},
            key_header="x-api-key",
            key_variable="ANTHROPIC_API_KEY",
            headers=(("anthropic-version", "2023-06-01"),),
            probe_model="claude-haiku-4-5",
        ),
        "azure": Row(
            adapter="azure",
            formats=("chat", "responses"),
            key_header="api-key",
            key_variable="AZURE_OPENAI_API_KEY",
        ),
        "llama": Row(
            base_url="https://api.llama.com/compat/v1",
            generate=_CHAT,
            key_variable="LLAMA_API_KEY",
            probe_model="Llama-3.3-8B-Instruct",
        ),
        "compatible": Row(key_required=False),
        "demo": Row(
            adapter="demo",
            base_url="http://demo.invalid/v1",
            formats=("chat", "messages", "responses"),
            other={
                "embeddings": "/embeddings",
                "models": "/models",
                "count_tokens": "/messages/count_tokens",
            },
            key_required=False,
            probe_model="demo",
        ),
    }
)

BUILT_IN: Mapping[str, Kind] = MappingProxyType(
    {
        "openai": "openai",
        "openrouter": "openrouter",
        "anthropic": "anthropic",
        "sequrity_azure": "azure",
        "llama": "llama",
        "demo": "demo",
    }
)
"""Providers that exist without any setting (usable with the caller's own key at least)."""

DEFAULTS: Mapping[Suffix, str] = MappingProxyType(
    {
        "chat/completions": "openrouter",
        "messages": "anthropic",
        "responses": "openai",
        "generate": "openrouter",
    }
)
"""Provider of a path without provider segment. Source: gateway.md, section 1.2."""
