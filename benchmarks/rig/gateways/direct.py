"""No gateway at all: the upstream itself, which every added latency is counted from."""

from benchmarks.rig.gateways.base import bearer
from benchmarks.rig.process import Server
from benchmarks.rig.workloads import Target, Workload

__all__ = ["Direct"]


class Direct:
    name = "direct"
    title = "no gateway"

    def version(self) -> str:
        return ""

    def start(self, core: int | None) -> Server | None:
        return None

    def target(self, workload: Workload) -> Target | None:
        if workload.dialect != "chat":
            return None
        return Target(
            base=f"http://127.0.0.1:{workload.endpoint.port}",
            path="/v1/chat/completions",
            model=workload.endpoint.model,
            headers=bearer("sk-bench"),
        )
