"""Everything a server keeps about one person, as a file that person can be given.

A zip of JSON: `person.json` (profile, accounts, groups, keys, sessions), and one line of JSON per
row in `conversations.ndjson`, `messages.ndjson`, `versions.ndjson` (of edited messages),
`attachments.ndjson`, `usage.ndjson`, `decisions.ndjson`, `audit.ndjson`; files that the person
attached lie in `files/`. Instants are seconds since the epoch.

No secret is in it: no password, token or key, hashed or not, and no provider credential. Nor is
what others wrote.
"""

import asyncio
import os
import zipfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Select, Table, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.conversations.attachments.tables import attachments
from interlock.conversations.tables import (
    conversation_members,
    conversations,
    message_versions,
    messages,
)
from interlock.gateway.tables import decisions, usage_records
from interlock.identity.errors import UserNotFoundError
from interlock.identity.tables import (
    accounts,
    audit_log,
    gateway_keys,
    group_members,
    groups,
    login_sessions,
    memberships,
    users,
)
from interlock.kernel.errors import InterlockError
from interlock.ops.errors import BackupError
from interlock.storage.blobs import Blobs
from interlock.storage.engine import Database

__all__ = ["export_person"]

_PAGE: Final = 1_000
_SECRET: Final = frozenset(
    {
        "base_config",
        "fingerprint",
        "password_hash",
        "previous_csrf_hash",
        "provider_credentials",
        "sealed_for",
        "successor",
        "token_hash",
        "username_key",
    }
)
_JSON: Final = frozenset({"labels", "lineage", "limits", "mentions", "scopes", "usage", "args"})

Progress = Callable[[int, int], None]
"""Told (done, of), in parts of the file."""


async def export_person(
    database: Database, blobs: Blobs, user_id: str, target: Path, *, progress: Progress
) -> dict[str, int]:
    """Writes the file, whole or not at all, readable by its owner only; returns rows by part.

    Raises:
        UserNotFoundError: there is no such person.
        BackupError: the file exists already, or cannot be written.
        StoreUnavailable: the database does not answer.
    """
    if await asyncio.to_thread(target.exists):
        raise BackupError(f"`{target}` exists already", hint="name another file")
    scratch = target.with_name(f".{target.name}.part")
    try:
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with (
            os.fdopen(descriptor, "wb") as raw,
            zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            counts = await _written(database, blobs, user_id, archive, progress)
        os.replace(scratch, target)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise BackupError(f"`{target}` cannot be written: {error.strerror}") from error
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    return counts


async def _written(
    database: Database,
    blobs: Blobs,
    user_id: str,
    archive: zipfile.ZipFile,
    progress: Progress,
) -> dict[str, int]:
    async with database.read() as connection:
        person = await _person(connection, user_id)
        archive.writestr("person.json", msgspec.json.format(msgspec.json.encode(person), indent=2))
        keys = [one["id"] for one in person["keys"]]
        parts = _parts(user_id, person["person"]["email"], keys)
        counts: dict[str, int] = {}
        files: list[tuple[str, str, str]] = []
        for number, (name, query) in enumerate(parts):
            progress(number, len(parts) + 1)
            counts[name] = 0
            with archive.open(f"{name}.ndjson", "w", force_zip64=True) as out:
                async for row in _rows(connection, query):
                    if name == "attachments":
                        files.append((row["id"], row["name"], row.pop("blob")))
                    out.write(msgspec.json.encode(row) + b"\n")
                    counts[name] += 1
    progress(len(parts), len(parts) + 1)
    counts["files"] = 0
    for attachment_id, name, blob in files:
        try:
            data = await blobs.read(blob)
        except (FileNotFoundError, InterlockError):
            continue  # its row says that there was one
        archive.writestr(f"files/{attachment_id}-{_plain(name)}", data)
        counts["files"] += 1
    progress(len(parts) + 1, len(parts) + 1)
    return counts


async def _person(connection: AsyncConnection, user_id: str) -> dict[str, Any]:
    async def all_of(query: Select[Any]) -> list[dict[str, Any]]:
        return [_told(dict(row._mapping)) for row in (await connection.execute(query)).all()]

    found = await all_of(select(users).where(users.c.id == user_id))
    if not found:
        raise UserNotFoundError(user_id)
    return {
        "person": found[0],
        "accounts": await all_of(
            select(accounts, memberships.c.role)
            .join(memberships, memberships.c.account_id == accounts.c.id)
            .where(memberships.c.user_id == user_id)
        ),
        "groups": await all_of(
            select(groups.c.id, groups.c.name)
            .join(group_members, group_members.c.group_id == groups.c.id)
            .where(group_members.c.user_id == user_id)
        ),
        "keys": await all_of(select(gateway_keys).where(gateway_keys.c.user_id == user_id)),
        "sessions": await all_of(select(login_sessions).where(login_sessions.c.user_id == user_id)),
    }


def _parts(user_id: str, email: str, keys: Sequence[str]) -> list[tuple[str, Select[Any]]]:
    """The parts of the file with many rows, each in an order that pages can follow."""
    mine = [user_id, *keys]
    return [
        (
            "conversations",
            select(
                conversations.c.id,
                conversations.c.title,
                conversation_members.c.role,
                conversation_members.c.joined_at,
            )
            .join(conversations, conversations.c.id == conversation_members.c.conversation_id)
            .where(conversation_members.c.user_id == user_id)
            .order_by(conversations.c.id),
        ),
        ("messages", _of(messages, messages.c.author_user_id == user_id)),
        ("versions", _of(message_versions, message_versions.c.by_user_id == user_id)),
        ("attachments", _of(attachments, attachments.c.uploaded_by == user_id)),
        ("usage", _of(usage_records, usage_records.c.key_id.in_(mine))),
        ("decisions", _of(decisions, decisions.c.key_id.in_(mine))),
        ("audit", _of(audit_log, or_(audit_log.c.actor == email, audit_log.c.target == user_id))),
    ]


def _of(table: Table, condition: ColumnElement[bool]) -> Select[Any]:
    return select(table).where(condition).order_by(table.c.id)


async def _rows(connection: AsyncConnection, query: Select[Any]) -> AsyncIterator[dict[str, Any]]:
    """Rows page by page: a person may have made a million calls."""
    column, after = next(iter(query.selected_columns)), None
    while True:
        page = query.limit(_PAGE) if after is None else query.where(column > after).limit(_PAGE)
        rows = (await connection.execute(page)).all()
        for row in rows:
            yield _told(dict(row._mapping))
        if len(rows) < _PAGE:
            return
        after = rows[-1][0]


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: msgspec.json.decode(value) if name in _JSON and isinstance(value, str) else value
        for name, value in row.items()
        if name not in _SECRET
    }


def _plain(name: str) -> str:
    """A file name that leads nowhere."""
    kept = "".join(one if one.isalnum() or one in "._- " else "_" for one in name)
    return kept.strip(". ")[:120] or "file"
