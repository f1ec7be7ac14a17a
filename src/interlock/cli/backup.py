"""`interlock backup` and `interlock restore`: everything a server keeps, in one file."""

import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from interlock.app_store import backup_parts, migrate_store
from interlock.cli.failures import reported
from interlock.cli.local import ConfigOption, DataOption, JsonOption, emit_json, out, settings_of
from interlock.cli.progress import SlowBar
from interlock.ops.backup import Manifest, back_up, read_manifest
from interlock.ops.backup import restore as put_back
from interlock.ops.holding import held

__all__ = ["backup", "restore"]

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


def backup(
    file: FileArgument,
    *,
    without_secret: Annotated[
        bool,
        typer.Option(
            "--without-secret-key",
            help="Leave `secret.key` out; restoring needs it from elsewhere.",
        ),
    ] = False,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write everything a server keeps into one file. The server may go on meanwhile.

    The file holds what the server holds: keep it as safe as the data directory.

    Examples:

        interlock backup interlock-2026-11-27.tar.gz

        interlock backup /backups/today.tar.gz --data /var/lib/interlock --without-secret-key
    """
    settings = settings_of(data, config).settings
    with reported(), SlowBar("backing up") as bar:
        parts = backup_parts(settings)
        manifest = back_up(parts, file, now=time.time(), secrets=not without_secret, progress=bar)
    _told(manifest, file, "backed up", as_json=as_json)
    if settings.store.blobs_url is not None:
        typer.echo("note: the files in the object store are not part of it", err=True)


def restore(
    file: FileArgument,
    *,
    check: Annotated[bool, typer.Option("--check", help="Only say what the backup is of.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a backup into an empty data directory, or an empty database.

    A backup of SQLite may be restored into PostgreSQL and the other way round.

    Examples:

        interlock restore interlock-2026-11-27.tar.gz --data /var/lib/interlock

        INTERLOCK_DATABASE_URL=postgresql://localhost/interlock interlock restore today.tar.gz
    """
    if check:
        with reported():
            manifest = read_manifest(file)
        _told(manifest, file, "holds", as_json=as_json)
        return
    settings = settings_of(data, config).settings
    with reported(), held(settings.data), SlowBar("restoring") as bar:
        read_manifest(file)
        migrate_store(settings)
        manifest = put_back(file, backup_parts(settings), progress=bar)
        key_id = backup_parts(settings).key_id
    _told(manifest, file, "restored", as_json=as_json)
    if key_id != manifest.key_id:
        typer.echo(
            "warning: the secret key here is not the one of the backup; set INTERLOCK_SECRET_KEY "
            "or `secret.key` to that one, or enter provider credentials again",
            err=True,
        )


def _told(manifest: Manifest, file: Path, verb: str, *, as_json: bool) -> None:
    rows = sum(one.rows for one in manifest.tables.values())
    if as_json:
        emit_json(
            {
                **msgspec.to_builtins(manifest),
                "rows": rows,
                "size_bytes": file.stat().st_size,
            }
        )
        return
    size = f"{file.stat().st_size / 1e6:,.1f} MB"
    out.print(
        f"{verb} [bold]{rows:,}[/] rows of {len(manifest.tables)} tables and "
        f"{len(manifest.files)} files ({escape(str(file))}, {size})"
    )
    made = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(manifest.created_at))
    out.print(f"  made {made} by Interlock {manifest.version}, schema {manifest.revision}")
