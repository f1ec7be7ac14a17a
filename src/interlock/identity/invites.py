"""Links by which a person chooses a password: an invitation, or a way back in.

A link is signed and stored nowhere. The password hash the person had when it was made is
part of what is signed, so a link is used up by being used, and by any other change of the
password. Whoever holds it can sign in as the person: it is shown once, to an administrator,
and is good for a few days.
"""

import base64
import binascii
import hashlib
import hmac
from typing import ClassVar, Final

from interlock.identity import passwords
from interlock.identity.audit import AuditLog
from interlock.identity.errors import UserNotFoundError
from interlock.identity.login.repository import LoginRepository
from interlock.identity.model import Actor, User
from interlock.identity.naming import is_storable
from interlock.identity.repository import IdentityRepository
from interlock.kernel.clock import Clock
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.storage.engine import Database

__all__ = ["LIFETIME_S", "InvitationError", "Invites"]

LIFETIME_S: Final = 3 * 86_400.0
_SIGNATURE: Final = 32
_LONGEST: Final = 300


class InvitationError(InterlockError):
    """Raised for a link that is unknown, used up or too old: nobody can tell which."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "invitation_not_found"

    def __init__(self) -> None:
        super().__init__(
            "this link is not good any more", hint="ask an administrator for another one"
        )


class Invites:
    """Makes and redeems the links. `key` is 32 bytes only this installation has."""

    def __init__(self, database: Database, audit: AuditLog, clock: Clock, *, key: bytes) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._key = key

    async def make(self, user_id: str, actor: Actor) -> str:
        """A token for the end of a link; audited.

        Raises:
            UserNotFoundError: there is no such person.
        """
        until = int(self._clock.now().timestamp() + LIFETIME_S)
        async with self._database.transaction() as connection:
            repository = IdentityRepository(connection)
            user = await repository.user_by_id(user_id)
            if user is None:
                raise UserNotFoundError(user_id)
            stored = await repository.password_hash(user_id)
            await self._audit.append(
                repository, actor, "user.invite", user_id, after={"good_until": until}
            )
        body = f"{until}.{user_id}"
        made = self._signature(body, stored) + body.encode()
        return base64.urlsafe_b64encode(made).decode().rstrip("=")

    async def whose(self, token: str) -> User:
        """The person of a link that is good.

        Raises:
            InvitationError: it is not.
        """
        async with self._database.read() as connection:
            return await self._checked(IdentityRepository(connection), token)

    async def redeem(self, token: str, password: str) -> User:
        """Sets the password, ends sessions begun with another one, and uses the link up.

        Raises:
            InvitationError: the link is not good, or was used a moment ago.
            InvalidIdentityError: a password out of bounds.
        """
        user = await self.whose(token)
        hashed = await passwords.hash_password(password)
        async with self._database.transaction() as connection:
            await self._database.exclusive(connection, f"login {user.id}")
            repository = IdentityRepository(connection)
            user = await self._checked(repository, token)
            await repository.set_password_hash(user.id, hashed)
            await LoginRepository(connection).revoke_user(user.id, at=self._clock.now().timestamp())
            await self._audit.append(
                repository,
                Actor(name=user.email, surface="console"),
                "user.set_password",
                user.id,
                after={"by": "invitation"},
            )
        return user

    async def _checked(self, repository: IdentityRepository, token: str) -> User:
        try:
            held = base64.b64decode(
                token.encode() + b"=" * (-len(token) % 4), altchars=b"-_", validate=True
            )
            body = held[_SIGNATURE:].decode("ascii")
            until, _, user_id = body.partition(".")
            good = len(token) <= _LONGEST and int(until) > self._clock.now().timestamp()
        except (ValueError, binascii.Error, UnicodeError):
            raise InvitationError from None
        if not good or not is_storable(user_id):
            raise InvitationError
        user = await repository.user_by_id(user_id)
        stored = None if user is None else await repository.password_hash(user_id)
        same = hmac.compare_digest(held[:_SIGNATURE], self._signature(body, stored))
        if not same or user is None or user.disabled_at is not None:
            raise InvitationError
        return user

    def _signature(self, body: str, stored: str | None) -> bytes:
        said = f"{body}\0{stored or ''}".encode()
        return hmac.new(self._key, said, hashlib.sha256).digest()
