"""All queries on identity tables. Each takes the connection of the caller's transaction."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import Row, Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.identity.model import Account, AuditEntry, KeyLimits, KeyView, Role, User
from interlock.identity.tables import (
    accounts,
    audit_log,
    gateway_keys,
    group_members,
    groups,
    memberships,
    server_meta,
    users,
)

__all__ = ["IdentityRepository", "KeyRow"]


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key with everything its `KeyInfo` is made of; credentials still sealed."""

    id: str
    token_hash: bytes
    account_id: str
    user_id: str
    user_email: str
    user_disabled: bool
    server_admin: bool
    label: str
    groups: frozenset[str]
    roles: frozenset[str]
    scopes: list[str]
    base_config: dict[str, Any] | None
    provider_credentials: dict[str, str]
    limits: KeyLimits
    tool_pinning: str
    call_ids: str
    retention: str
    policy_override: bool
    approval: str
    expires_at: float | None
    revoked_at: float | None


class IdentityRepository:
    """Accounts, users, keys and the audit log, on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    # --- people ------------------------------------------------------------------------

    async def user_count(self) -> int:
        """How many users there are."""
        return int((await self._run(select(func.count()).select_from(users))).scalar_one())

    async def user(self, wanted: str) -> User | None:
        """A user by id or e-mail address."""
        query = select(users).where((users.c.id == wanted) | (users.c.email == wanted.lower()))
        row = (await self._run(query)).one_or_none()
        return None if row is None else _user(row)

    async def first_admin(self) -> User | None:
        """The administrator who has been there longest."""
        query = (
            select(users)
            .where(users.c.server_admin.is_(True), users.c.disabled_at.is_(None))
            .order_by(users.c.created_at, users.c.id)
            .limit(1)
        )
        row = (await self._run(query)).one_or_none()
        return None if row is None else _user(row)

    async def password_hash(self, user_id: str) -> str | None:
        """The stored hash of a user's password."""
        query = select(users.c.password_hash).where(users.c.id == user_id)
        found: str | None = (await self._run(query)).scalar_one_or_none()
        return found

    async def add_user(self, user: User, *, password_hash: str | None) -> None:
        """Stores a new user."""
        await self._run(
            users.insert().values(
                id=user.id,
                email=user.email,
                name=user.name,
                server_admin=user.server_admin,
                created_at=user.created_at,
                disabled_at=user.disabled_at,
                password_hash=password_hash,
            )
        )

    async def set_password_hash(self, user_id: str, password_hash: str) -> None:
        """Replaces a user's password."""
        await self._run(
            update(users).where(users.c.id == user_id).values(password_hash=password_hash)
        )

    async def add_account(self, account: Account) -> None:
        """Stores a new account."""
        await self._run(
            accounts.insert().values(
                id=account.id, kind=account.kind, name=account.name, created_at=account.created_at
            )
        )

    async def add_membership(self, account_id: str, user_id: str, role: Role, *, at: float) -> None:
        """Makes a user a member of an account."""
        await self._run(
            memberships.insert().values(
                account_id=account_id, user_id=user_id, role=role, created_at=at
            )
        )

    async def role(self, account_id: str, user_id: str) -> Role | None:
        """A user's role in an account; None: not a member."""
        query = select(memberships.c.role).where(
            memberships.c.account_id == account_id, memberships.c.user_id == user_id
        )
        found: Role | None = (await self._run(query)).scalar_one_or_none()
        return found

    async def accounts_of(self, user_id: str) -> list[tuple[Account, Role]]:
        """Accounts a user is a member of, personal first, then by name."""
        query = (
            select(accounts, memberships.c.role)
            .join(memberships, memberships.c.account_id == accounts.c.id)
            .where(memberships.c.user_id == user_id)
            .order_by(accounts.c.kind.desc(), accounts.c.name, accounts.c.id)
        )
        rows = (await self._run(query)).all()
        return [
            (Account(id=r.id, kind=r.kind, name=r.name, created_at=r.created_at), r.role)
            for r in rows
        ]

    async def add_group(self, group_id: str, account_id: str, name: str) -> None:
        """Stores a new group of an account."""
        await self._run(groups.insert().values(id=group_id, account_id=account_id, name=name))

    async def add_group_member(self, group_id: str, user_id: str) -> None:
        """Puts a user into a group."""
        await self._run(group_members.insert().values(group_id=group_id, user_id=user_id))

    # --- keys --------------------------------------------------------------------------

    async def key_rows(self, hashes: Iterable[bytes]) -> list[KeyRow]:
        """Keys by token hash, revoked and expired ones included; three queries at most."""
        wanted = [value.hex() for value in hashes]
        query = (
            select(
                gateway_keys,
                users.c.email,
                users.c.disabled_at,
                users.c.server_admin,
            )
            .join(users, users.c.id == gateway_keys.c.user_id)
            .where(gateway_keys.c.token_hash.in_(wanted))
        )
        rows = (await self._run(query)).all()
        if not rows:
            return []
        people = {row.user_id for row in rows}
        roles = await self._pairs(
            select(memberships.c.account_id, memberships.c.user_id, memberships.c.role).where(
                memberships.c.user_id.in_(people)
            )
        )
        members = await self._pairs(
            select(groups.c.account_id, group_members.c.user_id, groups.c.name)
            .join(groups, groups.c.id == group_members.c.group_id)
            .where(group_members.c.user_id.in_(people))
        )
        return [_key_row(row, roles, members) for row in rows]

    async def key_views(self, *, account_id: str | None = None) -> list[KeyView]:
        """All keys of an account (None: of the server), newest first."""
        query = _views().order_by(gateway_keys.c.created_at.desc(), gateway_keys.c.id)
        if account_id is not None:
            query = query.where(gateway_keys.c.account_id == account_id)
        return [_key_view(row) for row in (await self._run(query)).all()]

    async def find_keys(self, wanted: str) -> list[KeyView]:
        """Keys by id, label or shown prefix."""
        query = _views().where(
            (gateway_keys.c.id == wanted)
            | (gateway_keys.c.label == wanted)
            | (gateway_keys.c.prefix == wanted)
        )
        return [_key_view(row) for row in (await self._run(query)).all()]

    async def add_key(self, values: Mapping[str, Any]) -> None:
        """Stores a new key; `values` are columns."""
        await self._run(gateway_keys.insert().values(**values))

    async def change_key(self, key_id: str, **values: Any) -> None:  # noqa: ANN401 - columns
        """Changes columns of a key."""
        await self._run(update(gateway_keys).where(gateway_keys.c.id == key_id).values(**values))

    async def bootstrap_key(self) -> tuple[str, str, float | None] | None:
        """Id, token hash and revocation of the key that came from the environment."""
        query = select(
            gateway_keys.c.id, gateway_keys.c.token_hash, gateway_keys.c.revoked_at
        ).where(gateway_keys.c.bootstrap.is_(True))
        row = (await self._run(query)).one_or_none()
        return None if row is None else (row.id, row.token_hash, row.revoked_at)

    async def key_hash(self, key_id: str) -> bytes | None:
        """The token hash of a key."""
        query = select(gateway_keys.c.token_hash).where(gateway_keys.c.id == key_id)
        found = (await self._run(query)).scalar_one_or_none()
        return None if found is None else bytes.fromhex(found)

    async def touch_keys(self, used: Mapping[str, float]) -> None:
        """Moves `last_used_at` of keys forward, never back."""
        for key_id, at in sorted(used.items()):
            await self._run(
                update(gateway_keys)
                .where(
                    gateway_keys.c.id == key_id,
                    (gateway_keys.c.last_used_at.is_(None)) | (gateway_keys.c.last_used_at < at),
                )
                .values(last_used_at=at)
            )

    # --- audit and server --------------------------------------------------------------

    async def add_audit(self, values: Mapping[str, Any]) -> None:
        """Appends an audit entry; `values` are columns."""
        await self._run(audit_log.insert().values(**values))

    async def audit(
        self,
        *,
        limit: int,
        before_id: int | None = None,
        actor: str | None = None,
        action: str | None = None,
        target: str | None = None,
        since: float | None = None,
        account_id: str | None = None,
    ) -> list[AuditEntry]:
        """Audit entries, newest first. `action` may end in `*`."""
        table = audit_log.c
        query = select(audit_log).order_by(table.id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(table.id < before_id)
        if since is not None:
            query = query.where(table.at >= since)
        if action is not None:
            query = query.where(
                table.action.startswith(action[:-1], autoescape=True)
                if action.endswith("*")
                else table.action == action
            )
        equal = {table.actor: actor, table.target: target, table.account_id: account_id}
        for column, value in equal.items():
            if value is not None:
                query = query.where(column == value)
        return [_audit_entry(row) for row in (await self._run(query)).all()]

    async def meta(self, name: str) -> str | None:
        """A value the server keeps about itself."""
        query = select(server_meta.c.value).where(server_meta.c.name == name)
        found: str | None = (await self._run(query)).scalar_one_or_none()
        return found

    async def add_meta(self, name: str, value: str) -> None:
        """Stores a new value the server keeps about itself."""
        await self._run(server_meta.insert().values(name=name, value=value))

    async def _run(self, statement: Any) -> Any:  # noqa: ANN401 - typed by its callers
        return await self._connection.execute(statement)

    async def _pairs(
        self, query: Select[tuple[str, str, str]]
    ) -> dict[tuple[str, str], frozenset[str]]:
        found: dict[tuple[str, str], set[str]] = {}
        for account_id, user_id, name in (await self._run(query)).all():
            found.setdefault((account_id, user_id), set()).add(name)
        return {pair: frozenset(names) for pair, names in found.items()}


def _user(row: Row[Any]) -> User:
    return User(
        id=row.id,
        email=row.email,
        name=row.name,
        server_admin=row.server_admin,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
    )


def _views() -> Select[Any]:
    return select(gateway_keys, users.c.email).join(users, users.c.id == gateway_keys.c.user_id)


def _json(text: str | None) -> Any:  # noqa: ANN401 - JSON of a known shape
    return None if text is None else msgspec.json.decode(text)


def _key_row(
    row: Row[Any],
    roles: Mapping[tuple[str, str], frozenset[str]],
    members: Mapping[tuple[str, str], frozenset[str]],
) -> KeyRow:
    pair = (row.account_id, row.user_id)
    return KeyRow(
        id=row.id,
        token_hash=bytes.fromhex(row.token_hash),
        account_id=row.account_id,
        user_id=row.user_id,
        user_email=row.email,
        user_disabled=row.disabled_at is not None,
        server_admin=row.server_admin,
        label=row.label,
        groups=members.get(pair, frozenset()),
        roles=roles.get(pair, frozenset()),
        scopes=_json(row.scopes),
        base_config=_json(row.base_config),
        provider_credentials=_json(row.provider_credentials) or {},
        limits=KeyLimits(**_json(row.limits)),
        tool_pinning=row.tool_pinning,
        call_ids=row.call_ids,
        retention=row.retention,
        policy_override=row.policy_override,
        approval=row.approval,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


def _key_view(row: Row[Any]) -> KeyView:
    return KeyView(
        id=row.id,
        prefix=row.prefix,
        label=row.label,
        account_id=row.account_id,
        user_id=row.user_id,
        user_email=row.email,
        scopes=tuple(_json(row.scopes)),
        base_config=_json(row.base_config),
        providers=tuple(sorted(_json(row.provider_credentials) or {})),
        limits=KeyLimits(**_json(row.limits)),
        tool_pinning=row.tool_pinning,
        call_ids=row.call_ids,
        retention=row.retention,
        policy_override=row.policy_override,
        approval=row.approval,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )


def _audit_entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        at=row.at,
        actor=row.actor,
        surface=row.surface,
        action=row.action,
        target=row.target,
        account_id=row.account_id,
        before=_json(row.before),
        after=_json(row.after),
    )
