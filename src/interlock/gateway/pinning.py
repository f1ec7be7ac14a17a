"""Tool pinning: a definition that changes under a known name is an injection.

Source: gateway.md section 9.1.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from interlock.identity.model import KeyInfo
from interlock.providers.wire.exchange import OfferedTool

__all__ = ["NoPins", "ToolPins"]


class ToolPins(Protocol):
    """Knows the definitions a key may use."""

    async def check(self, key: KeyInfo, tools: Sequence[OfferedTool]) -> Mapping[str, str]:
        """Tools that may not be called, by name, with the reason."""
        ...


class NoPins:
    """Pins nothing."""

    async def check(self, key: KeyInfo, tools: Sequence[OfferedTool]) -> Mapping[str, str]:
        """Every tool may be called."""
        del key, tools
        return {}
