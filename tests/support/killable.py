"""`interlock serve` as a process of its own, that can be killed."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

__all__ = ["Killable", "killable"]


class Killable:
    """A running server: where it listens, and its end without warning."""

    def __init__(self, process: asyncio.subprocess.Process, base_url: str) -> None:
        self._process = process
        self.base_url = base_url

    async def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def killable(
    data: Path, *, key: str, environ: Mapping[str, str] | None = None, port: int = 0
) -> AsyncIterator[Killable]:
    """Starts a server on a free port (or on `port`), with its data in `data`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "interlock", "serve", "--data", str(data), "--port", str(port),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            **os.environ,
            "INTERLOCK_BOOTSTRAP_KEY": key,
            "PYTHONUNBUFFERED": "1",
            **(environ or {}),
        },
    )  # fmt: skip
    assert process.stdout is not None
    said = b""
    try:
        async with asyncio.timeout(60):
            while not (found := re.search(rb"serving on (http://\S+)", said)):
                line = await process.stdout.readline()
                assert line, said.decode()
                said += line
        yield Killable(process, found[1].decode())
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
