"""`interlock worker`: durable work in a process of its own."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from interlock.app import work as run_worker
from interlock.app_settings import load_settings
from interlock.cli.failures import reported
from interlock.cli.serve import announce_made
from interlock.identity.bootstrap import BootstrapResult
from interlock.telemetry.logs import configure_logs

__all__ = ["worker"]


def worker(
    data: Annotated[
        Path | None,
        typer.Option(help="Directory of files and spools.", show_default="interlock-data"),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings file.", show_default="DATA/interlock.toml")
    ] = None,
) -> None:
    """Make agents' replies beside the servers, on the same PostgreSQL database.

    As many as wanted; they share the work, and one that dies is taken over from. Servers with
    `server.durable_work = false` leave all of it to workers.

    Examples:

        INTERLOCK_DATABASE_URL=postgresql://localhost/interlock interlock worker

        interlock worker --config /etc/interlock.toml --data /var/lib/interlock-worker-1
    """
    console = Console(highlight=False, soft_wrap=True)
    with reported():
        loaded = load_settings(data=data, config=config)
        configure_logs(loaded.settings.telemetry)

        def ready(made: BootstrapResult) -> None:
            console.print("Interlock is working")
            announce_made(console, made)

        try:
            import uvloop  # noqa: PLC0415 - not on every platform
        except ImportError:
            asyncio.run(run_worker(loaded.settings, ready=ready))
        else:
            uvloop.run(run_worker(loaded.settings, ready=ready))
