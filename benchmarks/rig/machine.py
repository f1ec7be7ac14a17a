"""What the figures were measured on, and how busy it was with other things."""

import os
import platform
import resource
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["CoreClock", "Cores", "describe", "pick_cores", "raise_file_limit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """Which core runs the measured gateway and which the upstream and the load."""

    gateway: int
    load: int

    @property
    def separate(self) -> bool:
        """False on a single-core machine, where nothing can be pinned apart."""
        return self.gateway != self.load


def pick_cores() -> Cores:
    """The first two cores this process may use."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(gateway=usable[0], load=usable[1] if len(usable) > 1 else usable[0])


@dataclass(frozen=True, slots=True)
class CoreClock:
    """Busy ticks of one core, as a difference between two readings."""

    core: int

    def busy(self) -> int:
        """Ticks the core has spent on anything but idling, since boot (steal included)."""
        for line in Path("/proc/stat").read_text().splitlines():
            if line.startswith(f"cpu{self.core} "):
                user, nice, system, _idle, _iowait, irq, soft, steal = map(int, line.split()[1:9])
                return user + nice + system + irq + soft + steal
        return 0


def raise_file_limit() -> None:
    """Lift the soft limit of open files to the hard one: held streams need sockets."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def describe() -> dict[str, object]:
    """The machine as data: processor, cores, memory, kernel, interpreter, date."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(_memory_kib() / 2**20, 1),
        "system": platform.system(),
        "kernel": platform.release(),
        "virtual": "hypervisor" in _cpu_flags(),
        "python": sys.version.split()[0],
        "load_average": os.getloadavg()[0],
    }


def _cpuinfo(key: str) -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _cpu_model() -> str:
    model = _cpuinfo("model name") or platform.processor() or platform.machine()
    family, number = _cpuinfo("cpu family"), _cpuinfo("model")
    return f"{model} (family {family}, model {number})" if family else model


def _cpu_flags() -> str:
    return _cpuinfo("flags")


def _memory_kib() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1])
    return 0
