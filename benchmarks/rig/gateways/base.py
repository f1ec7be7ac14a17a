"""What the bench asks of a gateway."""

import http.client
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from benchmarks.rig.process import Server
from benchmarks.rig.workloads import Target, Workload

__all__ = ["Gateway", "GatewayUnavailableError", "package_version", "wait_until_open"]


class GatewayUnavailableError(RuntimeError):
    """The gateway is not installed or does not start; the message says which and why."""


class Gateway(Protocol):
    """A server under measurement; `start` comes before `target`."""

    name: str
    title: str

    def version(self) -> str:
        """Version of what is installed, empty when unknown."""

    def start(self, core: int | None) -> Server | None:
        """Start it and wait until it accepts connections.

        Returns None for the row that has no process of its own.

        Raises:
            GatewayUnavailableError: it cannot be measured here.
        """

    def target(self, workload: Workload) -> Target | None:
        """Where the workload goes; None when this gateway has no such function."""


def wait_until_open(server: Server, base: str, *, name: str, timeout_s: float = 90.0) -> None:
    """Wait until `base` answers any HTTP request at all.

    Raises:
        GatewayUnavailableError: it exited or stayed silent; the server is stopped then.
    """
    at = urlsplit(base)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if not server.alive:
            raise GatewayUnavailableError(f"{name} exited: {server.last_words()}")
        connection = http.client.HTTPConnection(at.hostname or "127.0.0.1", at.port, timeout=3)
        try:
            connection.request("GET", "/health")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            time.sleep(0.2)
        else:
            return
        finally:
            connection.close()
    words = server.last_words()
    server.stop()
    raise GatewayUnavailableError(f"{name} did not answer in {timeout_s:.0f} s: {words}")


def package_version(python: Path, package: str) -> str:
    """Version of a package installed in another environment, empty when it is not there."""
    if not python.exists():
        return ""
    script = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run(
        [str(python), "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout.strip()


def bearer(key: str, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The credential header plus `extra`."""
    return {"Authorization": f"Bearer {key}", **(extra or {})}
