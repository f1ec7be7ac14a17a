"""nginx as a bare relay: the floor of what any gateway costs."""

import shutil
import subprocess

from benchmarks.rig.gateways.base import GatewayUnavailableError, bearer, wait_until_open
from benchmarks.rig.layout import GATEWAY_PORTS, run_dir
from benchmarks.rig.process import Server
from benchmarks.rig.upstream import ENDPOINTS
from benchmarks.rig.workloads import Target, Workload

__all__ = ["Nginx"]


class Nginx:
    name = "nginx"
    title = "nginx (relay, C)"

    def __init__(self) -> None:
        self._base = f"http://127.0.0.1:{GATEWAY_PORTS[self.name]}"

    def version(self) -> str:
        binary = _binary()
        if binary is None:
            return ""
        said = subprocess.run([binary, "-v"], capture_output=True, text=True, check=False)
        return said.stderr.strip().rpartition("/")[2]

    def start(self, core: int | None) -> Server | None:
        binary = _binary()
        if binary is None:
            raise GatewayUnavailableError("nginx is not installed")
        conf = run_dir() / "relay.conf"
        conf.write_text(_configuration())
        log = run_dir() / "nginx.log"
        server = Server([binary, "-e", "stderr", "-c", str(conf)], log=log, core=core)
        wait_until_open(server, self._base, name=self.name)
        return server

    def target(self, workload: Workload) -> Target | None:
        if workload.dialect != "chat":
            return None
        endpoint = workload.endpoint
        path = f"/{endpoint.name}/v1/chat/completions"
        return Target(base=self._base, path=path, model=endpoint.model, headers=bearer("sk-bench"))


def _binary() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def _configuration() -> str:
    scratch = run_dir()
    pools = "\n".join(
        f"  upstream {e.name} {{ server 127.0.0.1:{e.port}; keepalive 512; "
        "keepalive_requests 1000000000; }"
        for e in ENDPOINTS
    )
    routes = "\n".join(
        f"    location /{e.name}/ {{ proxy_pass http://{e.name}/; }}" for e in ENDPOINTS
    )
    temporary = "\n".join(
        f"  {kind}_temp_path {scratch}/relay-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""worker_processes 1;
daemon off;
pid {scratch}/relay.pid;
error_log stderr crit;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  client_body_buffer_size 256k;
  proxy_buffering off;
  proxy_read_timeout 120s;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
{temporary}
{pools}
  server {{
    listen 127.0.0.1:{GATEWAY_PORTS["nginx"]} backlog=4096;
{routes}
    location / {{ return 404; }}
  }}
}}
"""
