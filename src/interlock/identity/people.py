"""What can be done with people: set up, create, find, change, disable, remove.

Each method is one transaction and leaves an audit entry. Who loses access loses it in
that transaction: sessions and keys go with it, and the key cache is told afterwards.
"""

from collections.abc import Sequence
from typing import Any, Final

from interlock.identity import passwords
from interlock.identity.admin import IdentityAdmin
from interlock.identity.audit import AuditLog
from interlock.identity.errors import (
    AlreadySetUpError,
    InvalidIdentityError,
    LastAdministratorError,
    LastOwnerError,
    SessionNotFoundError,
    UserNotFoundError,
)
from interlock.identity.keys import KeyService
from interlock.identity.login.errors import InvalidCredentialsError
from interlock.identity.login.model import LoginSession
from interlock.identity.login.repository import LoginRepository
from interlock.identity.model import GLOBAL_ROLES, Actor, GlobalRole, User
from interlock.identity.naming import check_display_name, check_email, check_username, is_storable
from interlock.identity.repository import IdentityRepository
from interlock.kernel.clock import Clock
from interlock.storage.engine import Database

__all__ = ["People"]

_ADMINISTRATORS: Final = "administrators"
"""Held by what could take the last one away."""
_PAGE: Final = 200


class People:
    """The people of a server. `keys` is told about every change of theirs."""

    def __init__(
        self,
        database: Database,
        admin: IdentityAdmin,
        audit: AuditLog,
        clock: Clock,
        *,
        keys: KeyService | None = None,
    ) -> None:
        self._database = database
        self._admin = admin
        self._audit = audit
        self._clock = clock
        self._keys = keys

    # --- to find -----------------------------------------------------------------------

    async def is_set_up(self) -> bool:
        """Whether there is any user."""
        async with self._database.read() as connection:
            return await IdentityRepository(connection).user_count() > 0

    async def get(self, user_id: str) -> User:
        """A person by id.

        Raises:
            UserNotFoundError: there is none.
        """
        async with self._database.read() as connection:
            return await _person(IdentityRepository(connection), user_id)

    async def named(self, name: str) -> User:
        """A person by id, e-mail address or user name.

        Raises:
            UserNotFoundError: there is none.
        """
        async with self._database.read() as connection:
            user = await IdentityRepository(connection).user(name.strip())
        if user is None:
            raise UserNotFoundError(name)
        return user

    async def find(
        self, query: str = "", *, limit: int = 50, after: str | None = None, disabled: bool = True
    ) -> list[User]:
        """People whose names or addresses contain `query`, by user name; at most 200.

        `after` is the `name_key` of the last one of the page before.
        """
        if not is_storable(query + (after or "")):
            return []
        async with self._database.read() as connection:
            return await IdentityRepository(connection).users(
                query=query,
                limit=max(1, min(limit, _PAGE)),
                after=after,
                disabled=disabled,
            )

    # --- to make -----------------------------------------------------------------------

    async def setup(self, username: str, email: str, password: str) -> User:
        """Makes the first user, an administrator. Of several calls at once one succeeds.

        Raises:
            AlreadySetUpError: there is a user already.
            InvalidIdentityError: naming what cannot be stored.
        """
        if await self.is_set_up():
            raise AlreadySetUpError
        username, email = check_username(username), check_email(email)
        hashed = await passwords.hash_password(password)
        async with self._database.transaction() as connection:
            await self._database.exclusive(connection, "bootstrap")
            repository = IdentityRepository(connection)
            if await repository.user_count() > 0:
                raise AlreadySetUpError
            return await self._admin.store_user(
                repository,
                Actor(name=email, surface="chat"),
                email=email,
                name=username,
                username=username,
                password_hash=hashed,
                global_role="admin",
            )

    async def create_user(
        self,
        email: str,
        actor: Actor,
        *,
        username: str | None = None,
        display_name: str = "",
        password: str | None = None,
        global_role: GlobalRole = "member",
    ) -> User:
        """Makes a person with a personal account; without a password nobody can sign in as him.

        Raises:
            InvalidIdentityError: naming what cannot be stored.
            UserExistsError: the address or the user name is taken.
        """
        if display_name:
            display_name = check_display_name(display_name)
        return await self._admin.create_user(
            email,
            actor,
            username=username,
            name=display_name,
            password=password,
            global_role=_checked(global_role),
        )

    # --- to change ---------------------------------------------------------------------

    async def change_password(
        self, user_id: str, current: str, new: str, *, session_id: str, actor: Actor
    ) -> None:
        """Replaces one's own password; ends one's other sessions.

        Raises:
            InvalidCredentialsError: `current` is not the password.
            InvalidIdentityError: `new` is out of bounds.
        """
        passwords.check_strength(new)
        async with self._database.read() as connection:
            stored = await IdentityRepository(connection).password_hash(user_id)
        if not await passwords.verify_password(current, stored):
            raise InvalidCredentialsError
        await self.set_password(user_id, new, actor, except_session=session_id)

    async def set_password(
        self, user_id: str, password: str, actor: Actor, *, except_session: str | None = None
    ) -> None:
        """Replaces a password and ends all sessions, but one.

        Raises:
            UserNotFoundError: there is no such person.
            InvalidIdentityError: a password out of bounds.
        """
        hashed = await passwords.hash_password(password)
        async with self._database.transaction() as connection:
            repository, sessions = IdentityRepository(connection), LoginRepository(connection)
            user = await _person(repository, user_id)
            await repository.set_password_hash(user.id, hashed)
            kept = None
            if except_session is not None:
                kept = await sessions.family_of(user.id, except_session)
            await sessions.revoke_user(user.id, at=self._now(), but_family=kept)
            await self._audit.append(repository, actor, "user.set_password", user.id)

    async def set_display_name(self, user_id: str, name: str, actor: Actor) -> User:
        """Changes the name a person is shown by.

        Raises:
            UserNotFoundError, InvalidIdentityError.
        """
        name = check_display_name(name)
        return await self._change(user_id, actor, "user.rename", {"display_name": name})

    async def set_global_role(self, user_id: str, role: GlobalRole, actor: Actor) -> User:
        """Changes what a person may do on the server; sessions rotate with their next request.

        Raises:
            UserNotFoundError: there is no such person.
            LastAdministratorError: nobody would be left to administer.
        """
        return await self._change(
            user_id, actor, "user.set_role", {"global_role": _checked(role)}, flag=True
        )

    async def disable(self, user_id: str, actor: Actor) -> User:
        """Shuts a person out: sessions end for good, keys are of no use until he is enabled.

        Raises:
            UserNotFoundError: there is no such person.
            LastAdministratorError: nobody would be left to administer.
        """
        return await self._change(
            user_id, actor, "user.disable", {"disabled_at": self._now()}, revoke=True
        )

    async def enable(self, user_id: str, actor: Actor) -> User:
        """Lets a person in again, to sign in anew.

        Raises:
            UserNotFoundError: there is no such person.
        """
        return await self._change(user_id, actor, "user.enable", {"disabled_at": None})

    async def remove(self, user_id: str, actor: Actor) -> None:
        """Removes a person with sessions, keys and the personal account, at once and for good.

        What was recorded about calls keeps the id, which then belongs to nobody.

        Raises:
            UserNotFoundError: there is no such person.
            LastAdministratorError: nobody would be left to administer.
            LastOwnerError: an organization with other members would be left without owner.
        """
        async with self._database.transaction() as connection:
            await self._database.exclusive(connection, _ADMINISTRATORS)
            repository = IdentityRepository(connection)
            user = await _person(repository, user_id)
            await _keep_an_administrator(repository, user)
            hashes = await repository.key_hashes(user_id)
            for account, role in await repository.accounts_of(user_id):
                others = [
                    (other, theirs)
                    for other, theirs in await repository.members(account.id)
                    if other.id != user_id
                ]
                if account.kind == "personal" or not others:
                    await repository.remove_account(account.id)
                elif role == "owner" and all(theirs != "owner" for _, theirs in others):
                    raise LastOwnerError
            await repository.remove_user(user_id)
            await self._audit.append(
                repository, actor, "user.remove", user_id, before={"username": user.username}
            )
        self._forget(hashes)

    # --- sessions ----------------------------------------------------------------------

    async def sessions_of(self, user_id: str) -> list[LoginSession]:
        """The live sessions of a person, newest first."""
        async with self._database.read() as connection:
            return await LoginRepository(connection).of_user(user_id, now=self._now())

    async def revoke_session(self, user_id: str, session_id: str, actor: Actor) -> None:
        """Ends one session of a person.

        Raises:
            SessionNotFoundError: he has no such session.
        """
        async with self._database.transaction() as connection:
            sessions = LoginRepository(connection)
            family = await sessions.family_of(user_id, session_id)
            if family is None:
                raise SessionNotFoundError
            await sessions.revoke_family(family, at=self._now())
            await self._audit.append(
                IdentityRepository(connection), actor, "session.revoke", session_id
            )

    async def sign_out_everywhere(self, user_id: str, actor: Actor) -> None:
        """Ends all sessions of a person.

        Raises:
            UserNotFoundError: there is no such person.
        """
        async with self._database.transaction() as connection:
            repository = IdentityRepository(connection)
            await _person(repository, user_id)
            await LoginRepository(connection).revoke_user(user_id, at=self._now())
            await self._audit.append(repository, actor, "session.revoke_all", user_id)

    # --- helpers -----------------------------------------------------------------------

    async def _change(
        self,
        user_id: str,
        actor: Actor,
        action: str,
        values: dict[str, Any],
        *,
        flag: bool = False,
        revoke: bool = False,
    ) -> User:
        async with self._database.transaction() as connection:
            await self._database.exclusive(connection, _ADMINISTRATORS)
            repository, sessions = IdentityRepository(connection), LoginRepository(connection)
            before = await _person(repository, user_id)
            if values.get("disabled_at") or values.get("global_role", "admin") != "admin":
                await _keep_an_administrator(repository, before)
            await repository.change_user(user_id, **values)
            if flag:
                await sessions.flag_user(user_id)
            if revoke:
                await sessions.revoke_user(user_id, at=self._now())
            await self._audit.append(
                repository,
                actor,
                action,
                user_id,
                before={name: getattr(before, name) for name in values},
                after=values,
            )
            hashes = await repository.key_hashes(user_id)
            after = await _person(repository, user_id)
        self._forget(hashes)
        return after

    def _forget(self, hashes: Sequence[bytes]) -> None:
        if self._keys is not None:
            for token_hash in hashes:
                self._keys.forget(token_hash)

    def _now(self) -> float:
        return self._clock.now().timestamp()


async def _person(repository: IdentityRepository, user_id: str) -> User:
    user = await repository.user_by_id(user_id)
    if user is None:
        raise UserNotFoundError(user_id)
    return user


async def _keep_an_administrator(repository: IdentityRepository, user: User) -> None:
    active = user.is_admin and user.disabled_at is None
    if active and await repository.other_admins(user.id) == 0:
        raise LastAdministratorError


def _checked(role: GlobalRole) -> GlobalRole:
    if role not in GLOBAL_ROLES:
        raise InvalidIdentityError(
            f"`{role}` is not a role", hint="choose from " + ", ".join(GLOBAL_ROLES), param="role"
        )
    return role
