"""Puts softly denied calls to a person, waits, and takes the person's answer.

The one who asks and the one who answers may be in different processes: the store is
between them, looked at every half second while somebody waits.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Literal

from interlock.gateway.approvals.model import (
    Approval,
    ApprovalClosedError,
    ApprovalNotFoundError,
    InvalidApprovalError,
    OwnApprovalError,
    Question,
    Ruling,
)
from interlock.gateway.approvals.repository import ApprovalRepository
from interlock.identity.audit import AuditLog
from interlock.identity.model import Actor
from interlock.identity.repository import IdentityRepository
from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError
from interlock.kernel.ids import new_id
from interlock.storage.engine import Database

__all__ = ["Approvals"]

_log = logging.getLogger("interlock.gateway")
_POLL_S = 0.5


class Approvals:
    """Asks, waits, lists and answers."""

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        clock: Clock,
        *,
        wait_s: float = 120.0,
        own: bool = False,
    ) -> None:
        """`wait_s` is how long a call waits for a person, in seconds.

        `own`: whether people may answer what they asked for themselves.
        """
        self._own = own
        self._database = database
        self._audit = audit
        self._clock = clock
        self._wait_s = wait_s

    # the call that waits

    async def ask(self, question: Question) -> Ruling:
        """Puts a call to a person and waits for the answer.

        Anything that goes wrong, time-out included, is no approval. Cancelled when the
        client goes away: the question is closed.
        """
        approval_id = new_id("apr")
        try:
            await self._open(approval_id, question)
        except InterlockError as exc:
            _log.warning("nobody could be asked about a call: %s", exc.message)
            return Ruling(approval_id=approval_id, state="expired")
        try:
            async with asyncio.timeout(self._wait_s):
                ruling = await self._answer(approval_id)
        except TimeoutError:
            return await self._expired(approval_id, question)
        except BaseException:
            await asyncio.shield(self._expired(approval_id, question))
            raise
        if not question.keep_values:
            await self._forget(approval_id)
        return ruling

    async def _open(self, approval_id: str, question: Question) -> None:
        now = self._clock.now().timestamp()
        values = {
            "id": approval_id,
            "decision_id": question.decision_id,
            "account_id": question.account_id,
            "key_id": question.key_id,
            "session_id": question.session_id,
            "surface": question.surface,
            "asked_for": question.asked_for,
            "tool": question.tool[:300],
            "rule": question.rule,
            "arguments": question.arguments,
            "labels": question.labels,
            "lineage": question.lineage,
            "state": "pending",
            "asked_at": now,
            "expires_at": now + self._wait_s,
            "scope": "once",
        }
        async with self._database.transaction() as connection:
            await ApprovalRepository(connection).add(values)

    async def _answer(self, approval_id: str) -> Ruling:
        while True:
            await asyncio.sleep(_POLL_S)
            try:
                found = await self.find(approval_id)
            except ApprovalNotFoundError:
                return Ruling(approval_id=approval_id, state="expired")
            except InterlockError as exc:  # the store is away for a moment
                _log.warning("an approval could not be looked at: %s", exc.message)
                continue
            if found.state != "pending":
                return Ruling(
                    approval_id=approval_id,
                    state=found.state,
                    decided_by=found.decided_by or "",
                    reason=found.reason or "",
                    scope=found.scope,
                    arguments=found.edited_arguments,
                )

    async def _forget(self, approval_id: str) -> None:
        """Drops the values a person saw; the answer stays."""
        try:
            async with self._database.transaction() as connection:
                await ApprovalRepository(connection).forget(approval_id)
        except InterlockError as exc:
            _log.warning("the values of an approval could not be dropped: %s", exc.message)

    async def _expired(self, approval_id: str, question: Question) -> Ruling:
        values: dict[str, Any] = {"state": "expired"}
        if not question.keep_values:
            values |= {"arguments": None, "lineage": {}}
        try:
            async with self._database.transaction() as connection:
                await ApprovalRepository(connection).close(approval_id, values)
        except InterlockError as exc:
            _log.warning("an approval could not be closed: %s", exc.message)
        return Ruling(approval_id=approval_id, state="expired")

    # the person who answers

    async def find(self, approval_id: str) -> Approval:
        """One approval. Raises ApprovalNotFoundError."""
        async with self._database.read() as connection:
            found = await ApprovalRepository(connection).find(approval_id)
        if found is None:
            raise ApprovalNotFoundError(approval_id)
        return found

    async def about(self, decision_id: str, *, account_id: str) -> Approval | None:
        """The question that was put about a decision; None: nobody was asked."""
        async with self._database.read() as connection:
            return await ApprovalRepository(connection).about(decision_id, account_id=account_id)

    async def listed(
        self, *, state: str | None = None, account_id: str | None = None, limit: int = 50
    ) -> Sequence[Approval]:
        """Approvals, newest first."""
        now = self._clock.now().timestamp()
        async with self._database.transaction() as connection:
            repository = ApprovalRepository(connection)
            await repository.expire(before=now)
            return await repository.listed(state=state, account_id=account_id, limit=limit)

    async def decide(
        self,
        approval_id: str,
        actor: Actor,
        *,
        allow: bool,
        reason: str = "",
        scope: Literal["once", "session"] = "once",
        arguments: dict[str, Any] | None = None,
        answered_by_user_id: str | None = None,
    ) -> Approval:
        """Answers a pending approval.

        `arguments` take the place of the call's; they are decided again before it goes on.
        `answered_by_user_id`: the actor, where it is a known user; a user is the one who asked
        if the key is that user's, whatever the e-mail address is by now.
        Raises ApprovalNotFoundError, ApprovalClosedError, InvalidApprovalError, and
        OwnApprovalError when the actor is who the call was made for and allows it.
        """
        if not allow and (arguments is not None or scope != "once"):
            raise InvalidApprovalError("a denial has neither arguments nor a scope")
        now = self._clock.now().timestamp()
        async with self._database.transaction() as connection:
            repository = ApprovalRepository(connection)
            identities = IdentityRepository(connection)
            found = await repository.find(approval_id)
            if found is None:
                raise ApprovalNotFoundError(approval_id)
            if found.state == "pending" and found.expires_at < now:
                raise ApprovalClosedError(approval_id, "expired")
            if allow and not self._own:
                own = actor.name.casefold() == found.asked_for.casefold()
                if own or await _holds(identities, found.key_id, answered_by_user_id):
                    raise OwnApprovalError
            if arguments is not None and scope == "session":
                raise InvalidApprovalError("edited arguments can be allowed only once")
            closed = await repository.close(
                approval_id,
                {
                    "state": "allowed" if allow else "denied",
                    "decided_at": now,
                    "decided_by": actor.name[:320],
                    "reason": reason,
                    "scope": scope,
                    "edited_arguments": arguments,
                },
            )
            if not closed:
                raise ApprovalClosedError(approval_id, found.state)
            await self._audit.append(
                identities,
                actor,
                "approval.allow" if allow else "approval.deny",
                approval_id,
                account_id=found.account_id,
                after={
                    "tool": found.tool,
                    "scope": scope,
                    "edited": arguments is not None,
                    "reason": reason,
                },
            )
        return await self.find(approval_id)

    async def purge(self, *, before: float) -> None:
        """Removes approvals asked before `before` (epoch seconds)."""
        async with self._database.transaction() as connection:
            await ApprovalRepository(connection).purge(before=before)


async def _holds(identities: IdentityRepository, key_id: str, user_id: str | None) -> bool:
    """Whether a key is a user's."""
    if user_id is None:
        return False
    held = await identities.find_keys(key_id)
    return any(key.id == key_id and key.user_id == user_id for key in held)
