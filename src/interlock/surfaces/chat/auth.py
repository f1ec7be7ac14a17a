"""Who calls: the credential of a request becomes a `Context`, in the order the API promises."""

from typing import Annotated, Protocol

from fastapi import Depends, Request

from interlock.identity.context import Context

__all__ = ["Caller", "Callers"]


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
