"""The `providers` commands, told where settings and upstreams come from."""

from pathlib import Path

from interlock.app_settings import load_settings
from interlock.cli import providers
from interlock.providers.build import build_upstreams
from interlock.providers.demo import DemoUpstream

__all__ = ["app"]


def _providers(data: Path | None, config: Path | None) -> providers.Loaded:
    settings = load_settings(data=data, config=config).settings.upstreams
    return providers.Loaded(
        settings=settings, connect=lambda: build_upstreams(settings, demo=DemoUpstream())
    )


providers.use(_providers)
app = providers.app
