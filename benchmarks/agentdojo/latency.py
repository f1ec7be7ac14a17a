"""How long the same tasks take in dual-llm and in single-llm, over HTTP with the demo model.

Every user task is played through `interlock serve`, either way in turn, without a policy and
without an attack. In single-llm the demo model makes the task's ground-truth calls one by one
(`CALL` lines); in dual-llm it writes the task's plan and answers as the quarantined model.
The demo model answers at once and in the server's process, so these are times of the gateway
and its interpreter, not of models.

The quarantined answers of the demo model are templates. Therefore a call is given what the
ground-truth call in its place gave, so that either way reads the same results to the end.
"""

import http.client
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.agentdojo.overhttp import Gateway, offered_tools
from benchmarks.agentdojo.plans import plan_of
from benchmarks.agentdojo.scenario import Call, Run, pairs

__all__ = ["WAYS", "latency"]

WAYS = ("single", "dual")
_ROUNDS = 3
_MOST_REQUESTS = 100
"""In one task; more would mean that something turns in circles."""
_PATH = "/control/chat/demo/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class _Took:
    """What one task took, one way."""

    wall_ms: float
    cpu_ms: float
    """Of the server, all its threads."""
    tokens: int
    """As the answers' `usage` says, all models together."""
    calls: tuple[str, ...]
    """Tools that the client was asked to run."""


def latency(suites: Sequence[Any], gateway: Gateway) -> dict[str, Any]:
    """Milliseconds per task, either way: median and 90th percentile, and the factors.

    Of a task the median of some rounds counts; the two ways take turns within each round.
    """
    chosen = list(pairs(suites, attacks=False))
    found: dict[str, dict[str, list[_Took]]] = {way: {} for way in WAYS}
    with_results = {pair.name: _scripted(Run(pair)) for pair in chosen}
    for number in range(_ROUNDS + 1):
        for place, pair in enumerate(chosen):
            for way in WAYS if (number + place) % 2 else reversed(WAYS):
                took = _play(Run(pair), way, with_results[pair.name], gateway)
                if number:  # the first round only warms up
                    found[way].setdefault(pair.name, []).append(took)
    unlike = [
        pair.name
        for pair in chosen
        if sorted(found["single"][pair.name][0].calls) != sorted(found["dual"][pair.name][0].calls)
    ]
    return {
        "tasks": len(chosen),
        "rounds": _ROUNDS,
        "unlike": unlike,
        "tokens": {way: sum(took[0].tokens for took in found[way].values()) for way in WAYS},
        "wall_ms": _compared(found, "wall_ms"),
        "cpu_ms": _compared(found, "cpu_ms"),
    }


def _compared(found: dict[str, dict[str, list[_Took]]], what: str) -> dict[str, Any]:
    each = {
        way: {
            name: statistics.median(getattr(one, what) for one in took)
            for name, took in found[way].items()
        }
        for way in WAYS
    }
    factors = [each["dual"][name] / each["single"][name] for name in each["single"]]
    return {
        **{way: _spread(list(times.values())) for way, times in each.items()},
        "factor": _spread(factors),
        "factor_of_sums": round(sum(each["dual"].values()) / sum(each["single"].values()), 2),
    }


def _spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), 2),
        "p90": round(statistics.quantiles(ordered, n=10, method="inclusive")[-1], 2),
    }


def _scripted(run: Run) -> list[tuple[Call, str]]:
    """The ground-truth calls with what they gave."""
    given = []
    while (call := run.next()) is not None:
        given.append((call, run.execute(call)[0]))
    return given


def _play(run: Run, way: str, script: list[tuple[Call, str]], gateway: Gateway) -> _Took:
    headers = {"Authorization": f"Bearer {gateway.key}", "Content-Type": "application/json"}
    body = {
        "model": "demo",
        "messages": [{"role": "user", "content": _request(run, way, script)}],
        "tools": offered_tools(run.pair.suite),
        "parallel_tool_calls": False,
    }
    if way == "dual":
        headers["X-Features"] = '{"agent_arch": "dual-llm"}'
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    connection.connect()
    cpu, began = gateway.cpu_s(), time.perf_counter()
    try:
        calls, tokens = _talk(connection, headers, body, run, script)
    finally:
        connection.close()
    took_s = time.perf_counter() - began
    return _Took(1000 * took_s, 1000 * (gateway.cpu_s() - cpu), tokens, tuple(calls))


def _request(run: Run, way: str, script: list[tuple[Call, str]]) -> str:
    if way == "dual":
        plan = plan_of(run.pair.suite, run.pair.user_task)
        return f"{run.prompt}\n```plan\n{plan.source}```"
    lines = (f"CALL {call.tool} {json.dumps(call.args)}" for call, _ in script)
    return "\n".join([run.prompt, *lines])


def _talk(
    connection: http.client.HTTPConnection,
    headers: dict[str, str],
    body: dict[str, Any],
    run: Run,
    script: list[tuple[Call, str]],
) -> tuple[list[str], int]:
    """An agent's loop to the end: the tools it ran, and the tokens it was told."""
    calls: list[str] = []
    left = list(script)
    tokens = 0
    for _ in range(_MOST_REQUESTS):
        connection.request("POST", _PATH, json.dumps(body), headers)
        response = connection.getresponse()
        data = response.read()
        if response.status != 200:
            raise AssertionError(f"{response.status}: {data[:300].decode('utf-8', 'replace')}")
        headers["X-Session-ID"] = response.headers["X-Session-ID"]
        answer = json.loads(data)
        tokens += answer["usage"]["total_tokens"]
        message = answer["choices"][0]["message"]
        if not message.get("tool_calls"):
            return calls, tokens
        body["messages"].append(message)
        for asked in message["tool_calls"]:
            name = asked["function"]["name"]
            calls.append(name)
            text = _result(name, asked["function"]["arguments"], left, run)
            body["messages"].append({"role": "tool", "tool_call_id": asked["id"], "content": text})
    raise AssertionError(f"{run.pair.name} does not end")


def _result(name: str, arguments: str, left: list[tuple[Call, str]], run: Run) -> str:
    """What the next ground-truth call of that tool gave, or else what the tool says."""
    for place, (call, text) in enumerate(left):
        if call.tool == name:
            del left[place]
            return text
    return run.execute(Call(name, json.loads(arguments), injected=False))[0]
