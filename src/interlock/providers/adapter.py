"""What an adapter is, and what it is given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from interlock.providers.catalog import Row
from interlock.providers.http import HttpClient, HttpSettings, Origin, Prepared, Watchdog
from interlock.providers.http.exchange import Exchange
from interlock.providers.in_process import InProcessUpstream
from interlock.providers.model import Operation
from interlock.providers.settings import ProviderSettings
from interlock.providers.wire.exchange import FormatName

__all__ = ["Adapter", "Client", "Wiring", "base_url", "http_client", "static_path"]


class Client(Protocol):
    """Carries requests to one upstream."""

    origin: Origin

    async def request(
        self, prepared: Prepared, lines: bytes, body: bytes, *, streaming: bool, deadline: float
    ) -> Exchange:
        """See `HttpClient.request`."""
        ...

    def close(self) -> None:
        """Closes every connection."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What an adapter may need to build its client."""

    http: HttpSettings
    watchdog: Watchdog
    in_process: InProcessUpstream | None = None


class Adapter(Protocol):
    """A provider's behaviour, as far as it is not the same for all."""

    def path(self, operation: Operation, wire: FormatName, model: str) -> str | None:
        """Request target (path and query) of a call; None: the provider has no such call."""
        ...

    def upstream_model(self, model: str) -> str:
        """Name of `model` at the upstream."""
        ...

    def connect(self, wiring: Wiring) -> Client | None:
        """The client; None when the provider cannot be reached as configured."""
        ...


AdapterFactory = Callable[[Row, ProviderSettings], Adapter]


def base_url(row: Row, settings: ProviderSettings) -> str | None:
    """The configured base URL, else the kind's own."""
    return settings.base_url or row.base_url


def http_client(row: Row, settings: ProviderSettings, wiring: Wiring) -> HttpClient | None:
    """A client for the provider's origin; None without a base URL."""
    url = base_url(row, settings)
    if url is None:
        return None
    return HttpClient(Origin.parse(url), wiring.http, watchdog=wiring.watchdog)


def static_path(row: Row, operation: Operation, wire: FormatName) -> str | None:
    """Path of a call relative to the base URL, from the row."""
    if operation == "generate":
        return row.generate.get(wire)
    return row.other.get(operation)
