"""Says where policies hold: the server, a surface, an account, a key. Audited."""

from collections.abc import Callable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.gateway.policies.checks import uncompilable
from interlock.gateway.policies.errors import (
    ActivationRefusedError,
    BindingNotFoundError,
    InvalidPolicyError,
)
from interlock.gateway.policies.model import SERVER, Binding, TargetKind
from interlock.gateway.policies.repository import PolicyRepository
from interlock.gateway.policies.service import LOCK, find_policy, log_change
from interlock.identity.audit import AuditLog
from interlock.identity.errors import AccountNotFoundError, KeyNotFoundError
from interlock.identity.model import Actor
from interlock.identity.repository import IdentityRepository
from interlock.kernel.clock import Clock
from interlock.kernel.ids import new_id
from interlock.policy.model import PolicySource
from interlock.storage.engine import Database

__all__ = ["Bindings"]

_SURFACES = ("control", "platform", "chat", "workbench")


class Bindings:
    """Binds policies and takes bindings back."""

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        clock: Clock,
        *,
        files: Callable[[], Sequence[PolicySource]],
    ) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._files = files
        """Policies of the settings' files: every program has them too."""

    async def bind(
        self,
        name: str,
        kind: TargetKind,
        target: str,
        actor: Actor,
        *,
        position: int = 0,
        account_id: str = SERVER,
    ) -> Binding:
        """Makes a policy hold for the server, a surface, an account or a key.

        Binding it to the same target again only moves it to another `position`; small
        positions come first. `target` of a key may be its id, label or prefix.

        Raises:
            ActivationRefusedError: it does not compile together with what holds there.
            InvalidPolicyError: no such surface, or a target outside the policy's account.
            PolicyNotFoundError, AccountNotFoundError, KeyNotFoundError
        """
        if not -1_000_000 <= position <= 1_000_000:
            raise InvalidPolicyError("the order is between -1000000 and 1000000", param="order")
        async with self._database.transaction() as connection:
            await self._database.exclusive(connection, LOCK)
            repository = PolicyRepository(connection)
            policy = await find_policy(repository, account_id, name)
            target, owner = await self._target(connection, kind, target)
            if policy.account_id not in {SERVER, owner}:
                raise InvalidPolicyError(
                    f"policy `{name}` belongs to an account and holds only for it and its keys"
                )
            old = _find(await repository.bindings(policy.id), kind, target)
            binding = Binding(
                id=new_id("bnd") if old is None else old.id,
                policy_id=policy.id,
                kind=kind,
                target=target,
                account_id=owner,
                position=position,
                created_at=self._clock.now().timestamp() if old is None else old.created_at,
                created_by=actor.name if old is None else old.created_by,
            )
            if binding == old:
                return old
            await repository.put_binding(binding)
            problems = uncompilable(await repository.policy_set(), self._files())
            if problems:
                raise ActivationRefusedError(f"binding `{name}` to {binding.where}", problems)
            await log_change(
                self._audit,
                connection,
                actor,
                "policy.bind",
                policy,
                before=None if old is None else {"to": old.where, "order": old.position},
                after={"to": binding.where, "order": position},
            )
        return binding

    async def unbind(
        self,
        name: str,
        kind: TargetKind,
        target: str,
        actor: Actor,
        *,
        account_id: str = SERVER,
    ) -> Binding:
        """Ends a binding.

        Raises:
            PolicyNotFoundError, BindingNotFoundError
        """
        async with self._database.transaction() as connection:
            await self._database.exclusive(connection, LOCK)
            repository = PolicyRepository(connection)
            policy = await find_policy(repository, account_id, name)
            bindings = await repository.bindings(policy.id)
            old = _find(bindings, kind, target)
            if old is None and kind == "key":
                found = await IdentityRepository(connection).find_keys(target)
                old = _find(bindings, kind, found[0].id) if len(found) == 1 else None
            if old is None:
                where = "the server" if kind == "server" else f"{kind} {target}"
                raise BindingNotFoundError(name, where)
            await repository.remove_binding(old.id)
            problems = uncompilable(await repository.policy_set(), self._files())
            if problems:
                raise ActivationRefusedError(f"unbinding `{name}` from {old.where}", problems)
            await log_change(
                self._audit,
                connection,
                actor,
                "policy.unbind",
                policy,
                before={"to": old.where, "order": old.position},
            )
        return old

    async def _target(
        self, connection: AsyncConnection, kind: TargetKind, target: str
    ) -> tuple[str, str]:
        """The target's id and its account."""
        if kind == "server":
            return "", SERVER
        if kind == "surface":
            if target not in _SURFACES:
                raise InvalidPolicyError(
                    f"`{target[:100]}` is not a surface",
                    hint="choose from " + ", ".join(_SURFACES),
                    param="surface",
                )
            return target, SERVER
        if kind == "account":
            if not await PolicyRepository(connection).has_account(target):
                raise AccountNotFoundError(target)
            return target, target
        found = await IdentityRepository(connection).find_keys(target)
        exact = [key for key in found if key.id == target] or found
        if not exact:
            raise KeyNotFoundError(target)
        if len(exact) > 1:
            raise InvalidPolicyError(
                f"{len(exact)} keys are called `{target}`",
                hint="name it by its id: " + ", ".join(key.id for key in exact[:5]),
                param="key",
            )
        return exact[0].id, exact[0].account_id


def _find(bindings: Sequence[Binding], kind: TargetKind, target: str) -> Binding | None:
    return next((item for item in bindings if (item.kind, item.target) == (kind, target)), None)
