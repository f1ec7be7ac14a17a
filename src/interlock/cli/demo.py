"""`interlock demo`: the demonstration."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from interlock.demo.run import play

__all__ = ["demo"]


def demo(
    host: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to serve on; another one if it is busy.")] = 8080,
    data: Annotated[
        Path | None, typer.Option(help="Keep the data here; default: a temporary directory.")
    ] = None,
    exit_: Annotated[
        bool,
        typer.Option("--exit", envvar="DEMO_EXIT", help="Stop when the demonstration is over."),
    ] = False,
) -> None:
    """Start a server with the demo model and show what a policy stops.

    Needs no provider key and no network.

    Examples:

        interlock demo

        interlock demo --exit --port 9000
    """
    console = Console(highlight=False)
    raise typer.Exit(play(host=host, port=port, data=data, stay=not exit_, console=console))
