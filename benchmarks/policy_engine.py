"""Decisions per second and compile time of the policy engine.

Prints one JSON object. Run: `.venv/bin/python benchmarks/policy_engine.py`.

Policies of 1, 50 and 500 rules are measured in two shapes: `spread`, every rule
about another tool, and `stacked`, all rules about the one tool that is called.
Times are processor time, medians of many short runs, so a busy machine disturbs
them little.
"""

import argparse
import json
import statistics
import time
from typing import Any

from interlock.policy.compiled import CompiledPolicy, compile_policy
from interlock.policy.evaluate.patterns import regex_matcher
from interlock.policy.model import Caller, Labels, PolicySource, Presets, Session, ToolCall
from interlock.policy.syntax.parser import parse

RULES = (1, 50, 500)
CALL = ToolCall(
    tool="tool_0",
    args={"to": "someone@example.com", "body": "quarterly numbers", "amount": 250},
    labels={"body": Labels.of(tags=["internal", "finance"], producers=["docs"])},
)
CONDITIONS = (
    'body.tags overlaps {{"secret_{0}"}}',
    'to.value in {{"eve_{0}@evil.com", w"*@evil{0}.com"}}',
    "amount.value in {{int {0}0000..}}",
    '@session.tags overlaps {{"seen_{0}"}} and not body.tags is empty',
    'to.value in {{str matching r".*@evil{0}\\.com"}}',
)


def policy_text(rules: int, *, stacked: bool) -> str:
    """A policy of so many deny rules, none of which fires on `CALL`."""
    conditions = [CONDITIONS[i % len(CONDITIONS)].format(i + 1) for i in range(rules)]
    if stacked:
        body = "\n".join(f"    must deny when {condition};" for condition in conditions)
        return f'tool "tool_0" {{\n{body}\n}}\n'
    return "\n".join(
        f'tool "tool_{i}" {{ must deny when {condition}; }}'
        for i, condition in enumerate(conditions)
    )


def median_us(policy: CompiledPolicy, *, trace: bool, seconds: float) -> float:
    """Median microseconds of one decision, over batches of 200."""
    session = Session(labels=Labels.of(tags=["web"]))
    policy.decide(CALL, session, trace=trace)
    batches = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or not batches:
        start = time.process_time()
        for _ in range(200):
            policy.decide(CALL, session, trace=trace)
        batches.append((time.process_time() - start) / 200 * 1e6)
    return statistics.median(batches)


def compile_ms(text: str, *, cold: bool, repeats: int) -> float:
    """Median milliseconds to compile; `cold` empties the caches of trees and patterns first."""
    times = []
    for _ in range(repeats):
        if cold:
            parse.cache_clear()
            regex_matcher.cache_clear()
        start = time.process_time()
        compiled(text)
        times.append((time.process_time() - start) * 1e3)
    return statistics.median(times)


def compiled(text: str) -> CompiledPolicy:
    """The policy for an anonymous caller under default presets."""
    source = PolicySource(name="bench", text=text)
    return compile_policy([source], presets=Presets(), caller=Caller())


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="accepted; the output always is JSON")
    parser.add_argument("--seconds", type=float, default=0.5, help="per measurement")
    seconds = parser.parse_args().seconds
    rows = []
    for rules in RULES:
        for stacked in (False, True):
            text = policy_text(rules, stacked=stacked)
            policy = compiled(text)
            plain = median_us(policy, trace=False, seconds=seconds)
            rows.append(
                {
                    "rules": rules,
                    "shape": "stacked" if stacked else "spread",
                    "decision_us": round(plain, 2),
                    "decisions_per_s": round(1e6 / plain),
                    "traced_decision_us": round(median_us(policy, trace=True, seconds=seconds), 2),
                    "compile_cold_ms": round(compile_ms(text, cold=True, repeats=5), 2),
                    "compile_warm_ms": round(compile_ms(text, cold=False, repeats=5), 2),
                }
            )
    print(json.dumps({"benchmark": "policy_engine", **summary(rows), "results": rows}, indent=2))


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The figures goals are set for.

    `decision_us` and `compile_ms`: 50 rules, the worse of the two shapes. `growth`: a
    decision under 500 rules over 500 tools against one under 50 over 50.
    """
    fifty = [row for row in rows if row["rules"] == 50]
    spread = {row["rules"]: row["decision_us"] for row in rows if row["shape"] == "spread"}
    return {
        "decision_us": max(row["decision_us"] for row in fifty),
        "compile_ms": max(row["compile_cold_ms"] for row in fifty),
        "growth": round(spread[500] / spread[50], 2),
    }


if __name__ == "__main__":
    main()
