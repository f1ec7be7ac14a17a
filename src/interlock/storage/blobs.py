"""Blobs: files that people and agents bring, kept under names of our own.

A blob appears whole or not at all, and never under a name from outside.
"""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Protocol

from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.kernel.ids import new_uuid

__all__ = ["BlobTooLargeError", "Blobs", "DirectoryBlobs", "Stored", "place_of"]

_NAME: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class BlobTooLargeError(InterlockError):
    """More bytes came than are taken."""

    kind: ClassVar[ErrorKind] = ErrorKind.TOO_LARGE
    code: ClassVar[str] = "payload_too_large"

    def __init__(self, most: int) -> None:
        super().__init__(f"files may have at most {most / 1e6:.0f} MB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A blob that was written."""

    name: str
    size_bytes: int
    sha256: str


class Blobs(Protocol):
    """Where blobs are kept: a directory, or an object store (`storage.object_blobs`)."""

    async def put(self, chunks: AsyncIterator[bytes], *, most: int) -> Stored:
        """Writes a blob; when this returns it survives a power cut.

        Raises:
            BlobTooLargeError: more than `most` bytes; nothing is kept.
        """
        ...

    async def read(self, name: str) -> bytes:
        """A whole blob. Raises FileNotFoundError."""
        ...

    async def delete(self, name: str) -> None:
        """Removes a blob; one that is gone already is no error."""
        ...


def place_of(name: str) -> str:
    """Where a blob is below its directory or prefix. Raises FileNotFoundError: no name of ours."""
    if not _NAME.fullmatch(name):
        raise FileNotFoundError(name)
    return f"{name[:2]}/{name}"


class DirectoryBlobs:
    """Blobs below one directory, spread over folders by the beginning of their names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, chunks: AsyncIterator[bytes], *, most: int) -> Stored:
        """Writes a blob and waits until the disk has it.

        Raises:
            BlobTooLargeError: more than `most` bytes; nothing is kept.
            OSError: the disk does not take it; nothing is kept.
        """
        name = new_uuid()
        place = self._place(name)
        await asyncio.to_thread(place.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
        scratch = place.with_suffix(".part")
        digest, size = hashlib.sha256(), 0
        file = await asyncio.to_thread(
            os.open, scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600
        )
        try:
            async for chunk in chunks:
                size += len(chunk)
                if size > most:
                    raise BlobTooLargeError(most)
                digest.update(chunk)
                await asyncio.to_thread(_write, file, chunk)
            await asyncio.to_thread(os.fsync, file)
        except BaseException:
            os.close(file)
            scratch.unlink(missing_ok=True)
            raise
        os.close(file)
        await asyncio.to_thread(os.replace, scratch, place)
        return Stored(name=name, size_bytes=size, sha256=digest.hexdigest())

    async def read(self, name: str) -> bytes:
        """A whole blob. Raises FileNotFoundError."""
        return await asyncio.to_thread(self._place(name).read_bytes)

    async def delete(self, name: str) -> None:
        """Removes a blob; one that is gone already is no error."""
        await asyncio.to_thread(self._place(name).unlink, missing_ok=True)

    def _place(self, name: str) -> Path:
        return self._folder / place_of(name)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
