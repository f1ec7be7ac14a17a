"""Assembles the command line from the groups beside this file."""

import typer

from interlock.cli import policy, providers
from interlock.cli.demo import demo
from interlock.cli.demo_upstream import demo_upstream
from interlock.cli.serve import serve

__all__ = ["app", "main"]

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")
app.command()(serve)
app.command()(demo)
app.command("demo-upstream")(demo_upstream)
app.add_typer(policy.app, name="policy")
app.add_typer(providers.app, name="providers")


@app.callback()
def root() -> None:
    """Interlock: decide every model call and tool call of a team."""


def main() -> None:
    """Entry point of the `interlock` script."""
    app()
