"""The null relays of the server-stack study, as gateways: what a Python stack can reach."""

import sys
from importlib import metadata
from pathlib import Path

from benchmarks.rig.gateways.base import (
    GatewayUnavailableError,
    bearer,
    package_version,
    wait_until_open,
)
from benchmarks.rig.layout import BENCHMARKS, GATEWAY_PORTS, run_dir, venv_python
from benchmarks.rig.process import Server
from benchmarks.rig.workloads import Target, Workload

__all__ = ["STACKS", "Relay"]

STACKS = {
    "protocol": "asyncio protocol + httptools, no task",
    "subclass": "uvicorn's protocol, hot routes in it",
    "asgi": "uvicorn + ASGI",
    "granian": "granian + RSGI",
}


class Relay:
    """One stack, started from `stacks/relays.py`; all share one upstream client."""

    def __init__(self, stack: str, *, offset: int = 0) -> None:
        self.name = stack
        self.title = STACKS[stack]
        self._port = GATEWAY_PORTS["relay"] + offset
        self._base = f"http://127.0.0.1:{self._port}"

    def version(self) -> str:
        if self.name == "granian":
            return package_version(venv_python("stacks"), "granian")
        return metadata.version("httptools" if self.name == "protocol" else "uvicorn")

    def start(self, core: int | None) -> Server | None:
        python = Path(sys.executable)
        if self.name == "granian":
            python = venv_python("stacks")
            if not python.exists() or not self.version():
                raise GatewayUnavailableError("granian is not installed")
        script = BENCHMARKS / "stacks" / "relays.py"
        command = [str(python), str(script), self.name, str(self._port)]
        server = Server(command, log=run_dir() / f"relay-{self.name}.log", core=core)
        wait_until_open(server, self._base, name=self.name, timeout_s=20.0)
        return server

    def target(self, workload: Workload) -> Target | None:
        if workload.dialect != "chat":
            return None
        return Target(
            base=self._base,
            path=f"/{workload.endpoint.port}/v1/chat/completions",
            model=workload.endpoint.model,
            headers=bearer("sk-bench"),
        )
