"""`interlock serve` as a process of its own: started, ended, killed and started again."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

__all__ = ["Served", "served"]


class Served:
    """One server and its data. What it says is in the files `said` and `logged`."""

    def __init__(self, data: Path, environ: Mapping[str, str]) -> None:
        self.data = data
        self.said = data.with_suffix(".out")
        self.logged = data.with_suffix(".log")
        self.base_url = ""
        self._environ = {
            name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK")
        } | {"PYTHONUNBUFFERED": "1", **environ}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Starts it on a free port; it listens when this returns."""
        begin = self.said.stat().st_size if self.said.exists() else 0
        with self.said.open("ab") as out, self.logged.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "interlock", "serve", "--data", str(self.data),
                "--port", "0", stdout=out, stderr=log, env=self._environ,
            )  # fmt: skip
        ended = asyncio.create_task(self._process.wait())
        try:
            async with asyncio.timeout(60):
                while True:
                    text = self.said.read_bytes()[begin:]
                    if found := re.search(rb"serving on (http://\S+)", text):
                        break
                    assert not ended.done(), self.logged.read_text()
                    await asyncio.wait({ended}, timeout=0.05)
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)
        self.base_url = found[1].decode()

    async def stop(self) -> None:
        """Tells it to end, and waits until it has."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            async with asyncio.timeout(60):
                await self._process.wait()

    async def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def served(data: Path, *environs: Mapping[str, str]) -> AsyncIterator[list[Served]]:
    """Running servers, one for each environment, each with a data directory of its own."""
    async with AsyncExitStack() as stack:
        made = []
        for number, environ in enumerate(environs):
            one = Served(data / f"server{number}", environ)
            stack.push_async_callback(one.kill)
            await one.start()
            made.append(one)
        yield made
