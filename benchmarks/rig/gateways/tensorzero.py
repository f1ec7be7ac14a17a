"""TensorZero: the Rust gateway that its wheel embeds, with observability off."""

import time
from pathlib import Path

from benchmarks.rig.gateways.base import GatewayUnavailableError, bearer, package_version
from benchmarks.rig.layout import run_dir, venv_python
from benchmarks.rig.process import Server
from benchmarks.rig.upstream import ENDPOINTS
from benchmarks.rig.workloads import Target, Workload

__all__ = ["TensorZero"]

MARK = "LISTENING "
LAUNCHER = f"""\
import sys, time, tensorzero
gateway = tensorzero._start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None,
    async_setup=False)
print({MARK!r} + gateway.base_url, flush=True)
while True:
    time.sleep(3600)
"""


class TensorZero:
    name = "tensorzero"
    title = "TensorZero (Rust)"

    def __init__(self) -> None:
        self._base = ""

    def version(self) -> str:
        return package_version(venv_python("peers"), "tensorzero")

    def start(self, core: int | None) -> Server | None:
        if not self.version():
            raise GatewayUnavailableError("tensorzero is not installed")
        scratch = run_dir()
        (scratch / "tensorzero.toml").write_text(_configuration())
        (scratch / "tensorzero_launcher.py").write_text(LAUNCHER)
        log = scratch / "tensorzero.log"
        command = [str(venv_python("peers")), "-u", str(scratch / "tensorzero_launcher.py")]
        server = Server([*command, str(scratch / "tensorzero.toml")], log=log, core=core)
        self._base = _announced(server, log)
        return server

    def target(self, workload: Workload) -> Target | None:
        if workload.dialect != "chat":
            return None
        return Target(
            base=self._base,
            path="/openai/v1/chat/completions",
            model=f"tensorzero::model_name::{workload.endpoint.model}",
            headers=bearer("sk-bench"),
        )


def _configuration() -> str:
    models = "\n".join(
        f'[models."{e.model}"]\n'
        'routing = ["up"]\n'
        f'[models."{e.model}".providers.up]\n'
        'type = "openai"\n'
        f'model_name = "{e.model}"\n'
        f'api_base = "{e.base_url}/"\n'
        'api_key_location = "none"\n'
        for e in ENDPOINTS
    )
    return f"[gateway]\nobservability.enabled = false\n{models}"


def _announced(server: Server, log: Path, *, timeout_s: float = 60.0) -> str:
    """The base URL that the launcher printed: scheme, host and port."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for line in log.read_text(errors="replace").splitlines():
            if line.startswith(MARK):
                return "/".join(line.removeprefix(MARK).strip().split("/")[:3])
        if not server.alive:
            raise GatewayUnavailableError(f"tensorzero exited: {server.last_words()}")
        time.sleep(0.2)
    words = server.last_words()
    server.stop()
    raise GatewayUnavailableError(f"tensorzero did not start in {timeout_s:.0f} s: {words}")
