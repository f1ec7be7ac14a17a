"""Turns a credential that was found good into the one `Context` all services take."""

from interlock.identity.context import Context, Surface
from interlock.identity.errors import AccountNotFoundError
from interlock.identity.login.model import Resolved
from interlock.identity.model import KeyInfo
from interlock.identity.repository import IdentityRepository
from interlock.storage.engine import Database

__all__ = ["Callers", "key_of"]


class Callers:
    """Makes contexts; reads what the credential itself does not say."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_session(
        self,
        resolved: Resolved,
        surface: Surface,
        *,
        account_id: str | None = None,
        request_id: str = "",
        trace_id: str = "",
    ) -> Context:
        """The person of a login session, in the personal account or another one of his.

        Raises:
            AccountNotFoundError: he is no member of `account_id`.
        """
        user = resolved.user
        async with self._database.read() as connection:
            repository = IdentityRepository(connection)
            held = await repository.accounts_of(user.id)
            chosen = [pair for pair in held if account_id in {None, pair[0].id}]
            if not chosen:
                raise AccountNotFoundError(account_id or user.id)
            account, role = chosen[0]
            groups = await repository.groups_of(account.id, user.id)
        return Context(
            user_id=user.id,
            account_id=account.id,
            account_role=role,
            global_role=user.global_role,
            email=user.email,
            username=user.username,
            display_name=user.display_name,
            surface=surface,
            credential="cookie",
            credential_id=resolved.session.id,
            groups=frozenset(group.name for group in groups),
            signed_in_at=resolved.session.signed_in_at,
            request_id=request_id,
            trace_id=trace_id,
        )

    async def of_key(
        self, key: KeyInfo, surface: Surface, *, request_id: str = "", trace_id: str = ""
    ) -> Context:
        """The person a key belongs to, in the account of the key.

        Raises:
            AccountNotFoundError: the person is gone since the key was looked up.
        """
        async with self._database.read() as connection:
            repository = IdentityRepository(connection)
            user = await repository.user_by_id(key.user_id)
            role = await repository.role(key.account_id, key.user_id)
        if user is None:
            raise AccountNotFoundError(key.account_id)
        return Context(
            user_id=user.id,
            account_id=key.account_id,
            account_role=role,
            global_role=user.global_role,
            email=user.email,
            username=user.username,
            display_name=user.display_name,
            surface=surface,
            credential="key",
            credential_id=key.id,
            scopes=key.scopes,
            groups=key.groups,
            request_id=request_id,
            trace_id=trace_id,
        )


def key_of(context: Context) -> KeyInfo:
    """Who makes model and tool calls for a person who is signed in: the rights of that person.

    The gateway knows callers as keys; this one is stored nowhere and opens nothing.
    """
    roles = {"server_admin"} if context.is_admin else set()
    if context.account_role is not None:
        roles.add(context.account_role)
    return KeyInfo(
        id=context.user_id or context.credential_id,
        account_id=context.account_id,
        user_id=context.user_id or "",
        user_email=context.email,
        label=context.surface,
        groups=context.groups,
        roles=frozenset(roles),
        surface="chat",
    )
