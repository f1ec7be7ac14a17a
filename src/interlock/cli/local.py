"""What the commands on a data directory share: options, opening the store, errors.

The commands work on the store itself, beside a running server or without one. A
running server sees a change of a key within seconds (`keys.ttl_s`).
"""

import asyncio
import getpass
import os
import sys
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from interlock.app_settings import LoadedSettings, load_settings
from interlock.app_store import Store, check_store, open_database, open_store
from interlock.cli.failures import reported
from interlock.identity.model import Actor
from interlock.storage.errors import SchemaError

__all__ = [
    "ConfigOption",
    "DataOption",
    "JsonOption",
    "actor",
    "emit_json",
    "grid",
    "on_store",
    "out",
    "settings_of",
]

T = TypeVar("T")

EXIT_FAILED = 1

DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Data directory of the server (INTERLOCK_DATA).", metavar="DIR"),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file (INTERLOCK_CONFIG).", metavar="FILE"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

# A pipe has no width: ids must not be cut there.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)


def settings_of(data: Path | None, config: Path | None = None) -> LoadedSettings:
    """The settings a command works with; ends it with a message when they are wrong.

    Without what the server alone needs: the secrets of its providers are seldom set in the
    shell of who reads its log.
    """
    with reported():
        return load_settings(data=data, config=config, calls_providers=False)


def on_store(
    work: Callable[[Store], Awaitable[T]], *, data: Path | None, config: Path | None = None
) -> T:
    """Runs `work` on the store of a data directory and returns its result.

    Ends the command with a message, without a traceback, when there is no store, its
    schema is not ready, or `work` raises an InterlockError.
    """
    loaded = settings_of(data, config)
    with reported():
        database = open_database(loaded.settings)
        if database.dialect == "sqlite" and not database.path.exists():
            raise SchemaError(
                f"there is no database at `{database.path}`",
                hint="is `--data` right? `interlock serve` makes a new one",
            )
        status = check_store(loaded.settings)
        if not status.ready:
            raise SchemaError(
                "the database schema is not the one of this version",
                hint="`interlock migrate --check` says why, `interlock migrate` brings it up "
                "to date",
            )
        return asyncio.run(_run(work, loaded))


def emit_json(value: object) -> None:
    """Prints a value as indented JSON."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def actor() -> Actor:
    """Who runs the command, for the audit log."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        name = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return Actor(name=f"local:{name}", surface="cli")


def grid(*columns: str, whole: Collection[str] = ()) -> Table:
    """A table; the columns in `whole` are never cut, because people copy from them."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in columns:
        table.add_column(name, no_wrap=name in whole, overflow="fold")
    return table


async def _run(work: Callable[[Store], Awaitable[T]], loaded: LoadedSettings) -> T:
    store = open_store(loaded.settings)
    try:
        return await work(store)
    finally:
        await store.close()
