"""`interlock doctor`: what is wrong with this installation, and what to do about it."""

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from interlock.app_doctor import checks_of
from interlock.cli.local import (
    EXIT_FAILED,
    ConfigOption,
    DataOption,
    JsonOption,
    emit_json,
    out,
    settings_of,
)
from interlock.ops.checks import Finding, run_checks

__all__ = ["doctor"]

_SIGNS = {"ok": "[green]ok[/]     ", "warning": "[yellow]warning[/]", "failed": "[red]failed[/] "}


def doctor(
    *,
    providers: Annotated[
        bool,
        typer.Option("--providers", help="Also ask every configured provider for its models."),
    ] = False,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at everything a server depends on. Changes nothing; exit code 1 if something failed.

    Examples:

        interlock doctor

        interlock doctor --providers --data /var/lib/interlock

        interlock doctor --json
    """
    settings = settings_of(data, config).settings

    def told(one: Finding) -> None:
        if not as_json:
            _say(one)

    found = asyncio.run(run_checks(checks_of(settings, providers=providers), told=told))
    failed = [one for one in found if one.state == "failed"]
    if as_json:
        emit_json([asdict(one) for one in found])
    else:
        warned = sum(one.state == "warning" for one in found)
        what = f"{len(failed)} failed, {warned} to look at" if failed or warned else "all is well"
        out.print(f"\n{len(found)} checks: {what}")
    if failed:
        raise typer.Exit(EXIT_FAILED)


def _say(one: Finding) -> None:
    out.print(f"{_SIGNS[one.state]} [bold]{one.name:<15}[/] {escape(one.said)}", soft_wrap=True)
    if one.hint:
        out.print(f"        {'':<15} [dim]{escape(one.hint)}[/]", soft_wrap=True)
