"""Keeps a call inside the providers its key may use, whatever alias it went through."""

from typing import ClassVar

from interlock.identity.model import KeyInfo
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.providers.model import Route

__all__ = ["ProviderForbiddenError", "permitted"]

_PREFIX = "provider:"


class ProviderForbiddenError(InterlockError):
    """Every upstream that serves the model is outside the scopes of the key."""

    kind: ClassVar[ErrorKind] = ErrorKind.FORBIDDEN
    code: ClassVar[str] = "forbidden"

    def __init__(self, model: str) -> None:
        super().__init__(f"this API key may not use any provider that serves `{model}`")


def permitted(route: Route, key: KeyInfo) -> Route:
    """The route without targets of providers the key may not use.

    Raises:
        ProviderForbiddenError: nothing is left.
    """
    if not key.scopes:
        return route
    names = {scope[len(_PREFIX) :] for scope in key.scopes if scope.startswith(_PREFIX)}
    if not names:
        return route
    groups = tuple(
        kept
        for group in route.groups
        if (kept := tuple(target for target in group if target.provider in names))
    )
    if not groups:
        raise ProviderForbiddenError(route.model)
    return Route(provider=route.provider, model=route.model, groups=groups, byok=route.byok)
