"""What people do with pinned tool definitions: look, compare, approve. Audited.

A running server that denies a changed tool sees the approval within seconds.

Source: gateway.md section 9.1.
"""

import difflib
from typing import ClassVar

import msgspec

from interlock.gateway.repository import ToolPin, ToolPinRepository
from interlock.identity.audit import AuditLog
from interlock.identity.model import Actor
from interlock.identity.repository import IdentityRepository
from interlock.kernel.clock import Clock
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.storage.engine import Database

__all__ = [
    "NothingToApproveError",
    "PinReview",
    "ToolPin",
    "ToolPinNotFoundError",
    "difference",
]


class ToolPinNotFoundError(InterlockError):
    """Raised for a tool that was never offered there."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "tool_pin_not_found"

    def __init__(self, scope: str, tool: str) -> None:
        super().__init__(
            f"no definition of tool `{tool}` is known for `{scope}`",
            hint="`interlock tools list` shows them; keys with `tool_pinning` off keep none",
        )


class NothingToApproveError(InterlockError):
    """Raised when the definition to approve does not wait for approval (any more)."""

    kind: ClassVar[ErrorKind] = ErrorKind.CONFLICT
    code: ClassVar[str] = "nothing_to_approve"


class PinReview:
    """Pinned definitions as administrators see them."""

    def __init__(self, database: Database, audit: AuditLog, clock: Clock) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._pins = ToolPinRepository(database)

    async def pins(self, scope: str | None = None, *, pending: bool = False) -> list[ToolPin]:
        """Pins of a key or MCP server (None: all), with `pending` only changed ones."""
        return await self._pins.pins(scope, pending=pending)

    async def pin(self, scope: str, tool: str) -> ToolPin:
        """One pin.

        Raises:
            ToolPinNotFoundError: none.
        """
        async with self._database.read() as connection:
            found = await self._pins.pin(connection, scope, tool)
        if found is None:
            raise ToolPinNotFoundError(scope, tool)
        return found

    async def approve(
        self, scope: str, tool: str, actor: Actor, *, digest: str | None = None
    ) -> ToolPin:
        """Approves the definition that waits; returns the pin as it was, to show what changed.

        `digest`, or the beginning of one, names the definition that was looked at: another
        one that came meanwhile is not approved.

        Raises:
            ToolPinNotFoundError: none.
            NothingToApproveError: nothing waits, or another definition does.
        """
        now = self._clock.now().timestamp()
        async with self._database.transaction() as connection:
            pin = await self._pins.pin(connection, scope, tool)
            if pin is None:
                raise ToolPinNotFoundError(scope, tool)
            if pin.pending_digest is None:
                raise NothingToApproveError(
                    f"the definition of `{tool}` has not changed since it was approved"
                )
            if digest is not None and not pin.pending_digest.startswith(digest.lower()):
                raise NothingToApproveError(
                    f"the definition of `{tool}` that waits is `{pin.pending_digest[:12]}`",
                    hint="look at it with `interlock tools show` before you approve it",
                )
            if not await self._pins.approve(
                connection,
                scope=scope,
                tool=tool,
                digest=pin.pending_digest,
                by=actor.name,
                at=now,
            ):
                raise NothingToApproveError(f"the definition of `{tool}` is just changing again")
            await self._audit.append(
                IdentityRepository(connection),
                actor,
                "tool.approve",
                f"{scope}/{tool}",
                before={"digest": pin.digest, "definition": _tree(pin.definition)},
                after={
                    "digest": pin.pending_digest,
                    "definition": _tree(pin.pending_definition or "null"),
                },
            )
        return pin


def difference(pin: ToolPin) -> list[str]:
    """Lines of a unified diff from the approved to the waiting definition; none: nothing waits."""
    if pin.pending_definition is None:
        return []
    return list(
        difflib.unified_diff(
            _lines(pin.definition),
            _lines(pin.pending_definition),
            "approved",
            "waiting",
            lineterm="",
        )
    )


def _lines(definition: str) -> list[str]:
    return msgspec.json.format(definition, indent=2).splitlines()


def _tree(definition: str) -> object:
    return msgspec.json.decode(definition)
