"""The demo model: the same paths as everyone, but in this process.

With a base URL of its own configured (`providers.demo.base_url`) it is reached over
HTTP like any other, which is how the network is put between in tests.
"""

from interlock.providers.adapter import Client, Wiring, http_client
from interlock.providers.adapters.standard import StandardAdapter
from interlock.providers.catalog import Row
from interlock.providers.http import Origin
from interlock.providers.in_process import InProcessClient
from interlock.providers.settings import ProviderSettings

__all__ = ["DemoAdapter"]


class DemoAdapter(StandardAdapter):
    """See the module."""

    def __init__(self, row: Row, settings: ProviderSettings) -> None:
        super().__init__(row, settings)
        self._demo = (row, settings)

    def connect(self, wiring: Wiring) -> Client | None:
        """The injected model, or an HTTP client when a base URL is set."""
        row, settings = self._demo
        if settings.base_url is not None:
            return http_client(row, settings, wiring)
        if wiring.in_process is None or row.base_url is None:
            return None
        return InProcessClient(
            wiring.in_process,
            Origin.parse(row.base_url),
            watchdog=wiring.watchdog,
            first_byte_s=wiring.http.first_byte_s,
            idle_s=wiring.http.idle_s,
            limit=wiring.http.max_body_bytes,
        )
