"""`interlock policy shipped`: the policies that come with Interlock."""

from typing import Annotated

import typer

from interlock.cli.failures import reported
from interlock.gateway.shipped import shipped_names, shipped_policy

__all__ = ["shipped"]


def shipped(
    name: Annotated[str | None, typer.Argument(help="Print this one's text.")] = None,
) -> None:
    """List the policies that come with Interlock, or print one.

    In `gateway.policy_files` of the settings they are named `shipped:NAME`.

    Examples:

        interlock policy shipped

        interlock policy shipped users-words > mine.sqrt
    """
    if name is not None:
        with reported():
            typer.echo(shipped_policy(name).text, nl=False)
        return
    for known in shipped_names():
        first = shipped_policy(known).text.split("\n", 1)[0].removeprefix("// ")
        typer.echo(f"{known}  {first}")
