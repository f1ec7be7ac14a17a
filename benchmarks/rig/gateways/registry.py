"""Every row of the table, in the order it is measured and printed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rig.gateways.base import Gateway
from benchmarks.rig.gateways.direct import Direct
from benchmarks.rig.gateways.envoy import Envoy
from benchmarks.rig.gateways.interlock import Interlock
from benchmarks.rig.gateways.litellm import LiteLlm
from benchmarks.rig.gateways.nginx import Nginx
from benchmarks.rig.gateways.portkey import Portkey
from benchmarks.rig.gateways.tensorzero import TensorZero
from benchmarks.rig.workloads import Target, Workload

__all__ = ["OURS", "PLAIN", "ROW_NAMES", "Row", "make_rows"]

OURS = "interlock"
"""The row that the goals are judged by."""
PLAIN = "interlock-plain"
ROW_NAMES = (OURS, PLAIN, "tensorzero", "envoy", "portkey", "litellm", "nginx", "direct")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: a gateway in one way of being used."""

    name: str
    title: str
    gateway: Gateway
    target: Callable[[Workload], Target | None]


def make_rows(names: frozenset[str], *, interlock: Path | None) -> list[Row]:
    """The rows asked for; the two of Interlock share one process."""
    ours = Interlock(interlock)
    peers: list[Gateway] = [TensorZero(), Envoy(), Portkey(), LiteLlm(), Nginx(), Direct()]
    rows = [
        Row(name=OURS, title="Interlock, policy of 50 rules", gateway=ours, target=ours.target),
        Row(name=PLAIN, title="Interlock, no policy", gateway=ours, target=ours.plain),
        *(Row(name=p.name, title=p.title, gateway=p, target=p.target) for p in peers),
    ]
    return [row for row in rows if row.name in names]
