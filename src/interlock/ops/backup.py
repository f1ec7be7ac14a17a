"""Backups: everything a server keeps, in one file that any supported database can take.

A backup is a gzipped tar: `manifest.json`, one `tables/NAME.ndjson` per table (first line the
columns, then one row a line), and `files/...` of the data directory. Rows come from one
snapshot, so a running server may go on. Restoring checks every sum before anything becomes
true, and works across databases: that is also how a server moves from SQLite to PostgreSQL.
"""

import base64
import gzip
import hashlib
import io
import os
import sqlite3
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import msgspec
from sqlalchemy import Connection, LargeBinary, MetaData, Table, func, insert, select, text

from interlock import __version__
from interlock.ops.errors import BackupError, StoreNotEmptyError
from interlock.storage.engine import Database
from interlock.storage.secrets import KEY_FILE

__all__ = ["FILES", "Backup", "Manifest", "back_up", "read_manifest", "restore"]

FORMAT: Final = 1
FILES: Final = (KEY_FILE, "interlock.toml")
"""Single files of the data directory that go into a backup."""
_FOLDERS: Final = ("blobs",)
_DURABLE: Final = "durable.db"
_BATCH: Final = 500
_MANIFEST: Final = "manifest.json"

Progress = Callable[[int, int], None]
"""Told (done, of), in tables."""


class TableFacts(msgspec.Struct, frozen=True):
    """What a table's file holds."""

    rows: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup is of."""

    format: int
    version: str
    revision: str
    created_at: float
    dialect: str
    key_id: str
    """Identifies the secret key that stored credentials are encrypted with."""
    tables: dict[str, TableFacts]
    files: dict[str, str]
    """Path -> SHA-256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A server's parts that are backed up, or restored into."""

    database: Database
    metadata: MetaData
    data: Path
    revision: str
    """Of the schema this version works with."""
    key_id: str


def back_up(
    source: Backup, target: Path, *, now: float, secrets: bool = True, progress: Progress
) -> Manifest:
    """Writes a backup; the file appears whole or not at all, readable by its owner only.

    Without `secrets` the secret key stays out: whoever restores it must have the key.

    Raises:
        BackupError: the file exists already, or cannot be written.
        StoreUnavailable: the database does not answer.
    """
    if target.exists():
        raise BackupError(f"`{target}` exists already", hint="name another file")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as scratch:
            whole = Path(scratch) / "backup.tar.gz"
            descriptor = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with (
                os.fdopen(descriptor, "wb") as raw,
                gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, mtime=int(now)) as packed,
                tarfile.open(fileobj=packed, mode="w|") as archive,
            ):
                tables = _add_tables(source, archive, Path(scratch), progress)
                files = _add_files(source.data, archive, Path(scratch), secrets=secrets)
                manifest = Manifest(
                    format=FORMAT,
                    version=__version__,
                    revision=source.revision,
                    created_at=now,
                    dialect=source.database.dialect,
                    key_id=source.key_id,
                    tables=tables,
                    files=files,
                )
                _add(archive, _MANIFEST, msgspec.json.encode(manifest))
            os.replace(whole, target)
    except OSError as error:
        raise BackupError(f"`{target}` cannot be written: {error.strerror}") from error
    return manifest


def read_manifest(path: Path) -> Manifest:
    """What a backup says it is, without checking its rows. Raises BackupError."""
    with _opened(path) as archive:
        for member in archive:
            if member.name == _MANIFEST:
                return _manifest(archive, member)
    raise BackupError(f"`{path}` is no backup of Interlock, or is cut off")


