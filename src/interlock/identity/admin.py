"""Commands on keys, users and accounts: checked, audited, one transaction each."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from interlock.identity import passwords
from interlock.identity.audit import AuditLog
from interlock.identity.errors import (
    AccountNotFoundError,
    InvalidIdentityError,
    KeyNotFoundError,
    UserExistsError,
    UserNotFoundError,
)
from interlock.identity.keys import KeyService, credential_place
from interlock.identity.model import (
    Account,
    Actor,
    GlobalRole,
    KeyLimits,
    KeySpec,
    KeyView,
    Role,
    User,
)
from interlock.identity.naming import check_email, check_username
from interlock.identity.repository import IdentityRepository
from interlock.identity.tokens import digest, new_token, shown_prefix
from interlock.kernel.clock import Clock
from interlock.kernel.ids import new_uuid
from interlock.storage.engine import Database
from interlock.storage.secrets import SecretBox

__all__ = ["CreatedKey", "IdentityAdmin"]

_SCOPE = re.compile(r"admin|(endpoint|provider):[A-Za-z0-9_.\-]{1,64}")
_BASE_MEMBERS = frozenset({"x_features", "x_policy", "x_config"})
_LABEL_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedKey:
    """A new key; `token` is shown once and is not kept anywhere."""

    view: KeyView
    token: str


class IdentityAdmin:
    """What administrators do with identities. `keys` is told about every change."""

    def __init__(
        self,
        database: Database,
        secrets: SecretBox,
        audit: AuditLog,
        clock: Clock,
        *,
        keys: KeyService | None = None,
    ) -> None:
        self._database = database
        self._secrets = secrets
        self._audit = audit
        self._clock = clock
        self._keys = keys

    # --- keys --------------------------------------------------------------------------

    async def create_key(
        self,
        spec: KeySpec,
        actor: Actor,
        *,
        user: str | None = None,
        account_id: str | None = None,
    ) -> CreatedKey:
        """Makes a key for a user (default: the first administrator) in one of his accounts.

        Raises:
            InvalidIdentityError: a value of the spec is out of bounds.
            UserNotFoundError, AccountNotFoundError: no such owner.
        """
        check_spec(spec, now=self._clock.now().timestamp())
        token = new_token()
        async with self._database.transaction() as connection:
            repository = IdentityRepository(connection)
            owner = await self._owner(repository, user)
            account = await self._account(repository, owner, account_id)
            key_id = await self.store_key(
                repository, spec, actor, token=token, user_id=owner.id, account_id=account
            )
            (view,) = await repository.find_keys(key_id)
        self._changed(digest(token))
        return CreatedKey(view=view, token=token)

    async def store_key(
        self,
        repository: IdentityRepository,
        spec: KeySpec,
        actor: Actor,
        *,
        token: str,
        user_id: str,
        account_id: str,
        bootstrap: bool = False,
    ) -> str:
        """Stores a key within the caller's transaction and audits it; returns its id."""
        key_id = new_uuid()
        sealed = {
            provider: self._secrets.seal(value, place=credential_place(key_id, provider))
            for provider, value in spec.provider_credentials.items()
        }
        await repository.add_key(
            {
                "id": key_id,
                "token_hash": digest(token).hex(),
                "prefix": shown_prefix(token),
                "label": spec.label,
                "account_id": account_id,
                "user_id": user_id,
                "scopes": _json(sorted(spec.scopes)),
                "base_config": None if spec.base_config is None else _json(spec.base_config),
                "provider_credentials": _json(sealed) if sealed else None,
                "limits": _json(spec.limits),
                "tool_pinning": spec.tool_pinning,
                "call_ids": spec.call_ids,
                "retention": spec.retention,
                "policy_override": spec.policy_override,
                "approval": spec.approval,
                "bootstrap": bootstrap,
                "created_at": self._clock.now().timestamp(),
                "expires_at": spec.expires_at,
            }
        )
        await self._audit.append(
            repository,
            actor,
            "key.create",
            key_id,
            account_id=account_id,
            after=_audited(spec) | {"prefix": shown_prefix(token), "user_id": user_id},
        )
        return key_id

    async def keys(self, *, account_id: str | None = None) -> list[KeyView]:
        """All keys of an account (None: of the server), newest first."""
        async with self._database.read() as connection:
            return await IdentityRepository(connection).key_views(account_id=account_id)

    async def key(self, wanted: str) -> KeyView:
        """A key by id, or by a label or shown prefix only one key has.

        Raises:
            KeyNotFoundError: none.
            InvalidIdentityError: several.
        """
        async with self._database.read() as connection:
            return await self._one_key(IdentityRepository(connection), wanted)

    async def revoke_key(self, wanted: str, actor: Actor) -> KeyView:
        """Makes a key invalid for good, here at once; a revoked one stays as it is.

        Raises:
            KeyNotFoundError: none.
            InvalidIdentityError: the label or prefix fits several keys.
        """
        async with self._database.transaction() as connection:
            repository = IdentityRepository(connection)
            view = await self._one_key(repository, wanted)
            if view.revoked_at is not None:
                return view
            now = self._clock.now().timestamp()
            await repository.change_key(view.id, revoked_at=now)
            await self._audit.append(
                repository,
                actor,
                "key.revoke",
                view.id,
                account_id=view.account_id,
                before={"label": view.label, "revoked_at": None},
                after={"label": view.label, "revoked_at": now},
            )
            token_hash = await repository.key_hash(view.id)
            view = await self._one_key(repository, view.id)
        if token_hash is not None:
            self._changed(token_hash)
        return view

    # --- people ------------------------------------------------------------------------

    async def create_user(
        self,
        email: str,
        actor: Actor,
        *,
        name: str = "",
        password: str | None = None,
        global_role: GlobalRole = "member",
        username: str | None = None,
    ) -> User:
        """Makes a user and his personal account.

        Raises:
            InvalidIdentityError: not an e-mail address, or a password out of bounds.
            UserExistsError: the address or the user name is taken.
        """
        email = check_email(email)
        username = None if username is None else check_username(username)
        hashed = None if password is None else await passwords.hash_password(password)
        async with self._database.transaction() as connection:
            return await self.store_user(
                IdentityRepository(connection),
                actor,
                email=email,
                name=name,
                password_hash=hashed,
                global_role=global_role,
                username=username,
            )

    async def store_user(
        self,
        repository: IdentityRepository,
        actor: Actor,
        *,
        email: str,
        name: str,
        password_hash: str | None,
        global_role: GlobalRole,
        username: str | None = None,
    ) -> User:
        """Stores a user and his personal account within the caller's transaction."""
        if await repository.user(email) is not None:
            raise UserExistsError(email)
        if username is None:
            username = await repository.free_username(email)
        elif await repository.user(username) is not None:
            raise UserExistsError(username)
        now = self._clock.now().timestamp()
        user = User(
            id=new_uuid(),
            email=email,
            username=username,
            display_name=name or username,
            global_role=global_role,
            created_at=now,
        )
        account = Account(id=new_uuid(), kind="personal", name=user.display_name, created_at=now)
        await repository.add_user(user, password_hash=password_hash)
        await repository.add_account(account)
        await repository.add_membership(account.id, user.id, "owner", at=now)
        await self._audit.append(
            repository,
            actor,
            "user.create",
            user.id,
            account_id=account.id,
            after={"email": email, "username": username, "global_role": global_role},
        )
        return user

    async def accounts_of(self, user_id: str) -> list[tuple[Account, Role]]:
        """Accounts a user is a member of, and the role in each; the personal one first."""
        async with self._database.read() as connection:
            found = await IdentityRepository(connection).accounts_of(user_id)
        return sorted(found, key=lambda pair: (pair[0].kind != "personal", pair[0].created_at))

    async def create_organization(self, name: str, owner: str, actor: Actor) -> Account:
        """Makes an organization owned by a user.

        Raises:
            InvalidIdentityError: the name is empty or too long.
            UserNotFoundError: no such owner.
        """
        if not name.strip() or len(name) > _LABEL_LENGTH:
            raise InvalidIdentityError(f"a name has 1 to {_LABEL_LENGTH} characters", param="name")
        async with self._database.transaction() as connection:
            repository = IdentityRepository(connection)
            user = await self._owner(repository, owner)
            now = self._clock.now().timestamp()
            account = Account(id=new_uuid(), kind="organization", name=name.strip(), created_at=now)
            await repository.add_account(account)
            await repository.add_membership(account.id, user.id, "owner", at=now)
            await self._audit.append(
                repository,
                actor,
                "account.create",
                account.id,
                account_id=account.id,
                after={"name": account.name, "owner": user.email},
            )
        return account

    async def add_member(self, account_id: str, user: str, role: Role, actor: Actor) -> None:
        """Makes a user a member of an account.

        Raises:
            UserNotFoundError: no such user.
        """
        async with self._database.transaction() as connection:
            repository = IdentityRepository(connection)
            member = await self._owner(repository, user)
            now = self._clock.now().timestamp()
            await repository.add_membership(account_id, member.id, role, at=now)
            await self._audit.append(
                repository,
                actor,
                "member.add",
                member.id,
                account_id=account_id,
                after={"email": member.email, "role": role},
            )

    async def create_group(
        self, account_id: str, name: str, members: Collection[str], actor: Actor
    ) -> str:
        """Makes a group of an account with these users; returns its id.

        Raises:
            UserNotFoundError: no such user.
        """
        group_id = new_uuid()
        async with self._database.transaction() as connection:
            repository = IdentityRepository(connection)
            await repository.add_group(group_id, account_id, name)
            for member in members:
                user = await self._owner(repository, member)
                await repository.add_group_member(group_id, user.id)
            await self._audit.append(
                repository,
                actor,
                "group.create",
                group_id,
                account_id=account_id,
                after={"name": name, "members": sorted(members)},
            )
        return group_id

    async def set_password(self, user: str, password: str, actor: Actor) -> None:
        """Replaces a user's password.

        Raises:
            UserNotFoundError: no such user.
            InvalidIdentityError: a password out of bounds.
        """
        hashed = await passwords.hash_password(password)
        async with self._database.transaction() as connection:
            repository = IdentityRepository(connection)
            found = await self._owner(repository, user)
            await repository.set_password_hash(found.id, hashed)
            await self._audit.append(repository, actor, "user.set_password", found.id)

    async def check_password(self, email: str, password: str) -> User | None:
        """The user with these credentials; takes as long when there is none."""
        async with self._database.read() as connection:
            repository = IdentityRepository(connection)
            user = await repository.user(email.strip())
            stored = None if user is None else await repository.password_hash(user.id)
        good = await passwords.verify_password(password, stored)
        return user if good and user is not None and user.disabled_at is None else None

    # --- helpers -----------------------------------------------------------------------

    async def _owner(self, repository: IdentityRepository, wanted: str | None) -> User:
        user = await (
            repository.first_admin() if wanted is None else repository.user(wanted.strip())
        )
        if user is None:
            raise UserNotFoundError(wanted)
        return user

    async def _account(
        self, repository: IdentityRepository, owner: User, wanted: str | None
    ) -> str:
        accounts = [account.id for account, _ in await repository.accounts_of(owner.id)]
        if wanted is not None and wanted not in accounts:
            raise AccountNotFoundError(wanted)
        if not accounts:
            raise AccountNotFoundError(owner.email)
        return wanted or accounts[0]

    async def _one_key(self, repository: IdentityRepository, wanted: str) -> KeyView:
        found = await repository.find_keys(wanted)
        if not found:
            raise KeyNotFoundError(wanted)
        exact = [view for view in found if view.id == wanted]
        if len(exact) == 1:
            return exact[0]
        if len(found) > 1:
            raise InvalidIdentityError(
                f"{len(found)} keys are called `{wanted}`",
                hint="name it by its id: " + ", ".join(view.id for view in found[:5]),
                param="key",
            )
        return found[0]

    def _changed(self, token_hash: bytes) -> None:
        if self._keys is not None:
            self._keys.forget(token_hash)


