"""Which upstreams a name leads to: providers, allow-lists, aliases, defaults.

Routes are immutable and cached; a cached one never holds a caller's key.
"""

from collections.abc import Mapping, Sequence

from interlock.providers.catalog import DEFAULTS
from interlock.providers.errors import (
    ByokNotAllowedError,
    ModelNotAllowedError,
    OperationUnsupportedError,
    ProviderNotConfiguredError,
    UnknownProviderError,
)
from interlock.providers.model import Operation, Route, Suffix, Target
from interlock.providers.runtime import Provider
from interlock.providers.settings import DeploymentSettings, UpstreamSettings
from interlock.providers.wire.exchange import FormatName

__all__ = ["Directory"]

_CACHE_SIZE = 4096
_FORMATS: Mapping[Suffix, FormatName] = {
    "chat/completions": "chat",
    "messages": "messages",
    "responses": "responses",
    "generate": "chat",
}

Groups = tuple[tuple[Target, ...], ...]
CacheKey = tuple[str | None, str, Operation, bool, Suffix]


class Directory:
    """See the module."""

    def __init__(self, settings: UpstreamSettings, providers: Mapping[str, Provider]) -> None:
        self._settings = settings
        self._providers = providers
        self._cache: dict[CacheKey, Route] = {}
        self._defaults = {
            (suffix, byok): self._default(suffix, byok=byok)
            for suffix in DEFAULTS
            for byok in (False, True)
        }

    def resolve(
        self,
        provider: str | None,
        model: str,
        operation: Operation,
        byok: str | None,
        suffix: Suffix,
    ) -> Route:
        """See `Upstreams.resolve`."""
        key = (provider, model, operation, byok is not None, suffix)
        route = self._cache.get(key)
        if route is None:
            route = self._resolve(provider, model, operation, byok is not None, suffix)
            if len(self._cache) >= _CACHE_SIZE:
                self._cache.clear()
            self._cache[key] = route
        if byok is None:
            return route
        return Route(provider=route.provider, model=model, groups=route.groups, byok=byok)

    def default_provider(self, suffix: Suffix, *, byok: bool) -> str:
        """See `Upstreams.default_provider`."""
        return self._defaults[suffix, byok]

    def models(self, provider: str | None) -> Sequence[str]:
        """See `Upstreams.models`."""
        if provider is not None and provider not in self._providers:
            raise UnknownProviderError(provider)
        names = list(self._settings.aliases)
        for found in self._providers.values():
            if found.configured and provider in (None, found.name):
                names += found.models()
        return list(dict.fromkeys(names))

    def _resolve(
        self, provider: str | None, model: str, operation: Operation, byok: bool, suffix: Suffix
    ) -> Route:
        name = provider if provider is not None else self._defaults[suffix, byok]
        found = self._providers.get(name)
        if found is None or not found.settings.enabled:
            raise UnknownProviderError(name)
        if byok and not found.settings.byok:
            raise ByokNotAllowedError(name)
        groups = self._alias(model, operation, only=name if byok else None)
        if groups is None:
            groups = ((self._direct(found, model, operation, byok),),)
        where = name if provider is not None or byok else groups[0][0].provider
        return Route(provider=where, model=model, groups=groups)

    def _direct(self, found: Provider, model: str, operation: Operation, byok: bool) -> Target:
        if found.client is None or not (found.configured or byok):
            raise ProviderNotConfiguredError(found.name, reachable=found.client is not None)
        if not byok and operation != "models" and not found.allows(model):
            raise ModelNotAllowedError(found.name, model)
        target = found.target(model)
        if not _offers(found, operation, target):
            raise OperationUnsupportedError(found.name, operation)
        return target

    def _alias(self, model: str, operation: Operation, *, only: str | None) -> Groups | None:
        """Groups of an alias that can be used; None: no alias (or none of `only`'s).

        A caller's key goes to the provider of the path and nowhere else, so with `only`
        the other providers' deployments are left out, and so are pinned server keys.
        """
        alias = self._settings.aliases.get(model)
        if alias is None:
            return None
        groups = []
        for group in alias:
            targets = [self._target(item, only) for item in group]
            usable = tuple(
                target
                for target in targets
                if target is not None
                and _offers(self._providers[target.provider], operation, target)
            )
            if usable:
                groups.append(usable)
        if groups:
            return tuple(groups)
        if only is not None:
            return None
        raise ProviderNotConfiguredError(alias[0][0].provider, reachable=True)

    def _target(self, item: DeploymentSettings, only: str | None) -> Target | None:
        provider = self._providers[item.provider]
        if only is not None:
            if item.provider != only or provider.client is None:
                return None
            return provider.target(item.model, weight=item.weight)
        if not provider.configured:
            return None
        return provider.target(item.model, weight=item.weight, key=item.key)

    def _default(self, suffix: Suffix, *, byok: bool) -> str:
        chosen = self._settings.defaults.get(suffix)
        if chosen is not None:
            return chosen
        published = DEFAULTS[suffix]
        if byok and self._providers[published].settings.enabled:
            return published
        if self._providers[published].configured:
            return published
        wire = _FORMATS[suffix]
        configured = [p for p in self._providers.values() if p.configured and p.name != "demo"]
        speaking = [p for p in configured if wire in p.formats]
        return next((p.name for p in [*speaking, *configured]), "demo")


def _offers(provider: Provider, operation: Operation, target: Target) -> bool:
    return any(
        provider.adapter.path(operation, wire, target.model) is not None for wire in target.formats
    )
