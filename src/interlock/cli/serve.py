"""`interlock serve`: the server."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from interlock.app import serve as run_server
from interlock.app_settings import load_settings
from interlock.cli.failures import reported
from interlock.identity.bootstrap import BootstrapResult
from interlock.telemetry.logs import configure_logs

__all__ = ["announce_made", "serve"]


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; 0 takes a free one.", show_default="8080")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Directory of everything the server keeps.", show_default="interlock-data"
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings file.", show_default="DATA/interlock.toml")
    ] = None,
) -> None:
    """Serve the gateway.

    The first start creates an administrator and a gateway key and prints them once.

    Examples:

        interlock serve

        interlock serve --host 0.0.0.0 --port 80 --data /var/lib/interlock

        INTERLOCK_DATABASE_URL=postgresql://localhost/interlock interlock serve
    """
    console = Console(highlight=False, soft_wrap=True)
    with reported():
        loaded = load_settings(
            data=data, config=config, options={"server.host": host, "server.port": port}
        )
        configure_logs(loaded.settings.telemetry)

        def ready(base_url: str, made: BootstrapResult) -> None:
            _announce(console, base_url, made)

        try:
            import uvloop  # noqa: PLC0415 - not on every platform
        except ImportError:
            asyncio.run(run_server(loaded.settings, ready=ready))
        else:
            uvloop.run(run_server(loaded.settings, ready=ready))


def _announce(console: Console, base_url: str, made: BootstrapResult) -> None:
    console.print(f"Interlock is serving on {base_url}")
    announce_made(console, made)
    console.print(f"\nLook at it: {base_url}/console")
    console.print(
        "\nPoint a client at it:\n"
        f"  OpenAI SDK     base_url={base_url}/control/chat/PROVIDER/v1\n"
        f"  Anthropic SDK  base_url={base_url}/control/chat/PROVIDER\n"
        f"  PROVIDER       openai, anthropic, ...: `interlock providers list`; `demo` needs no "
        "provider key"
    )


def announce_made(console: Console, made: BootstrapResult) -> None:
    """Shows the credentials that a first start made, if it was one."""
    if made.admin_email is not None:
        console.print("\nShown only this once:")
        console.print(f"  administrator  {made.admin_email}")
        if made.admin_password is not None:
            console.print(f"  password       {made.admin_password}")
        if made.key is not None:
            console.print(f"  gateway key    {made.key}")
