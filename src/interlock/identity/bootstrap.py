"""The first start: an administrator, a key, and proof that the master key still fits.

Runs at every start and is idempotent. New credentials are returned to the caller,
which prints them once; they are not logged and cannot be read again.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from interlock.identity import passwords
from interlock.identity.admin import IdentityAdmin
from interlock.identity.audit import AuditLog
from interlock.identity.errors import InvalidIdentityError
from interlock.identity.keys import KeyService
from interlock.identity.model import Actor, KeySpec
from interlock.identity.naming import check_email
from interlock.identity.repository import IdentityRepository
from interlock.identity.tokens import BOOTSTRAP_MINIMUM, digest, new_token, shown_prefix
from interlock.storage.engine import Database
from interlock.storage.errors import SecretKeyError
from interlock.storage.secrets import SecretBox

__all__ = ["Bootstrap", "BootstrapResult"]

_SERVER = Actor(name="server", surface="server")
_CANARY = "secret_key_canary"
_DEFAULT_EMAIL = "admin@localhost"


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapResult:
    """What the first start made; everything None: it was not the first."""

    admin_email: str | None = None
    admin_password: str | None = field(default=None, repr=False)
    """Only when it was generated here."""
    key: str | None = field(default=None, repr=False)
    """Only when it was generated here."""

    nothing: ClassVar["BootstrapResult"]


BootstrapResult.nothing = BootstrapResult()


class Bootstrap:
    """Prepares the identity tables of a server."""

    def __init__(
        self,
        database: Database,
        secrets: SecretBox,
        admin: IdentityAdmin,
        audit: AuditLog,
        *,
        keys: KeyService | None = None,
    ) -> None:
        self._database = database
        self._secrets = secrets
        self._admin = admin
        self._audit = audit
        self._keys = keys

    async def run(
        self,
        *,
        admin_email: str | None = None,
        admin_password: str | None = None,
        key: str | None = None,
    ) -> BootstrapResult:
        """Checks the master key; makes what is missing; puts the configured `key` in place.

        `admin_email` and `admin_password` matter only while there are no users. A `key`
        other than last time replaces that one. Safe from several processes at once.

        Raises:
            SecretKeyError: stored credentials were encrypted with another master key.
            InvalidIdentityError: a configured value is unusable; nothing was changed.
        """
        if key is not None and len(key) < BOOTSTRAP_MINIMUM:
            raise InvalidIdentityError(
                f"INTERLOCK_BOOTSTRAP_KEY has fewer than {BOOTSTRAP_MINIMUM} characters",
                param="INTERLOCK_BOOTSTRAP_KEY",
            )
        email = check_email(admin_email or _DEFAULT_EMAIL)
        async with self._database.read() as connection:
            empty = await IdentityRepository(connection).user_count() == 0
        password = admin_password or passwords.new_password()
        # Hashing is slow and needs no transaction; it is done before the lock is taken.
        hashed = await passwords.hash_password(password) if empty else None
        made = BootstrapResult.nothing
        async with self._database.transaction() as connection:
            await self._database.exclusive(connection, "bootstrap")
            repository = IdentityRepository(connection)
            await self._check_master_key(repository)
            if hashed is not None and await repository.user_count() == 0:
                token = key or new_token()
                user = await self._admin.store_user(
                    repository,
                    _SERVER,
                    email=email,
                    name="Administrator",
                    password_hash=hashed,
                    global_role="admin",
                )
                await self._store_key(repository, token, user.id, configured=key is not None)
                made = BootstrapResult(
                    admin_email=email,
                    admin_password=None if admin_password else password,
                    key=None if key else token,
                )
            elif key is not None:
                await self._place_key(repository, key)
        return made

    async def _check_master_key(self, repository: IdentityRepository) -> None:
        sealed = await repository.meta(_CANARY)
        if sealed is None:
            await repository.add_meta(_CANARY, self._secrets.seal(_CANARY, place=_CANARY))
            return
        try:
            self._secrets.open(sealed, place=_CANARY)
        except SecretKeyError as error:
            raise SecretKeyError(
                "the secret key is not the one this database was made with",
                hint="set INTERLOCK_SECRET_KEY, or put back `secret.key`, as it was before",
            ) from error

    async def _place_key(self, repository: IdentityRepository, key: str) -> None:
        wanted = digest(key)
        if await repository.key_rows([wanted]):
            return  # it is there, whoever made it; a revoked one stays revoked
        former = await repository.bootstrap_key()
        if former is None:
            owner = await repository.first_admin()
            if owner is not None:
                await self._store_key(repository, key, owner.id, configured=True)
            return
        key_id, stored, _ = former
        await repository.change_key(
            key_id, token_hash=wanted.hex(), prefix=shown_prefix(key), revoked_at=None
        )
        await self._audit.append(
            repository, _SERVER, "key.replace", key_id, after={"prefix": shown_prefix(key)}
        )
        if self._keys is not None:
            self._keys.forget(bytes.fromhex(stored))
            self._keys.forget(wanted)

    async def _store_key(
        self, repository: IdentityRepository, token: str, user_id: str, *, configured: bool
    ) -> None:
        (account, _), *_ = await repository.accounts_of(user_id)
        await self._admin.store_key(
            repository,
            KeySpec(label="bootstrap", scopes=frozenset()),
            _SERVER,
            token=token,
            user_id=user_id,
            account_id=account.id,
            bootstrap=configured,
        )
        if self._keys is not None:
            self._keys.forget(digest(token))
