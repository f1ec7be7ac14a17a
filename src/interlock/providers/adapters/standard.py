"""Providers whose paths are the row's, under a base URL that ends in the API version."""

from urllib.parse import urlsplit

from interlock.providers.adapter import (
    Client,
    Wiring,
    base_url,
    http_client,
    static_path,
)
from interlock.providers.catalog import Row
from interlock.providers.model import Operation
from interlock.providers.settings import ProviderSettings
from interlock.providers.wire.exchange import FormatName

__all__ = ["StandardAdapter"]


class StandardAdapter:
    """See the module."""

    def __init__(self, row: Row, settings: ProviderSettings) -> None:
        self._row = row
        self._settings = settings
        url = base_url(row, settings)
        # A bare origin is what people write for local servers; all of them serve `/v1`.
        self._base = (urlsplit(url).path.rstrip("/") or "/v1") if url else "/v1"

    def path(self, operation: Operation, wire: FormatName, model: str) -> str | None:
        """Base path and the row's; the model is in the body."""
        path = static_path(self._row, operation, wire)
        return None if path is None else self._base + path

    def upstream_model(self, model: str) -> str:
        """The same name."""
        return model

    def connect(self, wiring: Wiring) -> Client | None:
        """An HTTP client."""
        return http_client(self._row, self._settings, wiring)
