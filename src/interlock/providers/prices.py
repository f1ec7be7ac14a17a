"""List prices of well-known models, as they were known on `PRICES_AS_OF`.

A convenience, not a promise: providers change prices, contracts differ, and any entry
can be replaced in the settings (`providers.NAME.prices.MODEL`). A model that is not
here has no price, and its cost is recorded as unknown rather than as zero.
"""

import re
from collections.abc import Mapping
from datetime import date
from types import MappingProxyType

from interlock.providers.model import Price

__all__ = ["PRICES", "PRICES_AS_OF", "list_price", "well_known"]

PRICES_AS_OF = date(2025, 12, 1)


def _openai(input_: float, output: float, cached: float | None = None) -> Price:
    return Price(input=input_, output=output, cache_read=cached)


def _claude(input_: float, output: float) -> Price:
    """Anthropic: cache reads cost a tenth, five-minute cache writes a quarter more."""
    return Price(
        input=input_,
        output=output,
        cache_read=round(input_ * 0.1, 6),
        cache_write=round(input_ * 1.25, 6),
    )


_OPENAI = {
    "gpt-5.1": _openai(1.25, 10, 0.125),
    "gpt-5.1-codex": _openai(1.25, 10, 0.125),
    "gpt-5.1-codex-mini": _openai(0.25, 2, 0.025),
    "gpt-5": _openai(1.25, 10, 0.125),
    "gpt-5-codex": _openai(1.25, 10, 0.125),
    "gpt-5-mini": _openai(0.25, 2, 0.025),
    "gpt-5-nano": _openai(0.05, 0.4, 0.005),
    "gpt-5-pro": _openai(15, 120),
    "gpt-4.1": _openai(2, 8, 0.5),
    "gpt-4.1-mini": _openai(0.4, 1.6, 0.1),
    "gpt-4.1-nano": _openai(0.1, 0.4, 0.025),
    "gpt-4o": _openai(2.5, 10, 1.25),
    "gpt-4o-mini": _openai(0.15, 0.6, 0.075),
    "gpt-4-turbo": _openai(10, 30),
    "gpt-3.5-turbo": _openai(0.5, 1.5),
    "o1": _openai(15, 60, 7.5),
    "o3": _openai(2, 8, 0.5),
    "o3-mini": _openai(1.1, 4.4, 0.55),
    "o3-pro": _openai(20, 80),
    "o4-mini": _openai(1.1, 4.4, 0.275),
    "text-embedding-3-small": _openai(0.02, 0),
    "text-embedding-3-large": _openai(0.13, 0),
    "text-embedding-ada-002": _openai(0.1, 0),
}
_ANTHROPIC = {
    "claude-opus-4-5": _claude(5, 25),
    "claude-opus-4-1": _claude(15, 75),
    "claude-opus-4": _claude(15, 75),
    "claude-sonnet-4-5": _claude(3, 15),
    "claude-sonnet-4": _claude(3, 15),
    "claude-3-7-sonnet": _claude(3, 15),
    "claude-3-5-sonnet": _claude(3, 15),
    "claude-haiku-4-5": _claude(1, 5),
    "claude-3-5-haiku": _claude(0.8, 4),
    "claude-3-haiku": Price(input=0.25, output=1.25, cache_read=0.03, cache_write=0.3),
}
_GOOGLE = {
    "gemini-2.5-pro": _openai(1.25, 10, 0.125),
    "gemini-2.5-flash": _openai(0.3, 2.5, 0.03),
    "gemini-2.5-flash-lite": _openai(0.1, 0.4, 0.01),
}

PRICES: Mapping[str, Price] = MappingProxyType({**_OPENAI, **_ANTHROPIC, **_GOOGLE})

_VENDORS: Mapping[str, Mapping[str, Price]] = MappingProxyType(
    {"openai": _OPENAI, "anthropic": _ANTHROPIC, "google": _GOOGLE}
)
_KINDS: Mapping[str, Mapping[str, Price]] = MappingProxyType(
    {"openai": _OPENAI, "azure": _OPENAI, "anthropic": _ANTHROPIC}
)
_VERSION = re.compile(r"[-@](?:\d{4}-\d{2}-\d{2}|\d{8}|latest)\Z")


def list_price(kind: str, model: str) -> Price | None:
    """List price of `model` at a provider of `kind`; None when unknown.

    Dated versions (`-2025-04-14`, `-20250929`, `-latest`) cost what the model costs.
    """
    if kind == "demo":
        return Price()
    if kind == "openrouter":
        if model.endswith(":free"):
            return Price()
        vendor, _, name = model.partition("/")
        table = _VENDORS.get(vendor)
        if table is None or ":" in name:
            return None
        if vendor == "anthropic":
            name = name.replace(".", "-")
        return table.get(name) or table.get(_VERSION.sub("", name))
    table = _KINDS.get(kind)
    return None if table is None else table.get(model) or table.get(_VERSION.sub("", model))


def well_known(kind: str) -> tuple[str, ...]:
    """Models to list for a provider of `kind` that has no list of its own."""
    if kind == "demo":
        return ("demo",)
    if kind == "openrouter":
        return tuple(f"{vendor}/{name}" for vendor, table in _VENDORS.items() for name in table)
    return tuple(_KINDS.get(kind, ())) if kind != "azure" else ()
