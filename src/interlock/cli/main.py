"""Assembles the command line from the groups beside this file."""

import typer

__all__ = ["app", "main"]

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")


@app.callback()
def root() -> None:
    """Interlock: decide every model call and tool call of a team."""


def main() -> None:
    """Entry point of the `interlock` script."""
    app()