def restore(path: Path, target: Backup, *, progress: Progress) -> Manifest:
    """Puts a backup into a migrated, empty store.

    Every sum is compared first; then all rows become true in one transaction, or none.

    Raises:
        BackupError: no backup, damaged, or of another revision of the schema.
        StoreNotEmptyError: the database has rows.
        StoreUnavailable: the database does not answer.
    """
    manifest = read_manifest(path)
    if manifest.format != FORMAT or manifest.revision != target.revision:
        raise BackupError(
            f"the backup was made by Interlock {manifest.version} at schema revision "
            f"`{manifest.revision}`, this version works with `{target.revision}`",
            hint="restore it with that version, then start this one on it",
        )
    with tempfile.TemporaryDirectory(dir=_existing(target.data), prefix=".restore-") as scratch:
        folder = Path(scratch)
        sums = _unpacked(path, folder)
        for name, facts in manifest.tables.items():
            if sums.get(f"tables/{name}.ndjson") != facts.sha256:
                raise BackupError(f"table `{name}` of the backup is damaged or missing")
        for name, expected in manifest.files.items():
            if sums.get(f"files/{name}") != expected:
                raise BackupError(f"file `{name}` of the backup is damaged or missing")
        with target.database.migration_connection() as connection, connection.begin():
            _check_empty(connection, target)
            _insert_all(connection, target, folder, manifest, progress)
            for name in manifest.files:
                place = target.data / name
                place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.replace(folder / "files" / name, place)
    return manifest


def _add_tables(
    source: Backup, archive: tarfile.TarFile, scratch: Path, progress: Progress
) -> dict[str, TableFacts]:
    facts: dict[str, TableFacts] = {}
    tables = source.metadata.sorted_tables
    with source.database.snapshot() as connection:
        for done, table in enumerate(tables):
            progress(done, len(tables))
            dumped = scratch / "table"
            facts[table.name] = _dump(connection, table, dumped)
            archive.add(dumped, f"tables/{table.name}.ndjson", filter=_plain)
    progress(len(tables), len(tables))
    return facts


def _dump(connection: Connection, table: Table, path: Path) -> TableFacts:
    """One table, in the order of its key: whoever is referred to inside it comes first."""
    digest, rows = hashlib.sha256(), 0
    order = list(table.primary_key.columns)
    with path.open("wb") as file:

        def write(value: object) -> None:
            line = msgspec.json.encode(value, enc_hook=_binary) + b"\n"
            digest.update(line)
            file.write(line)

        write([f"{column.name}" for column in table.columns])
        query = select(table).order_by(*order).execution_options(yield_per=_BATCH)
        for row in connection.execute(query):
            write([_stored(value) for value in row])
            rows += 1
    return TableFacts(rows, digest.hexdigest())


def _stored(value: object) -> object:
    return base64.b64encode(value).decode() if isinstance(value, bytes | memoryview) else value


def _binary(value: object) -> object:
    raise TypeError(f"a column of type {type(value).__name__} cannot be backed up")


def _add_files(
    data: Path, archive: tarfile.TarFile, scratch: Path, *, secrets: bool
) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in _files(data, secrets=secrets):
        name = path.relative_to(data).as_posix()
        content = path.read_bytes()
        found[name] = hashlib.sha256(content).hexdigest()
        _add(archive, f"files/{name}", content)
    if (data / _DURABLE).exists():
        copy = scratch / _DURABLE
        with (
            closing(sqlite3.connect(data / _DURABLE)) as original,
            closing(sqlite3.connect(copy)) as copied,
        ):
            original.backup(copied)
        content = copy.read_bytes()
        found[_DURABLE] = hashlib.sha256(content).hexdigest()
        _add(archive, f"files/{_DURABLE}", content)
    return found


def _files(data: Path, *, secrets: bool) -> Iterator[Path]:
    for name in FILES:
        if (data / name).is_file() and (secrets or name != KEY_FILE):
            yield data / name
    for folder in _FOLDERS:
        yield from sorted(one for one in (data / folder).rglob("*") if one.is_file())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o600
    archive.addfile(info, io.BytesIO(content))


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without who made the backup, where and when."""
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    info.mode = 0o600
    return info


class _opened:  # noqa: N801 - used like a function
    """A backup for reading; whatever is wrong with the file becomes a BackupError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> tarfile.TarFile:
        try:
            self._archive = tarfile.open(self._path, mode="r|gz")
        except (OSError, tarfile.TarError, zlib.error, EOFError) as error:
            raise self._unusable(error) from error
        return self._archive

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._archive.close()
        if isinstance(error, OSError | tarfile.TarError | zlib.error | EOFError):
            raise self._unusable(error) from error

    def _unusable(self, error: BaseException) -> BackupError:
        why = getattr(error, "strerror", None) or "it is no backup of Interlock, or is cut off"
        return BackupError(f"`{self._path}` cannot be read: {why}")


