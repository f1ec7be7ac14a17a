"""A file of records that could not be stored yet.

Frames are length, CRC-32 and payload; a torn last frame (the process died while
appending) ends the file. The owner holds a lock on its file, so that another
process, or the next start, can tell a file nobody writes any more and import it.
"""

import os
import struct
import uuid
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: one process per data directory
    fcntl = None  # type: ignore[assignment]

__all__ = ["Spool", "SpoolFullError"]

_HEAD = struct.Struct("<II")
_SUFFIX = ".spool"
_MAX_FRAME = 256 * 1024 * 1024


class SpoolFullError(Exception):
    """Raised when the spool reached its size limit or the disk refused it."""


class Spool:
    """The spool files of one data directory, as one process sees them."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._own: BinaryIO | None = None
        self._own_name = ""
        self._claimed: dict[str, BinaryIO] = {}

    def append(self, frames: Sequence[bytes]) -> int:
        """Appends frames and returns how many; they are on disk when it returns.

        Raises:
            SpoolFullError: nothing of this call was kept.
        """
        blob = b"".join(_HEAD.pack(len(frame), zlib.crc32(frame)) + frame for frame in frames)
        try:
            file = self._open_own()
            start = file.seek(0, os.SEEK_END)
            if start + len(blob) > self._max_bytes:
                raise SpoolFullError(f"the spool holds {start} bytes")
            try:
                file.write(blob)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.truncate(start)
                raise
        except OSError as error:
            raise SpoolFullError(error.strerror or str(error)) from error
        return len(frames)

    def names(self) -> list[str]:
        """Files to import: our own and those whose owner is gone."""
        if not self._folder.is_dir():
            return []
        return [
            path.stem
            for path in sorted(self._folder.glob("*" + _SUFFIX), key=_age)
            if path.stem == self._own_name or self._claim(path)
        ]

    def read(self, name: str, offset: int, count: int) -> tuple[list[bytes], int, bool]:
        """Up to `count` frames from `offset`; the offset after them; whether more follow."""
        frames = []
        with self._path(name).open("rb") as file:
            file.seek(offset)
            for frame in _frames(file):
                frames.append(frame)
                offset += _HEAD.size + len(frame)
                if len(frames) == count:
                    break
        return frames, offset, len(frames) == count

    def remove(self, name: str) -> int:
        """Deletes an imported file; returns its size in bytes."""
        path = self._path(name)
        size = path.stat().st_size
        path.unlink()
        file = self._claimed.pop(name, None)
        if name == self._own_name:
            file, self._own, self._own_name = self._own, None, ""
        if file is not None:
            file.close()
        return size

    def size_bytes(self) -> int:
        """Bytes waiting in our own file."""
        return os.fstat(self._own.fileno()).st_size if self._own is not None else 0

    def close(self) -> None:
        """Gives the files up; what they hold stays for the next start."""
        for file in (self._own, *self._claimed.values()):
            if file is not None:
                file.close()
        self._own, self._own_name = None, ""
        self._claimed.clear()

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_SUFFIX}"

    def _open_own(self) -> BinaryIO:
        if self._own is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            name = uuid.uuid4().hex
            descriptor = os.open(self._path(name), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            file = os.fdopen(descriptor, "r+b")
            _try_lock(file)
            self._own, self._own_name = file, name
        return self._own

    def _claim(self, path: Path) -> bool:
        if path.stem in self._claimed:
            return True
        try:
            file = path.open("r+b")
        except OSError:
            return False
        if not _try_lock(file) or not path.exists():
            file.close()
            return False
        self._claimed[path.stem] = file
        return True


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # imported and removed by another process meanwhile
        return 0.0


def _try_lock(file: BinaryIO) -> bool:
    if fcntl is None:  # pragma: no cover - see the import
        return True
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _frames(file: BinaryIO) -> Iterator[bytes]:
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        length, checksum = _HEAD.unpack(head)
        if length > _MAX_FRAME:
            return
        frame = file.read(length)
        if len(frame) != length or zlib.crc32(frame) != checksum:
            return
        yield frame
