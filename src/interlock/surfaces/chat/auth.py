"""Who calls: the credential of a request becomes a `Context`, in the order the API promises."""

from typing import Annotated, ClassVar, Literal, Protocol

from fastapi import Depends, Request

from interlock.identity.context import Context
from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = ["Caller", "Callers", "CheckedCallers", "RequestCredentials"]


class NarrowKeyError(InterlockError):
    """Raised when a key is limited to endpoints of the gateway."""

    kind: ClassVar[ErrorKind] = ErrorKind.FORBIDDEN
    code: ClassVar[str] = "forbidden"

    def __init__(self) -> None:
        super().__init__("the key is limited to endpoints of the gateway")


class Callers(Protocol):
    """Turns a request into its caller."""

    async def context(self, request: Request) -> Context:
        """The caller; checks origin and CSRF of unsafe requests. Raises InterlockError."""
        ...

    async def still_valid(self, ctx: Context) -> bool:
        """Whether the credential of an open stream still holds."""
        ...


async def _caller(request: Request) -> Context:
    callers: Callers = request.app.state.callers
    return await callers.context(request)


Caller = Annotated[Context, Depends(_caller)]


class RequestCredentials(Protocol):
    """Reads the credential of a request, shared by all surfaces people use."""

    async def context(self, request: Request, *, surface: Literal["chat"]) -> Context:
        """The caller; checks neither origin nor CSRF value."""
        ...

    def guard(self, request: Request) -> None:
        """Origin and CSRF checks of a request whose `context` is known."""

    async def still_valid(self, context: Context) -> bool:
        """Whether the session behind an open stream goes on."""
        ...


class CheckedCallers:
    """Callers by cookie or bearer key, with the checks cookies bring along."""

    def __init__(self, credentials: RequestCredentials) -> None:
        self._credentials = credentials

    async def context(self, request: Request) -> Context:
        """See `Callers.context`."""
        ctx = await self._credentials.context(request, surface="chat")
        self._credentials.guard(request)
        if any(scope.startswith("endpoint:") for scope in ctx.scopes):
            # Made for some endpoints of the gateway: it opens nobody's conversations.
            raise NarrowKeyError
        return ctx

    async def still_valid(self, ctx: Context) -> bool:
        """See `Callers.still_valid`."""
        return await self._credentials.still_valid(ctx)
