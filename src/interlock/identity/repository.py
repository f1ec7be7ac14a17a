"""All queries on identity tables. Each takes the connection of the caller's transaction."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import Row, Select, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.identity.model import (
    Account,
    AuditEntry,
    GlobalRole,
    Group,
    KeyLimits,
    KeyView,
    Role,
    User,
)
from interlock.identity.naming import is_storable, name_key, username_of
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
from interlock.kernel.ids import new_uuid

__all__ = ["IdentityRepository", "KeyRow", "user_of"]

_NAMES_TRIED = 100


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key with everything its `KeyInfo` is made of; credentials still sealed."""

    id: str
    token_hash: bytes
    account_id: str
    user_id: str
    user_email: str
    user_disabled: bool
    global_role: GlobalRole
    sealed_for: str | None
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
        """A user by id, e-mail address or user name."""
        if not is_storable(wanted):
            return None
        query = select(users).where(
            (users.c.id == wanted)
            | (users.c.email == wanted.lower())
            | (users.c.username_key == name_key(wanted))
        )
        row = (await self._run(query)).one_or_none()
        return None if row is None else user_of(row)

    async def user_by_id(self, user_id: str) -> User | None:
        """A user by id alone."""
        row = (await self._run(select(users).where(users.c.id == user_id))).one_or_none()
        return None if row is None else user_of(row)

    async def first_admin(self) -> User | None:
        """The administrator who has been there longest."""
        query = (
            select(users)
            .where(users.c.global_role == "admin", users.c.disabled_at.is_(None))
            .order_by(users.c.created_at, users.c.id)
            .limit(1)
        )
        row = (await self._run(query)).one_or_none()
        return None if row is None else user_of(row)

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
                username=user.username,
                username_key=name_key(user.username),
                display_name=user.display_name,
                global_role=user.global_role,
                email_verified=user.email_verified,
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

    async def free_username(self, email: str) -> str:
        """A user name after an address that nobody has."""
        for n in range(1, _NAMES_TRIED):
            name = username_of(email, n)
            query = select(users.c.id).where(users.c.username_key == name_key(name))
            if (await self._run(query)).first() is None:
                return name
        return new_uuid()

    async def users(
        self, *, query: str = "", limit: int, after: str | None = None, disabled: bool = True
    ) -> list[User]:
        """People by user name; `query` is part of a name or of an address.

        `after` continues behind a `username_key`. Index: `uq_users_username_key`.
        """
        statement = select(users).order_by(users.c.username_key).limit(limit)
        if after is not None:
            statement = statement.where(users.c.username_key > after)
        if query:
            part = name_key(query)
            statement = statement.where(
                users.c.username_key.contains(part, autoescape=True)
                | users.c.email.contains(part, autoescape=True)
                | func.lower(users.c.display_name).contains(part, autoescape=True)
            )
        if not disabled:
            statement = statement.where(users.c.disabled_at.is_(None))
        return [user_of(row) for row in (await self._run(statement)).all()]

    async def change_user(self, user_id: str, **values: Any) -> None:  # noqa: ANN401 - columns
        """Changes columns of a user."""
        await self._run(update(users).where(users.c.id == user_id).values(**values))

    async def remove_user(self, user_id: str) -> None:
        """Removes a user with memberships, groups, keys and sessions."""
        await self._run(delete(users).where(users.c.id == user_id))

    async def other_admins(self, user_id: str) -> int:
        """How many other administrators can sign in."""
        query = (
            select(func.count())
            .select_from(users)
            .where(
                users.c.global_role == "admin",
                users.c.disabled_at.is_(None),
                users.c.id != user_id,
            )
        )
        return int((await self._run(query)).scalar_one())

    async def revoke_keys(self, user_id: str, *, at: float) -> list[bytes]:
        """Revokes all keys of a user; returns the hashes of those that were good.

        Index: `ix_gateway_keys_user_id`.
        """
        mine = (gateway_keys.c.user_id == user_id) & gateway_keys.c.revoked_at.is_(None)
        hashes = (await self._run(select(gateway_keys.c.token_hash).where(mine))).scalars().all()
        await self._run(update(gateway_keys).where(mine).values(revoked_at=at))
        return [bytes.fromhex(value) for value in hashes]

    async def key_hashes(self, user_id: str) -> list[bytes]:
        """Hashes of all keys of a user, for caches to forget them."""
        query = select(gateway_keys.c.token_hash).where(gateway_keys.c.user_id == user_id)
        return [bytes.fromhex(value) for value in (await self._run(query)).scalars().all()]

    async def account(self, account_id: str) -> Account | None:
        """An account by id."""
        query = select(accounts).where(accounts.c.id == account_id)
        row = (await self._run(query)).one_or_none()
        return (
            None
            if row is None
            else Account(id=row.id, kind=row.kind, name=row.name, created_at=row.created_at)
        )

    async def members(self, account_id: str) -> list[tuple[User, Role]]:
        """Members of an account by user name."""
        query = (
            select(users, memberships.c.role)
            .join(memberships, memberships.c.user_id == users.c.id)
            .where(memberships.c.account_id == account_id)
            .order_by(users.c.username_key)
        )
        return [(user_of(row), row.role) for row in (await self._run(query)).all()]

    async def set_role(self, account_id: str, user_id: str, role: Role) -> None:
        """Changes a member's role."""
        await self._run(
            update(memberships)
            .where(memberships.c.account_id == account_id, memberships.c.user_id == user_id)
            .values(role=role)
        )

    async def remove_membership(self, account_id: str, user_id: str) -> None:
        """Ends a membership and the places in groups of the account."""
        await self._run(
            delete(memberships).where(
                memberships.c.account_id == account_id, memberships.c.user_id == user_id
            )
        )
        inside = select(groups.c.id).where(groups.c.account_id == account_id)
        await self._run(
            delete(group_members).where(
                group_members.c.user_id == user_id, group_members.c.group_id.in_(inside)
            )
        )

    async def remove_account(self, account_id: str) -> None:
        """Removes an account with its memberships, groups and keys."""
        await self._run(delete(accounts).where(accounts.c.id == account_id))

    async def groups_of(self, account_id: str, user_id: str) -> list[Group]:
        """The groups of a user in an account, by name."""
        query = (
            select(groups)
            .join(group_members, group_members.c.group_id == groups.c.id)
            .where(groups.c.account_id == account_id, group_members.c.user_id == user_id)
            .order_by(groups.c.name)
        )
        return [_group(row) for row in (await self._run(query)).all()]

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
                users.c.global_role,
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


def user_of(row: Row[Any]) -> User:
    """The person of a row of `users`."""
    return User(
        id=row.id,
        email=row.email,
        username=row.username,
        display_name=row.display_name,
        global_role=row.global_role,
        email_verified=row.email_verified,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
    )


def _group(row: Row[Any]) -> Group:
    models, tools = _json(row.models), _json(row.tools)
    return Group(
        id=row.id,
        account_id=row.account_id,
        name=row.name,
        role=row.role,
        models=None if models is None else tuple(models),
        tools=None if tools is None else tuple(tools),
        policies=tuple(_json(row.policies) or ()),
        budget=_json(row.budget),
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
        global_role=row.global_role,
        sealed_for=row.sealed_for,
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
