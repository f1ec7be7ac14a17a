"""`python -m benchmarks.agentdojo`: run the security benchmark and write its report."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.agentdojo.costs import costs
from benchmarks.agentdojo.curve import CURVES, generic_steps, suite_steps
from benchmarks.agentdojo.defences import ROWS, Row, player, shipped_policies
from benchmarks.agentdojo.inprocess import Conversation, compiled
from benchmarks.agentdojo.install import install
from benchmarks.agentdojo.latency import latency
from benchmarks.agentdojo.overhttp import Gateway
from benchmarks.agentdojo.report import render, table
from benchmarks.agentdojo.scenario import Outcome, Pair, Run, pairs, play
from benchmarks.agentdojo.suites import load_suites
from benchmarks.agentdojo.tally import record, run_facts
from benchmarks.rig.machine import describe

_HERE = Path(__file__).parent
_RESULTS = _HERE / "results"
_EVERY = 12
"""One pair of so many is also played the other way, gateway or engine, and compared."""


def main() -> None:
    """Reads the command line, measures, writes `results/*.json` and `RESULTS.md`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agentdojo", description=__doc__)
    parser.add_argument("--install-only", action="store_true", help="fetch the package, no more")
    parser.add_argument(
        "--only",
        help="rows, `agreement`, `costs`, `latency`, `curve-NAME`, by commas; "
        "the others stay as they were",
    )
    given = parser.parse_args()
    install(_say)
    if given.install_only:
        return
    parts = {
        *(row.name for row in ROWS),
        *(f"curve-{name}" for name in CURVES),
        "agreement",
        "costs",
        "latency",
    }
    wanted = set(given.only.split(",")) if given.only else parts
    if wanted - parts:
        parser.error(f"there is no {', '.join(sorted(wanted - parts))}")
    suites = list(load_suites().values())
    _RESULTS.mkdir(exist_ok=True)
    with Gateway() as gateway:
        for row in ROWS:
            if row.name in wanted:
                _save(row.name, _measured(row, suites, gateway))
        if "agreement" in wanted:
            _save("agreement", _agreement(suites, gateway))
        if "latency" in wanted:
            _save("latency", latency(suites, gateway) | {"measured": describe()})
    for name in CURVES:
        if f"curve-{name}" in wanted:
            _save(f"curve-{name}", _curve(name, suites))
    if "costs" in wanted:
        _save("costs", costs(suites))
    _save("run", run_facts())
    kept = {path.stem: json.loads(path.read_text()) for path in sorted(_RESULTS.glob("*.json"))}
    (_HERE / "RESULTS.md").write_text(render(kept), encoding="utf-8")
    print(table(kept))


def _measured(row: Row, suites: Sequence[Any], gateway: Gateway) -> dict[str, Any]:
    began = time.monotonic()
    one = player(row, gateway)
    alone = _played(f"{row.name}: tasks", list(pairs(suites, attacks=False)), one)
    attacked = _played(f"{row.name}: attacks", list(pairs(suites, attacks=True)), one)
    return record(row, alone, attacked, took_s=time.monotonic() - began)


def _agreement(suites: Sequence[Any], gateway: Gateway) -> dict[str, Any]:
    """Whether the gateway and the engine in this process decide every call alike."""
    row = next(row for row in ROWS if row.name == "single")
    through, here = player(row, gateway), player(row, None)
    chosen = [*pairs(suites, attacks=False), *list(pairs(suites, attacks=True))[::_EVERY]]
    calls, different = 0, []
    for pair, one in zip(chosen, _played("agreement", chosen, through), strict=True):
        other = here(pair)
        calls += len(one.attempts)
        if _essence(one) != _essence(other):
            different.append(pair.name)
    return {"pairs": len(chosen), "calls": calls, "different": different}


def _essence(outcome: Outcome) -> tuple[object, ...]:
    decided = [(item.call.tool, item.call.args, item.allowed) for item in outcome.attempts]
    return decided, outcome.useful, outcome.attacked


def _curve(name: str, suites: Sequence[Any]) -> dict[str, Any]:
    policies = shipped_policies()
    if name == "generic":
        of, steps = {suite for suite, policy in policies.items() if ":" in policy}, generic_steps()
    else:
        of, steps = {name}, suite_steps(policies[name])
    chosen = [suite for suite in suites if suite.name in of]
    return {"steps": [_step(title, text, chosen) for title, text in steps]}


def _step(title: str, text: str, suites: Sequence[Any]) -> dict[str, Any]:
    policy = compiled(text)

    def one(pair: Pair) -> Outcome:
        run = Run(pair)
        conversation = Conversation(policy, run)
        return play(run, conversation.decide, conversation.heard)

    alone = [one(pair) for pair in pairs(suites, attacks=False)]
    scripted = [pair for pair in pairs(suites, attacks=True) if pair.scripted]
    attacked = _played(title, scripted, one)
    return {
        "rule": title,
        "attacks": sum(item.attacked for item in attacked),
        "pairs": len(attacked),
        "useful": sum(item.useful for item in alone),
        "tasks": len(alone),
        "actions_through": sum(bool(item.actions_through) for item in attacked),
    }


def _played(what: str, chosen: Sequence[Pair], one: Callable[[Pair], Outcome]) -> list[Outcome]:
    found = []
    for number, pair in enumerate(chosen, 1):
        found.append(one(pair))
        if number % 100 == 0 or number == len(chosen):
            _say(f"{what} {number}/{len(chosen)}")
    return found


def _save(name: str, data: dict[str, Any]) -> None:
    (_RESULTS / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
