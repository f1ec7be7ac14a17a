"""How often one may try to sign in: per address, and per account.

An attempt is counted before the password is looked at, so that a hundred at once are
not a hundred free ones. Success forgets those on the account. A refused attempt is not
counted: an account opens again by itself when the window has passed.
"""

import hashlib
import ipaddress
from typing import Final

from interlock.identity.login.attempts import Attempts
from interlock.identity.login.errors import LoginThrottledError
from interlock.identity.login.settings import AuthSettings
from interlock.identity.naming import name_key

__all__ = ["Throttle", "network"]

_MINUTE_S: Final = 60.0
_NETWORK_BITS: Final = 64


class Throttle:
    """Refuses attempts beyond the limits; what is counted where is the business of `attempts`."""

    def __init__(self, attempts: Attempts, settings: AuthSettings, *, per_minute: int) -> None:
        self._attempts = attempts
        self._settings = settings
        self._per_minute = per_minute

    async def address(self, address: str) -> None:
        """Counts an attempt from an address; an IPv6 network of 64 bits counts as one.

        Raises:
            LoginThrottledError: too many within a minute.
        """
        await self._take(f"address:{network(address)}", self._per_minute, _MINUTE_S)

    async def account(self, account: str) -> None:
        """Counts an attempt on an account: the id of a person, or whatever was typed.

        Raises:
            LoginThrottledError: too many within the window.
        """
        await self._take(
            _name(account),
            self._settings.login_failures,
            self._settings.login_failure_window_seconds,
        )

    async def forget(self, account: str) -> None:
        """Forgets the attempts on an account."""
        await self._attempts.forget(_name(account))

    async def _take(self, name: str, limit: int, window_s: float) -> None:
        wait_s = await self._attempts.take(name, limit=limit, window_s=window_s)
        if wait_s > 0:
            raise LoginThrottledError(wait_s)


def _name(account: str) -> str:
    """Of bounded length, whatever was typed."""
    digest = hashlib.sha256(name_key(account).encode("utf-8", "surrogatepass"))
    return f"account:{digest.hexdigest()}"


def network(address: str) -> str:
    """What counts as one address: an IPv6 network of 64 bits belongs to one client."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:_NETWORK_BITS]
    if found.version == 6:
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found.packed, _NETWORK_BITS), strict=False))
    return str(found)
