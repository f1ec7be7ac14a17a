"""Azure OpenAI: the model is a deployment in the path, the API version a query.

Responses is the exception: its deployment stands in the body like any model name.
The configured base URL is the endpoint (`https://NAME.openai.azure.com`).
"""

from urllib.parse import quote, urlsplit

from interlock.providers.adapter import Client, Wiring, http_client
from interlock.providers.catalog import Row
from interlock.providers.model import Operation
from interlock.providers.settings import ProviderSettings
from interlock.providers.wire.exchange import FormatName

__all__ = ["AzureAdapter"]


class AzureAdapter:
    """See the module."""

    def __init__(self, row: Row, settings: ProviderSettings) -> None:
        self._row = row
        self._settings = settings
        path = urlsplit(settings.base_url).path.rstrip("/") if settings.base_url else ""
        self._base = path.removesuffix("/openai") + "/openai"
        self._version = quote(settings.api_version, safe="")
        self._responses_version = quote(settings.responses_api_version, safe="")

    def path(self, operation: Operation, wire: FormatName, model: str) -> str | None:
        """`model` is the deployment (see `upstream_model`)."""
        if operation == "models":
            return f"{self._base}/models?api-version={self._version}"
        if operation == "generate" and wire == "responses":
            return f"{self._base}/responses?api-version={self._responses_version}"
        call = {"generate": "chat/completions", "embeddings": "embeddings"}.get(operation)
        if call is None or (operation == "generate" and wire != "chat"):
            return None
        deployment = quote(model, safe="")
        return f"{self._base}/deployments/{deployment}/{call}?api-version={self._version}"

    def upstream_model(self, model: str) -> str:
        """The deployment of `model`."""
        return self._settings.deployments.get(model, model)

    def connect(self, wiring: Wiring) -> Client | None:
        """An HTTP client, once an endpoint is configured."""
        return http_client(self._row, self._settings, wiring)