def _manifest(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Manifest:
    file = archive.extractfile(member)
    try:
        return msgspec.json.decode(file.read() if file else b"", type=Manifest)
    except msgspec.DecodeError:
        raise BackupError("the manifest of the backup cannot be read") from None


def _unpacked(path: Path, folder: Path) -> dict[str, str]:
    """Unpacks the members a backup has, and no others; their sums."""
    sums: dict[str, str] = {}
    with _opened(path) as archive:
        for member in archive:
            parts = Path(member.name).parts
            if not member.isfile() or parts[:1] not in {("tables",), ("files",)}:
                continue
            if ".." in parts or Path(member.name).is_absolute():
                raise BackupError(f"the backup has a file of a forbidden name: `{member.name}`")
            file = archive.extractfile(member)
            assert file is not None  # noqa: S101 - it is a file
            place = folder / member.name
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            sums[member.name] = _copied(file, place)
    return sums


def _copied(file: IO[bytes], place: Path) -> str:
    digest = hashlib.sha256()
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            out.write(chunk)
    return digest.hexdigest()


def _check_empty(connection: Connection, target: Backup) -> None:
    for table in target.metadata.sorted_tables:
        if connection.execute(select(table).limit(1)).first() is not None:
            raise StoreNotEmptyError(target.database.describe())


def _insert_all(
    connection: Connection,
    target: Backup,
    folder: Path,
    manifest: Manifest,
    progress: Progress,
) -> None:
    tables = target.metadata.sorted_tables
    unknown = set(manifest.tables) - {table.name for table in tables}
    if unknown:
        raise BackupError(f"the backup has a table `{sorted(unknown)[0]}` that is not known here")
    if target.database.dialect == "sqlite":
        connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
    for done, table in enumerate(tables):
        progress(done, len(tables))
        path = folder / "tables" / f"{table.name}.ndjson"
        if table.name in manifest.tables:
            rows = _insert(connection, table, path)
            if rows != manifest.tables[table.name].rows:
                raise BackupError(f"table `{table.name}` of the backup has rows too few or many")
            _set_sequence(connection, target, table)
    progress(len(tables), len(tables))


def _insert(connection: Connection, table: Table, path: Path) -> int:
    binary = {one.name for one in table.columns if isinstance(one.type, LargeBinary)}
    count = 0
    with path.open("rb") as lines:
        columns: Sequence[str] = msgspec.json.decode(next(lines))
        batch: list[dict[str, Any]] = []
        for line in lines:
            row = dict(zip(columns, msgspec.json.decode(line), strict=True))
            for name in binary & row.keys():
                if row[name] is not None:
                    row[name] = base64.b64decode(row[name])
            batch.append(row)
            if len(batch) == _BATCH:
                connection.execute(insert(table), batch)
                count, batch = count + len(batch), []
        if batch:
            connection.execute(insert(table), batch)
    return count + len(batch)


def _set_sequence(connection: Connection, target: Backup, table: Table) -> None:
    """PostgreSQL hands out numbers after the restored ones."""
    column = table.autoincrement_column
    if target.database.dialect != "postgresql" or column is None:
        return
    sequence = connection.execute(
        text("SELECT pg_get_serial_sequence(:table, :column)"),
        {"table": table.name, "column": column.name},
    ).scalar_one_or_none()
    highest = connection.execute(select(func.max(column))).scalar_one()
    if sequence is not None and highest is not None:
        connection.execute(text("SELECT setval(:name, :at)"), {"name": sequence, "at": highest})


def _existing(path: Path) -> Path:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path
