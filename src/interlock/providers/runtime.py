"""Providers and deployments as they live in the process: clients, keys, breakers.

Everything that is the same for every request of a deployment is made once here:
request lines, header prefixes, credential lines.
"""

from collections.abc import Mapping

from interlock import __version__
from interlock.providers.adapter import Adapter, Client
from interlock.providers.breaker import Breaker
from interlock.providers.catalog import KINDS, Row
from interlock.providers.http import Prepared
from interlock.providers.keys import KeyPool, KeyState
from interlock.providers.model import Operation, Target
from interlock.providers.prices import list_price, well_known
from interlock.providers.settings import ProviderSettings
from interlock.providers.wire.exchange import FormatName

__all__ = ["Lane", "Provider"]

_FIXED = (("accept-encoding", "identity"),)
_KEYS_TRIED = 4
_SECRET_LENGTH = 12
"""A configured header value of that length may well be a token."""
_AGENT = f"interlock/{__version__}"


class Provider:
    """One upstream, ready for use. `client` is None when it cannot be reached."""

    __slots__ = (
        "_allowed",
        "_allowed_prefixes",
        "adapter",
        "client",
        "configured",
        "forced",
        "formats",
        "key_header",
        "keys",
        "name",
        "row",
        "secrets",
        "settings",
    )

    def __init__(
        self, name: str, settings: ProviderSettings, adapter: Adapter, client: Client | None
    ) -> None:
        row: Row = KINDS[settings.kind]
        self.name = name
        self.settings = settings
        self.row = row
        self.adapter = adapter
        self.client = client
        self.configured = settings.configured and client is not None
        self.formats: tuple[FormatName, ...] = settings.formats or row.formats
        self.key_header = settings.key_header or row.key_header
        self.keys = KeyPool(
            [
                KeyState(key.name, key.key.get_secret_value(), self.key_header, key.weight)
                for key in settings.keys
            ]
            or [KeyState("none", "", self.key_header)]
        )
        self.forced = {
            header.lower(): value.get_secret_value() for header, value in settings.headers.items()
        }
        """Headers the operator has set, lower-case; no caller replaces them."""
        self.secrets = tuple(
            [key.secret for key in self.keys.keys]
            + [value for value in self.forced.values() if len(value) >= _SECRET_LENGTH]
        )
        """What must not be shown of an upstream's texts."""
        names = settings.models
        self._allowed = None if names is None else {n for n in names if not n.endswith("*")}
        self._allowed_prefixes = tuple(n[:-1] for n in names or () if n.endswith("*"))

    def __repr__(self) -> str:
        return f"Provider({self.name!r})"

    def allows(self, model: str) -> bool:
        """Whether the server's key may be used for `model`."""
        if self._allowed is None or model in self._allowed:
            return True
        return bool(self._allowed_prefixes) and model.startswith(self._allowed_prefixes)

    def models(self) -> list[str]:
        """Names to list: the allow-list (patterns filled from what is well known), or all that."""
        known = [*self.settings.deployments, *well_known(self.settings.kind)]
        if self._allowed is None:
            return list(dict.fromkeys(known))
        named = [name for name in self.settings.models or () if not name.endswith("*")]
        return list(dict.fromkeys([*named, *(name for name in known if self.allows(name))]))

    def target(self, model: str, *, weight: float = 1.0, key: str | None = None) -> Target:
        """The deployment that serves `model` here."""
        prices: Mapping[str, object] = self.settings.prices
        price = (
            self.settings.prices[model].price()
            if model in prices
            else list_price(self.settings.kind, model)
        )
        return Target(
            provider=self.name,
            deployment=f"{self.name}/{model}" + (f"#{key}" if key else ""),
            model=self.adapter.upstream_model(model),
            formats=self.formats,
            price=price,
            weight=weight,
            key=key,
        )


class Lane:
    """The state of one deployment, shared by every route that leads to it."""

    __slots__ = ("_prepared", "breaker", "key", "keys", "model", "provider", "total_s")

    def __init__(self, provider: Provider, target: Target) -> None:
        self.provider = provider
        self.model = target.model
        self.key = target.key
        self.breaker = Breaker(provider.settings.breaker)
        self.total_s = provider.settings.timeouts.total_s
        """Time allowed from the first attempt to the end of the answer."""
        self.keys = min(len(provider.keys.keys), _KEYS_TRIED)
        """How many more attempts its keys are good for."""
        self._prepared: dict[tuple[Operation, FormatName, frozenset[str]], Prepared | None] = {}

    def prepared(
        self, operation: Operation, wire: FormatName, given: frozenset[str]
    ) -> Prepared | None:
        """Request line and fixed headers; None: the provider has no such call.

        `given`: lower-case names of headers the caller sends, which replace our defaults.
        """
        key = (operation, wire, given)
        try:
            return self._prepared[key]
        except KeyError:
            if len(self._prepared) > 64:
                self._prepared.clear()
            made = self._prepared[key] = self._prepare(operation, wire, given)
            return made

    def _prepare(
        self, operation: Operation, wire: FormatName, given: frozenset[str]
    ) -> Prepared | None:
        provider = self.provider
        path = provider.adapter.path(operation, wire, self.model)
        if path is None or provider.client is None:
            return None
        forced = provider.forced
        defaults = [("user-agent", _AGENT), *provider.row.headers]
        headers = [
            *_FIXED,
            *((n, v) for n, v in defaults if n not in given and n not in forced),
            *forced.items(),
        ]
        if operation != "models":
            headers.append(("content-type", "application/json"))
        method = "GET" if operation == "models" else "POST"
        return Prepared.make(method, provider.client.origin, path, headers)
