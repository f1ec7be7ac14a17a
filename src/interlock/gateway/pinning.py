"""Tool pinning: a definition that changes under a known name is an injection.

The first definition a key offers under a name is pinned. When another one comes, `warn`
records it and `deny` makes every call of the tool a denial until somebody approves the
new definition (`interlock tools approve`).

Source: gateway.md section 9.1.
"""

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from interlock.gateway.repository import ToolPin, ToolPinRepository
from interlock.identity.model import KeyInfo
from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError
from interlock.providers.wire.exchange import OfferedTool
from interlock.storage.engine import in_time

__all__ = ["StoredPins", "ToolPins", "definition_of", "digest_of"]

_log = logging.getLogger("interlock.gateway")
_SCOPES = 2048
_DIGESTS = 8192
_REREAD_S = 2.0
_READ_S = 5.0


class ToolPins(Protocol):
    """Knows the definitions a key may use."""

    async def check(self, key: KeyInfo, tools: Sequence[OfferedTool]) -> Mapping[str, str]:
        """Tools that may not be called, by name, with the reason."""
        ...


def definition_of(tool: OfferedTool) -> str:
    """The definition as canonical JSON: what is hashed, and what a person approves."""
    tree = {
        "name": tool.name,
        "kind": tool.kind,
        "description": tool.description,
        "schema": tool.schema,
    }
    return msgspec.json.encode(tree, order="deterministic").decode()


def digest_of(definition: str) -> str:
    """SHA-256 of a canonical definition, hexadecimal."""
    return hashlib.sha256(definition.encode()).hexdigest()


class StoredPins:
    """Pins in the store, read once per key and kept."""

    def __init__(self, repository: ToolPinRepository, clock: Clock) -> None:
        self._repository = repository
        self._clock = clock
        self._scopes: OrderedDict[str, dict[str, ToolPin]] = OrderedDict()
        self._read_at: dict[str, float] = {}
        self._known: OrderedDict[int, tuple[OfferedTool, str, str]] = OrderedDict()

    async def check(self, key: KeyInfo, tools: Sequence[OfferedTool]) -> Mapping[str, str]:
        """See `ToolPins`. Costs nothing for keys that do not pin.

        Raises:
            StoreUnavailable: the key denies changed tools and the pins cannot be read.
        """
        if key.tool_pinning == "off" or not tools:
            return {}
        try:
            return await self._check(key, tools)
        except InterlockError:
            if key.tool_pinning == "deny":
                raise
            _log.warning("tool definitions were not compared: the store is not reachable")
            return {}

    async def _check(self, key: KeyInfo, tools: Sequence[OfferedTool]) -> Mapping[str, str]:
        pins = await self._pins(key.id)
        changed = [tool for tool in tools if not self._matches(pins, tool)]
        if not changed:
            return {}
        if any(tool.name in pins for tool in changed):
            pins = await self._pins(key.id, fresh=True)
            changed = [tool for tool in tools if not self._matches(pins, tool)]
        now = self._clock.now().timestamp()
        updates: dict[str, ToolPin] = {}
        hidden: dict[str, str] = {}
        for tool in changed:
            definition, digest = self._digest(tool)
            pin = updates.get(tool.name) or pins.get(tool.name)
            if pin is None:
                updates[tool.name] = ToolPin(
                    scope=key.id,
                    tool=tool.name,
                    digest=digest,
                    definition=definition,
                    first_seen_at=now,
                    last_seen_at=now,
                )
                continue
            if pin.digest == digest:
                continue
            if pin.pending_digest != digest:
                updates[tool.name] = msgspec.structs.replace(
                    pin,
                    pending_digest=digest,
                    pending_definition=definition,
                    pending_since=now,
                    last_seen_at=now,
                )
                _log.warning("tool %r of key %s changed its definition", tool.name, key.id)
            if key.tool_pinning == "deny":
                hidden[tool.name] = (
                    "the definition of this tool has changed since it was approved; "
                    f"see `interlock tools approve {key.id} {tool.name}`"
                )
        async with in_time(_READ_S):
            await self._repository.save(list(updates.values()))
        pins.update(updates)
        return hidden

    def _matches(self, pins: Mapping[str, ToolPin], tool: OfferedTool) -> bool:
        pin = pins.get(tool.name)
        return pin is not None and pin.digest == self._digest(tool)[1]

    def _digest(self, tool: OfferedTool) -> tuple[str, str]:
        """Definition and digest; kept per object, because peeked tools are shared."""
        found = self._known.get(id(tool))
        if found is None:
            definition = definition_of(tool)
            found = (tool, definition, digest_of(definition))
            self._known[id(tool)] = found
            while len(self._known) > _DIGESTS:
                self._known.popitem(last=False)
        return found[1], found[2]

    async def _pins(self, scope: str, *, fresh: bool = False) -> dict[str, ToolPin]:
        found = self._scopes.get(scope)
        now = self._clock.monotonic()
        if found is not None and not (fresh and now - self._read_at[scope] > _REREAD_S):
            return found
        async with in_time(_READ_S):
            found = {pin.tool: pin for pin in await self._repository.pins(scope)}
        self._scopes[scope] = found
        self._read_at[scope] = now
        while len(self._scopes) > _SCOPES:
            old, _ = self._scopes.popitem(last=False)
            self._read_at.pop(old, None)
        return found