def check_spec(spec: KeySpec, *, now: float) -> None:
    """Refuses a key that could not work.

    Raises:
        InvalidIdentityError: naming the member.
    """
    if not spec.label.strip() or len(spec.label) > _LABEL_LENGTH:
        raise InvalidIdentityError(f"a label has 1 to {_LABEL_LENGTH} characters", param="label")
    for scope in spec.scopes:
        if not _SCOPE.fullmatch(scope):
            raise InvalidIdentityError(
                f"`{scope}` is not a scope",
                hint="scopes are `admin`, `endpoint:<type>` and `provider:<name>`",
                param="scopes",
            )
    if spec.expires_at is not None and spec.expires_at <= now:
        raise InvalidIdentityError("the key would already be expired", param="expires")
    for name in ("requests_per_minute", "tokens_per_minute", "monthly_cost"):
        value = getattr(spec.limits, name)
        if value is not None and not value > 0:
            raise InvalidIdentityError(f"`{name}` must be above zero", param=name)
    for name, allowed in _CHOICES.items():
        if getattr(spec, name) not in allowed:
            raise InvalidIdentityError(
                f"`{getattr(spec, name)}` is not a value of `{name}`",
                hint="choose from " + ", ".join(allowed),
                param=name,
            )
    for name, member in (spec.base_config or {}).items():
        if name not in _BASE_MEMBERS or not isinstance(member, dict):
            raise InvalidIdentityError(
                f"`{name}` is not a member of a base config",
                hint="its members are the objects `x_features`, `x_policy` and `x_config`",
                param="base_config",
            )


_CHOICES: Mapping[str, tuple[str, ...]] = {
    "tool_pinning": ("off", "warn", "deny"),
    "call_ids": ("long", "compact"),
    "retention": ("full", "masked", "none"),
    "approval": ("off", "ask"),
}


def _json(value: Any) -> str:  # noqa: ANN401 - JSON
    return msgspec.json.encode(value).decode()


def _audited(spec: KeySpec) -> dict[str, Any]:
    limits: KeyLimits = spec.limits
    return {
        "label": spec.label,
        "scopes": sorted(spec.scopes),
        "base_config": spec.base_config,
        "providers": sorted(spec.provider_credentials),
        "limits": {
            "requests_per_minute": limits.requests_per_minute,
            "tokens_per_minute": limits.tokens_per_minute,
            "monthly_cost": limits.monthly_cost,
        },
        "tool_pinning": spec.tool_pinning,
        "call_ids": spec.call_ids,
        "retention": spec.retention,
        "policy_override": spec.policy_override,
        "approval": spec.approval,
        "expires_at": spec.expires_at,
    }
