"""`interlock providers`: what is configured upstream, and does it answer.

Knows no file and no environment: the composition root says with `use` where settings
come from and how upstreams are opened.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Protocol

import msgspec
import typer
from rich.console import Console

from interlock.cli.failures import reported
from interlock.cli.local import ConfigOption, DataOption, grid, out
from interlock.kernel.clock import SystemClock
from interlock.providers.catalog import BUILT_IN, DEFAULTS, KINDS
from interlock.providers.model import Suffix, Upstreams
from interlock.providers.prices import PRICES_AS_OF
from interlock.providers.probe import ProbeResult, probe, section
from interlock.providers.settings import ProviderSettings, UpstreamSettings

__all__ = ["Loaded", "OpenUpstreams", "app", "use"]

app = typer.Typer(
    no_args_is_help=True, help="Upstreams: which are configured, and whether they answer."
)


class OpenUpstreams(Upstreams, Protocol):
    """Upstreams that can be closed again."""

    def close(self) -> None:
        """Closes every connection."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What the commands need from the composition root."""

    settings: UpstreamSettings
    connect: Callable[[], OpenUpstreams]
    """Called inside the event loop that will use them."""


class _Source:
    """Where settings come from; set once by `use`."""

    load: Callable[[Path | None, Path | None], Loaded] | None = None


def use(load: Callable[[Path | None, Path | None], Loaded]) -> None:
    """Sets how the commands get settings from a data directory and a settings file.

    `load` may raise InterlockError.
    """
    _Source.load = load


@app.command("list")
def list_providers(
    *,
    data: DataOption = None,
    config: ConfigOption = None,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Show every provider, configured or not. Keys are masked.

    Examples:

        interlock providers list

        interlock providers list --json
    """
    loaded = _load(data, config)
    settings = loaded.settings
    defaults = asyncio.run(_defaults(loaded))
    rows = [_row(settings, name, defaults) for name in _names(settings)]
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(rows)).decode())
        return
    columns = ("provider", "kind", "usable", "address", "formats", "models", "keys", "default for")
    table = grid(*columns, whole=("provider", "kind"))
    for row in rows:
        table.add_row(
            row.name,
            row.kind,
            row.state,
            row.base_url or "-",
            ", ".join(row.formats),
            _short(row.models) if row.models is not None else "any",
            ", ".join(f"{key.name} {key.masked}" for key in row.keys) or "-",
            ", ".join(row.default_for) or "-",
        )
    out.print(table)
    for alias, groups in settings.aliases.items():
        chain = " -> ".join(
            " | ".join(f"{d.provider}/{d.model}" for d in group) for group in groups
        )
        out.print(f"alias {alias}: {chain}", markup=False)
    out.print(f"built-in list prices as of {PRICES_AS_OF}")


@app.command("test")
def check_providers(
    name: Annotated[str | None, typer.Argument(help="One provider; absent: all usable.")] = None,
    *,
    data: DataOption = None,
    config: ConfigOption = None,
    model: Annotated[str | None, typer.Option(help="Model to ask.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for each.", min=0.1)] = 60.0,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Ask providers for one word, through the same door as every call.

    Exit code 0: all answered; 1: one did not, or there was none to ask; 2: no such provider.

    Examples:

        interlock providers test

        interlock providers test ollama --model qwen3 --timeout 10
    """
    loaded = _load(data, config)
    settings = loaded.settings
    if name is not None and section(settings, name) is None:
        typer.echo(f"error: no provider `{name}`", err=True)
        typer.echo("hint: `interlock providers list` shows them", err=True)
        raise typer.Exit(2)
    names = [name] if name is not None else [n for n in _names(settings) if _usable(settings, n)]
    if not names:
        typer.echo("error: no provider is configured", err=True)
        raise typer.Exit(1)
    with Console(stderr=True).status(f"asking {', '.join(names)}"):
        results = asyncio.run(_probe_all(loaded, names, model, timeout))
    if json:
        report = [asdict(result) for result in results]
        typer.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        _print_results(results)
    if not all(result.ok for result in results):
        raise typer.Exit(1)


class _Key(msgspec.Struct, frozen=True):
    name: str
    masked: str


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `list`."""

    name: str
    kind: str
    state: str
    """`yes`, `byok` (with the caller's key only), `no` or `disabled`."""
    base_url: str | None
    formats: tuple[str, ...]
    models: tuple[str, ...] | None
    keys: tuple[_Key, ...]
    default_for: tuple[str, ...]


def _load(data: Path | None, config: Path | None) -> Loaded:
    if _Source.load is None:
        typer.echo("no settings: this command line was not wired to a server", err=True)
        raise typer.Exit(1)
    with reported():
        return _Source.load(data, config)


def _names(settings: UpstreamSettings) -> list[str]:
    return list(dict.fromkeys([*settings.providers, *BUILT_IN]))


def _usable(settings: UpstreamSettings, name: str) -> bool:
    found = section(settings, name)
    return found is not None and found.configured


async def _defaults(loaded: Loaded) -> dict[Suffix, str]:
    """The provider each suffix leads to as things are."""
    upstreams = loaded.connect()
    try:
        return {suffix: upstreams.default_provider(suffix) for suffix in DEFAULTS}
    finally:
        upstreams.close()


def _row(settings: UpstreamSettings, name: str, defaults: Mapping[Suffix, str]) -> _Row:
    found = section(settings, name)
    assert found is not None  # noqa: S101 - names come from the same tables
    row = KINDS[found.kind]
    base_url = found.base_url or row.base_url
    return _Row(
        name=name,
        kind=found.kind,
        state=_state(found, reachable=base_url is not None),
        base_url="in process" if found.kind == "demo" and found.base_url is None else base_url,
        formats=found.formats or row.formats,
        models=found.models,
        keys=tuple(_Key(key.name, _mask(key.key.get_secret_value())) for key in found.keys),
        default_for=tuple(suffix for suffix, who in defaults.items() if who == name),
    )


def _state(found: ProviderSettings, *, reachable: bool) -> str:
    if not found.enabled:
        return "disabled"
    if found.configured:
        return "yes"
    return "byok" if reachable and found.byok else "no"


def _mask(key: str) -> str:
    """The last four characters of a long key, nothing of a short one."""
    return f"...{key[-4:]}" if len(key) >= 16 else "..."


def _short(models: Sequence[str]) -> str:
    shown = ", ".join(models[:4])
    return shown if len(models) <= 4 else f"{shown} and {len(models) - 4} more"


async def _probe_all(
    loaded: Loaded, names: Sequence[str], model: str | None, within_s: float
) -> list[ProbeResult]:
    upstreams = loaded.connect()
    clock = SystemClock()
    try:
        return await asyncio.gather(
            *(
                probe(upstreams, loaded.settings, name, clock=clock, model=model, within_s=within_s)
                for name in names
            )
        )
    finally:
        upstreams.close()


def _print_results(results: Sequence[ProbeResult]) -> None:
    table = grid("provider", "model", "result", "ms", "detail", whole=("provider",))
    for result in results:
        table.add_row(
            result.provider,
            result.model or "-",
            "ok" if result.ok else "failed",
            f"{result.seconds * 1000:.0f}",
            result.error or f"{result.wire}, status {result.status}",
        )
    out.print(table)
