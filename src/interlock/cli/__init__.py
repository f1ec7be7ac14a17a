"""The `interlock` command: one typer application, one file per group of commands."""

from interlock.cli.main import main

__all__ = ["main"]
