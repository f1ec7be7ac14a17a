"""`interlock serve` as people run it, with its command line at hand."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Server", "running_server"]

_START_S = 60.0
_SETTLE_S = 10.0
_COMMAND_S = 60
_SERVING = re.compile(r"Interlock is serving on (\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server and its data."""

    base_url: str
    data: Path

    def json(self, *command: str) -> Any:
        """What `interlock COMMAND --json` prints."""
        return json.loads(self.run(*command, "--json"))

    def run(self, *command: str) -> str:
        """What `interlock COMMAND` prints. Raises CalledProcessError with its errors noted."""
        try:
            done = subprocess.run(
                [sys.executable, "-m", "interlock", *command, "--data", str(self.data)],
                capture_output=True,
                text=True,
                timeout=_COMMAND_S,
                check=True,
                env=_environment(),
            )
        except subprocess.CalledProcessError as error:
            error.add_note(error.stderr)
            raise
        return done.stdout

    def new_key(self, label: str, policy: Path) -> str:
        """A gateway key for the code endpoints with a policy of its own."""
        made = self.json(
            "keys", "create", "--label", label, "--endpoint-type", "code", "--policy", str(policy)
        )
        return str(made["key"])

    def decisions(self, session: str, *, least: int = 1) -> list[dict[str, Any]]:
        """Decisions of a session, oldest first, once there are `least`: they come in batches."""
        until = time.monotonic() + _SETTLE_S
        while True:
            page = self.json("decisions", "list", "--session", session)
            found: list[dict[str, Any]] = page["decisions"]
            if len(found) >= least:
                return found[::-1]
            if time.monotonic() > until:
                raise AssertionError(f"{len(found)} decisions, not {least}: {found}")


def _environment() -> dict[str, str]:
    """Ours without settings meant for another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")}


@contextmanager
def running_server(data: Path, settings: str = "") -> Iterator[Server]:
    """Starts a server with the settings file on a free port; stops it at the end."""
    data.mkdir(parents=True)
    (data / "interlock.toml").write_text(settings)
    log = data / "serve.log"
    with log.open("wb") as out:
        serving = subprocess.Popen(
            [sys.executable, "-m", "interlock", "serve", "--port", "0", "--data", str(data)],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=_environment(),
        )
    try:
        yield Server(base_url=_ready(serving, log), data=data)
    finally:
        serving.terminate()
        serving.wait(20)


def _ready(serving: "subprocess.Popen[bytes]", log: Path) -> str:
    """The base URL, as soon as the server says it."""
    until = time.monotonic() + _START_S
    while time.monotonic() < until and serving.poll() is None:
        found = _SERVING.search(log.read_text())
        if found:
            return found.group(1)
        time.sleep(0.05)
    raise AssertionError(f"the server does not serve:\n{log.read_text()}")
