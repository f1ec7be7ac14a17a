"""Puts the upstreams together from settings; called by the composition root."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from interlock.kernel.clock import Clock, SystemClock
from interlock.providers.adapter import Wiring
from interlock.providers.catalog import BUILT_IN, KINDS
from interlock.providers.directory import Directory
from interlock.providers.http import HttpSettings, Origin, Watchdog
from interlock.providers.http.tunnel import Proxy
from interlock.providers.in_process import InProcessUpstream
from interlock.providers.registry import ADAPTERS
from interlock.providers.router import Observer, Router
from interlock.providers.runtime import Provider
from interlock.providers.settings import (
    ProviderSettings,
    UpstreamSettings,
    UpstreamSettingsError,
    built_in,
)

__all__ = ["build_upstreams"]


def build_upstreams(
    settings: UpstreamSettings,
    *,
    clock: Clock | None = None,
    demo: InProcessUpstream | None = None,
    observer: Observer | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    draw: Callable[[], float] = random.random,
    watchdog: Watchdog | None = None,
) -> Router:
    """The upstreams of this process.

    `demo` is the model that serves provider `demo` when no base URL is set for it. `draw`
    gives numbers in 0..1 for weights and jitter, `watchdog` keeps the time-outs. Needs no
    running event loop yet.

    Raises UpstreamSettingsError for a `ca_file` that cannot be used.
    """
    clock = clock or SystemClock()
    if watchdog is None:
        watchdog = Watchdog(clock.monotonic)
    sections = dict(settings.providers)
    for name in BUILT_IN:
        if name not in sections:
            sections[name] = built_in(name)
    providers = {
        name: _provider(name, section, settings, watchdog, demo)
        for name, section in sections.items()
    }
    return Router(
        Directory(settings, providers),
        providers,
        clock=clock,
        watchdog=watchdog,
        observer=observer,
        sleep=sleep,
        draw=draw,
    )


def _provider(
    name: str,
    section: ProviderSettings,
    settings: UpstreamSettings,
    watchdog: Watchdog,
    demo: InProcessUpstream | None,
) -> Provider:
    row = KINDS[section.kind]
    adapter = ADAPTERS[row.adapter](row, section)
    times = section.timeouts
    http = HttpSettings(
        connect_s=times.connect_s,
        first_byte_s=times.first_byte_s,
        idle_s=times.idle_s,
        queue_s=times.queue_s,
        max_connections=section.max_concurrency,
        max_body_bytes=section.max_body_bytes,
        ca_file=section.ca_file,
        proxy=_proxy(section, settings),
    )
    client = None
    if section.enabled:
        try:
            client = adapter.connect(Wiring(http=http, watchdog=watchdog, in_process=demo))
        except OSError as error:
            # ssl.SSLError is one too: no certificate in the file.
            reason = error.strerror or "holds no certificate"
            raise UpstreamSettingsError(f"providers.{name}.ca_file: {reason}") from None
    return Provider(name, section, adapter, client)


def _proxy(section: ProviderSettings, settings: UpstreamSettings) -> Proxy | None:
    """The provider's own proxy, else the general one unless the host is exempt."""
    if section.proxy is not None:
        return Proxy.parse(section.proxy.get_secret_value())
    url = section.base_url or KINDS[section.kind].base_url
    if settings.proxy is None or url is None:
        return None
    host = Origin.parse(url).host
    for exempt in settings.no_proxy:
        suffix = exempt.lstrip("*").lower()
        if suffix == "" or host == suffix.lstrip(".") or host.endswith("." + suffix.lstrip(".")):
            return None
    return Proxy.parse(settings.proxy.get_secret_value())
