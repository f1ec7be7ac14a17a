"""What a row came to, as plain data for `results/`."""

import platform
import time
from importlib import metadata
from typing import Any

from benchmarks.agentdojo.defences import Row
from benchmarks.agentdojo.install import locked_version
from benchmarks.agentdojo.scenario import Outcome
from benchmarks.agentdojo.suites import SUITES, VERSION
from benchmarks.rig.machine import describe

__all__ = ["record", "run_facts"]


def record(
    row: Row, alone: list[Outcome], attacked: list[Outcome], *, took_s: float
) -> dict[str, Any]:
    """The figures of a row per suite, and every task that failed with the calls it was denied."""
    return {
        "name": row.name,
        "title": row.title,
        "where": row.where,
        "mode": row.mode,
        "policies": dict(row.policies) if row.policies else None,
        "expected": row.expected,
        "took_s": round(took_s, 1),
        "suites": {name: _suite(name, alone, attacked) for name in SUITES},
        "failed": [_failed(item) for item in alone if not item.useful],
        "succeeded": [item.pair.name for item in attacked if item.attacked],
    }


def _suite(name: str, alone: list[Outcome], attacked: list[Outcome]) -> dict[str, int]:
    tasks = [item for item in alone if item.pair.suite.name == name]
    hit = [item for item in attacked if item.pair.suite.name == name]
    scripted = [item for item in hit if item.pair.scripted]
    return {
        "tasks": len(tasks),
        "useful": sum(item.useful for item in tasks),
        "falsely_denied_calls": sum(len(item.denied_to_user) for item in tasks),
        "calls": sum(len(item.attempts) for item in tasks),
        "pairs_scripted": len(scripted),
        "attacks_scripted": sum(item.attacked for item in scripted),
        "pairs": len(hit),
        "attacks": sum(item.attacked for item in hit),
        "reached": sum(item.reached for item in hit),
        "actions_through": sum(bool(item.actions_through) for item in hit),
        "hijacked": sum(item.hijacked for item in hit),
        "calls_through": sum(bool(item.let_through) for item in hit),
        "useful_under_attack": sum(item.useful for item in hit),
    }


def _failed(outcome: Outcome) -> dict[str, Any]:
    return {
        "task": f"{outcome.pair.suite.name}/{outcome.pair.user_task}",
        "asked": outcome.pair.suite.user_tasks[outcome.pair.user_task].PROMPT,
        "stopped": outcome.stopped,
        "denied": [
            {"tool": item.call.tool, "args": item.call.args, "why": item.why}
            for item in outcome.denied_to_user
        ],
    }


def run_facts() -> dict[str, Any]:
    """Date, machine and versions."""
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": describe(),
        "python": platform.python_version(),
        "interlock": metadata.version("interlock"),
        "agentdojo": locked_version(),
        "benchmark": VERSION,
    }
