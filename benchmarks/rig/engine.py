"""The policy engine's own benchmark, run as a program and read from its JSON."""

import json
import subprocess
import sys

from benchmarks.rig.layout import BENCHMARKS, ROOT
from benchmarks.rig.process import pinned
from benchmarks.rig.results import PolicyEngine

__all__ = ["measure_policy_engine", "read_report"]

LONGEST_S = 120


def measure_policy_engine(core: int | None) -> PolicyEngine | None:
    """Figures of `policy_engine.py --json`; None when it cannot say anything."""
    script = BENCHMARKS / "policy_engine.py"
    if not script.exists():
        return None
    try:
        done = subprocess.run(
            pinned([sys.executable, str(script), "--json"], core),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return read_report(done.stdout)


def read_report(text: str) -> PolicyEngine | None:
    """The figures in a report: `decision_us`, `compile_ms`, `growth`."""
    try:
        report = json.loads(text)
    except ValueError:
        return None
    if not isinstance(report, dict):
        return None
    names = ("decision_us", "compile_ms", "growth")
    figures = {name: float(report[name]) for name in names if name in report}
    return PolicyEngine(**figures) if figures else None
