"""Where the bench keeps its files and which loopback ports it uses."""

import os
import sys
from pathlib import Path

__all__ = [
    "BENCHMARKS",
    "GATEWAY_PORTS",
    "LATEST_JSON",
    "PARTIAL_JSON",
    "RESULTS_MD",
    "ROOT",
    "bench_home",
    "own_script",
    "run_dir",
    "venv_python",
]

BENCHMARKS = Path(__file__).resolve().parents[1]
ROOT = BENCHMARKS.parent
RESULTS_MD = BENCHMARKS / "RESULTS.md"
LATEST_JSON = BENCHMARKS / "results" / "latest.json"
PARTIAL_JSON = "partial.json"

GATEWAY_PORTS = {
    "interlock": 9200,
    "litellm": 9201,
    "portkey": 9202,
    "envoy": 9204,
    "nginx": 9205,
    "relay": 9210,
}
"""TensorZero is absent: its launcher picks a free port and prints it."""


def bench_home() -> Path:
    """Directory of the peers' environments: `$BENCH_HOME`, or `.bench` in the checkout."""
    return Path(os.environ.get("BENCH_HOME") or ROOT / ".bench").resolve()


def run_dir() -> Path:
    """Scratch directory for generated configurations, logs and the server's data."""
    path = bench_home() / "run"
    path.mkdir(parents=True, exist_ok=True)
    return path


def venv_python(name: str) -> Path:
    """Interpreter of the peer environment `name`; it may not exist."""
    return bench_home() / name / "bin" / "python"


def own_script(name: str) -> Path:
    """A console script installed beside the interpreter that runs the bench."""
    return Path(sys.executable).parent / name
