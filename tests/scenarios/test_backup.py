"""A backup brings back everything, on either database, and nothing that is damaged."""

import gzip
import json
import os
import tarfile
from pathlib import Path

import httpx
import pytest
from tests.support.gateway import Gateway, running_gateway

from interlock.app_settings import load_settings
from interlock.app_store import backup_parts, migrate_store
from interlock.ops.backup import back_up, read_manifest, restore
from interlock.ops.errors import BackupError, DataInUseError, StoreNotEmptyError
from interlock.ops.holding import held

pytestmark = pytest.mark.anyio

_TOOL = {"type": "function", "function": {"name": "send"}}


def _quiet(done: int, of: int) -> None:
    assert done <= of


def _settings(data: Path, url: str | None = None) -> object:
    environ = {} if url is None else {"INTERLOCK_DATABASE_URL": url}
    return load_settings(data=data, environ=environ, calls_providers=False).settings


async def _used(gateway: Gateway) -> None:
    body = {
        "model": "demo",
        "messages": [{"role": "user", "content": 'CALL send {"to": "eve"}'}],
        "tools": [_TOOL],
    }
    policy = json.dumps({"codes": {"code": 'tool "send" { hard deny always; }'}})
    answer = await gateway.post("/control/chat/demo/v1/chat/completions", body, x_policy=policy)
    assert answer.status_code == 200


@pytest.fixture
async def backup(tmp_path: Path) -> Path:
    """A backup taken while its server runs."""
    data, file = tmp_path / "first", tmp_path / "backup.tar.gz"
    async with running_gateway(data) as gateway:
        await _used(gateway)
        await gateway.app.store.recorder.flush(wait_s=5)
        back_up(backup_parts(_settings(data)), file, now=1e9, progress=_quiet)  # type: ignore[arg-type]
    return file


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_restored_server_knows_keys_and_decisions(
    backup: Path, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    data = tmp_path / "second"
    url = request.getfixturevalue("postgresql_url") if kind == "postgresql" else None
    settings = _settings(data, url)
    migrate_store(settings)  # type: ignore[arg-type]
    manifest = restore(backup, backup_parts(settings), progress=_quiet)  # type: ignore[arg-type]
    again = tmp_path / "again.tar.gz"
    second = back_up(backup_parts(settings), again, now=2e9, progress=_quiet)  # type: ignore[arg-type]

    assert second.tables == manifest.tables
    assert second.key_id == manifest.key_id
    assert manifest.tables["decisions"].rows >= 1
    environ = {"INTERLOCK_BOOTSTRAP_KEY": ""} | (
        {} if url is None else {"INTERLOCK_DATABASE_URL": url}
    )
    environ.pop("INTERLOCK_BOOTSTRAP_KEY")
    async with running_gateway(data, environ=environ) as gateway:
        await _used(gateway)
        await gateway.app.store.recorder.flush(wait_s=5)
        entries = await gateway.app.store.audit.entries()
    assert entries


async def test_a_backup_is_readable_by_its_owner_only_and_never_overwrites(
    backup: Path, tmp_path: Path
) -> None:
    assert backup.stat().st_mode & 0o077 == 0
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []
    with pytest.raises(BackupError, match="exists already"):
        back_up(
            backup_parts(_settings(tmp_path / "first")),  # type: ignore[arg-type]
            backup,
            now=1.0,
            progress=_quiet,
        )


async def test_without_its_secret_key_a_backup_says_which_one_it_needs(tmp_path: Path) -> None:
    data, file = tmp_path / "first", tmp_path / "b.tar.gz"
    async with running_gateway(data):
        parts = backup_parts(_settings(data))  # type: ignore[arg-type]
        manifest = back_up(parts, file, now=1e9, secrets=False, progress=_quiet)

    assert "secret.key" not in manifest.files
    assert manifest.key_id == parts.key_id
    with tarfile.open(file) as archive:
        assert "files/secret.key" not in archive.getnames()


async def test_a_store_with_rows_is_left_alone(backup: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    async with running_gateway(other):
        pass
    parts = backup_parts(_settings(other))  # type: ignore[arg-type]

    with pytest.raises(StoreNotEmptyError):
        restore(backup, parts, progress=_quiet)


@pytest.mark.parametrize("damage", ["cut", "bytes", "not a backup", "missing"])
async def test_a_damaged_backup_restores_nothing(backup: Path, tmp_path: Path, damage: str) -> None:
    whole = backup.read_bytes()
    bad = tmp_path / "bad.tar.gz"
    match damage:
        case "cut":
            bad.write_bytes(whole[: len(whole) // 2])
        case "bytes":
            plain = bytearray(gzip.decompress(whole))
            at = plain.find(b"admin@localhost")
            plain[at : at + 5] = b"root!"
            bad.write_bytes(gzip.compress(bytes(plain)))
        case "not a backup":
            bad.write_text("hello")
        case _:
            pass
    data = tmp_path / "second"
    settings = _settings(data)
    migrate_store(settings)  # type: ignore[arg-type]
    parts = backup_parts(settings)  # type: ignore[arg-type]

    with pytest.raises(BackupError):
        restore(bad, parts, progress=_quiet)

    empty = back_up(parts, tmp_path / "empty.tar.gz", now=1.0, progress=_quiet)
    assert sum(one.rows for one in empty.tables.values()) == 0


async def test_a_backup_of_another_schema_names_both(backup: Path, tmp_path: Path) -> None:
    settings = _settings(tmp_path / "second")
    migrate_store(settings)  # type: ignore[arg-type]
    parts = backup_parts(settings)  # type: ignore[arg-type]
    manifest = read_manifest(backup)
    object.__setattr__(parts, "revision", "9999")

    with pytest.raises(BackupError, match=rf"`{manifest.revision}`.*`9999`"):
        restore(backup, parts, progress=_quiet)


async def test_names_that_leave_the_directory_are_refused(backup: Path, tmp_path: Path) -> None:
    manifest = read_manifest(backup)
    evil = tmp_path / "evil.tar.gz"
    with tarfile.open(backup) as old, tarfile.open(evil, "w:gz") as new:
        for member in old:
            new.addfile(member, old.extractfile(member))
        info = tarfile.TarInfo("files/../../evil")
        new.addfile(info)
    settings = _settings(tmp_path / "second")
    migrate_store(settings)  # type: ignore[arg-type]

    with pytest.raises(BackupError, match="forbidden name"):
        restore(evil, backup_parts(settings), progress=_quiet)  # type: ignore[arg-type]

    assert manifest.format == 1
    assert not (tmp_path.parent / "evil").exists()


def test_two_servers_do_not_share_a_data_directory(tmp_path: Path) -> None:
    with (
        held(tmp_path / "data"),
        pytest.raises(DataInUseError, match=str(os.getpid())),
        held(tmp_path / "data"),
    ):
        pass
    with held(tmp_path / "data"):
        pass


async def test_a_server_that_runs_is_not_disturbed_by_a_backup(tmp_path: Path) -> None:
    async with running_gateway(tmp_path / "data") as gateway:
        parts = backup_parts(_settings(tmp_path / "data"))  # type: ignore[arg-type]
        await _used(gateway)
        back_up(parts, tmp_path / "b.tar.gz", now=1.0, progress=_quiet)
        await _used(gateway)
        answer: httpx.Response = await gateway.http.get("/control/health")
    assert answer.status_code == 200
