"""The audit log: who did what to which thing, what it was before and what it is now.

An entry is written in the transaction of the action itself: there is no action
without its entry and no entry without its action. Members whose names speak of
secrets are masked.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from interlock.identity.model import Actor, AuditEntry
from interlock.identity.repository import IdentityRepository
from interlock.kernel.clock import Clock
from interlock.storage.engine import Database
from interlock.telemetry.redaction import mask_members

__all__ = ["AuditLog"]


class AuditLog:
    """Appends and lists audit entries."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def append(
        self,
        repository: IdentityRepository,
        actor: Actor,
        action: str,
        target: str,
        *,
        account_id: str | None = None,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Adds an entry to the caller's transaction."""
        await repository.add_audit(
            {
                "at": self._clock.now().timestamp(),
                "actor": actor.name[:320],
                "surface": actor.surface,
                "action": action,
                "target": target[:200],
                "account_id": account_id,
                "before": _document(before),
                "after": _document(after),
            }
        )

    async def entries(
        self,
        *,
        limit: int = 100,
        before_id: int | None = None,
        actor: str | None = None,
        action: str | None = None,
        target: str | None = None,
        since: float | None = None,
        account_id: str | None = None,
    ) -> list[AuditEntry]:
        """Entries, newest first; `before_id` continues a list."""
        async with self._database.read() as connection:
            return await IdentityRepository(connection).audit(
                limit=limit,
                before_id=before_id,
                actor=actor,
                action=action,
                target=target,
                since=since,
                account_id=account_id,
            )


def _document(value: Mapping[str, Any] | None) -> str | None:
    if value is None:
        return None
    return msgspec.json.encode(mask_members(dict(value)), enc_hook=str).decode()
