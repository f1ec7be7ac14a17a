"""`interlock migrate`: bring the database schema up to date, or see where it stands."""

from typing import Annotated

import typer
from rich.markup import escape

from interlock.app_store import check_store, migrate_store, open_database
from interlock.cli.failures import reported
from interlock.cli.local import (
    EXIT_FAILED,
    ConfigOption,
    DataOption,
    JsonOption,
    emit_json,
    out,
    settings_of,
)

__all__ = ["migrate"]


def migrate(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Only say where the schema stands; exit 1 if not ready.")
    ] = False,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the database schema up to date. The server does the same when it starts.

    Tries again what was interrupted. Each revision is one transaction.

    Examples:

        interlock migrate --check

        interlock migrate --data /var/lib/interlock
    """
    settings = settings_of(data, config).settings
    with reported():
        applied = () if check else migrate_store(settings, retry=True)
        where = open_database(settings)
        if check and where.dialect == "sqlite" and not where.path.exists():
            # Looking must not create the file.
            if as_json:
                emit_json({"ready": False, "current": None, "database": where.describe()})
            else:
                out.print(f"there is no database at [bold]{escape(str(where.path))}[/] yet")
            raise typer.Exit(EXIT_FAILED)
        status = check_store(settings)
    if as_json:
        emit_json(
            {
                "ready": status.ready,
                "current": status.current,
                "head": status.head,
                "pending": status.pending,
                "interrupted": status.interrupted,
                "differences": status.differences,
                "applied": applied,
                "database": where.describe(),
            }
        )
    else:
        for revision in applied:
            out.print(f"applied [bold]{revision}[/]")
        if status.interrupted:
            out.print(f"migration [bold]{escape(status.interrupted)}[/] was interrupted")
        for revision in status.pending:
            out.print(f"pending [bold]{revision}[/]")
        for line in status.differences:
            out.print(escape(line))
        if status.ready:
            out.print(f"the schema is up to date at revision [bold]{status.current}[/]")
    if not status.ready:
        raise typer.Exit(EXIT_FAILED)
