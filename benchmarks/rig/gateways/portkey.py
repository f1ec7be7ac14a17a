"""Portkey's open gateway on Node, addressed by headers as its documentation says."""

import json
import shutil

from benchmarks.rig.gateways.base import GatewayUnavailableError, bearer, wait_until_open
from benchmarks.rig.layout import GATEWAY_PORTS, bench_home, run_dir
from benchmarks.rig.process import Server
from benchmarks.rig.workloads import Target, Workload

__all__ = ["Portkey"]

PACKAGE = "@portkey-ai/gateway"

ONLY_LOOPBACK = """\
// The gateway has no option for the address it listens on; this keeps it on loopback.
const { Server } = require("node:net");
const listen = Server.prototype.listen;
Server.prototype.listen = function (port, host, ...rest) {
  return listen.call(this, port, typeof port === "number" ? (host ?? "127.0.0.1") : host, ...rest);
};
"""


class Portkey:
    name = "portkey"
    title = "Portkey (Node)"

    def __init__(self) -> None:
        self._base = f"http://127.0.0.1:{GATEWAY_PORTS[self.name]}"
        self._package = bench_home() / "npm" / "node_modules" / PACKAGE

    def version(self) -> str:
        manifest = self._package / "package.json"
        if not manifest.exists():
            return ""
        return str(json.loads(manifest.read_text())["version"])

    def start(self, core: int | None) -> Server | None:
        node = shutil.which("node")
        if node is None or not self._package.exists():
            raise GatewayUnavailableError(f"node or {PACKAGE} is not installed")
        preload = run_dir() / "only_loopback.cjs"
        preload.write_text(ONLY_LOOPBACK)
        start = self._package / "build" / "start-server.js"
        port = GATEWAY_PORTS[self.name]
        command = [node, "--require", str(preload), str(start), f"--port={port}", "--headless"]
        env = {"NODE_ENV": "production"}
        server = Server(command, log=run_dir() / "portkey.log", core=core, env=env)
        wait_until_open(server, self._base, name=self.name)
        return server

    def target(self, workload: Workload) -> Target | None:
        if workload.dialect != "chat":
            return None
        route = {
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": workload.endpoint.base_url,
        }
        return Target(
            base=self._base,
            path="/v1/chat/completions",
            model=workload.endpoint.model,
            headers=bearer("sk-upstream", route),
        )
