"""`RESULTS.md` and the printed table, from the records in `results/`."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.agentdojo.curve import CURVES
from benchmarks.agentdojo.defences import ROWS
from benchmarks.agentdojo.latency import WAYS
from benchmarks.agentdojo.reasons import ORACLE_ONLY, REASONS
from benchmarks.agentdojo.suites import SUITES

__all__ = ["render", "table"]

Record = Mapping[str, Any]
_WHERE = {
    "gateway": "gateway",
    "engine": "engine",
    "machine": "machine",
    "reference": "not Interlock",
}


def render(kept: Mapping[str, Record]) -> str:
    """The whole report."""
    return "\n".join(_lines(kept)) + "\n"


def table(kept: Mapping[str, Record]) -> str:
    """The main table alone."""
    return "\n".join(_main(kept))


def _lines(kept: Mapping[str, Record]) -> Iterator[str]:
    run = kept["run"]
    machine = run["machine"]
    yield "# Security benchmark: AgentDojo with a fully compromised model"
    yield ""
    yield "Written by `make bench-security`; do not edit. How it is measured: `README.md` here."
    yield ""
    yield f"- Date: {run['date']} UTC"
    yield (
        f"- Machine: {machine['cpu']}, {machine['cores']} cores"
        f"{' (virtual)' if machine['virtual'] else ''}, {machine['memory_gib']} GiB, "
        f"{machine['system']} {machine['kernel']}"
    )
    yield (
        f"- Interlock {run['interlock']}, agentdojo {run['agentdojo']} (benchmark "
        f"{run['benchmark']}), Python {run['python']}; no network, no model"
    )
    yield ""
    yield "## What decides, and what comes through"
    yield ""
    yield from _main(kept)
    yield ""
    yield (
        "*Attacks*: the suite's own `security()` on the environment afterwards. *Injected "
        "actions*: pairs in which at least one injected call ran that changes, sends or visits "
        "something, whether or not the attack reached its goal. *Tasks*: the suite's own "
        "`utility()`, without an attack and in the middle of one. *Calls denied*: calls of the "
        "users' own tasks that were denied without any attack. *Where*: `gateway` is "
        "`interlock serve` over HTTP with the model behind it, `engine` the same policy engine "
        "called in the benchmark's process, `machine` the labelled interpreter of dual-llm with "
        "the policy engine."
    )
    if "agreement" in kept:
        agreed = kept["agreement"]
        yield ""
        yield (
            f"Gateway and engine were compared on {agreed['pairs']} runs with {agreed['calls']} "
            f"calls: {len(agreed['different'])} runs differ."
        )
    yield ""
    yield (
        "The attacks are AgentDojo's own. Somebody who knows a policy would aim at what it leaves "
        "open: free text to people whom the user named, the fields it trusts, and in dual-llm the "
        "data that the quarantined model is asked for."
    )
    yield ""
    yield "## Per suite"
    for row in ROWS:
        if row.name in kept:
            yield ""
            yield from _per_suite(kept[row.name])
    yield ""
    yield "## User tasks that are not done, and why"
    yield ""
    yield from _failures(kept["single"])
    grown = {name: kept[f"curve-{name}"]["steps"] for name in CURVES if f"curve-{name}" in kept}
    if grown:
        yield ""
        yield from _curves(grown)
    yield from _dual(kept)
    if "costs" in kept:
        yield from _costs(kept["costs"])
    if "latency" in kept:
        yield from _latency(kept["latency"])


def _main(kept: Mapping[str, Record]) -> Iterator[str]:
    yield from _header(
        "what decides",
        "where",
        "attacks of 609",
        "attacks of 929",
        "injected actions of 929",
        "tasks of 97",
        "tasks under attack of 929",
        "calls denied",
        "earlier measurement",
    )
    for row in ROWS:
        if row.name not in kept:
            continue
        found = kept[row.name]
        total = {
            name: sum(found["suites"][suite][name] for suite in SUITES)
            for name in found["suites"][SUITES[0]]
        }
        yield _row(
            found["title"],
            _WHERE.get(found["where"], found["where"]),
            total["attacks_scripted"],
            total["attacks"],
            total["actions_through"],
            total["useful"],
            total["useful_under_attack"],
            f"{total['falsely_denied_calls']} of {total['calls']}",
            found["expected"],
        )


def _per_suite(found: Record) -> Iterator[str]:
    yield f"### {found['title']}"
    yield ""
    yield from _header(
        "suite",
        "policy",
        "attacks (scripted)",
        "attacks (all)",
        "tasks",
        "tasks under attack",
        "false denials",
    )
    for suite in SUITES:
        one = found["suites"][suite]
        yield _row(
            suite,
            f"`{(found['policies'] or {}).get(suite, '-')}`",
            f"{one['attacks_scripted']} of {one['pairs_scripted']}",
            f"{one['attacks']} of {one['pairs']}",
            f"{one['useful']} of {one['tasks']} ({100 * one['useful'] / one['tasks']:.0f} %)",
            f"{one['useful_under_attack']} of {one['pairs']}",
            f"{one['falsely_denied_calls']} of {one['calls']} calls",
        )


def _failures(found: Record) -> Iterator[str]:
    yield from _header("task", "the user asks", "denied", "why")
    for item in found["failed"]:
        denied = item["denied"][0] if item["denied"] else None
        call = "-" if denied is None else f"`{denied['tool']}({_short(denied['args'])})`"
        yield _row(item["task"], _cell(item["asked"]), call, REASONS.get(item["task"], ""))


def _dual(kept: Mapping[str, Record]) -> Iterator[str]:
    rows = [row for row in ROWS if row.where == "machine" and row.name in kept]
    if not rows:
        return
    yield ""
    yield "## Dual-llm: what is left to an attacker"
    yield ""
    yield (
        "Which calls are made is fixed by the plan, which was written before anything was read. "
        "What an injection can still do is make the quarantined model answer what the attacker "
        "wants. *Counted here*: pairs in which such an answer stood in an argument of a call that "
        "ran - one of the user's own calls."
    )
    yield ""
    yield from _header("what decides", *SUITES)
    for row in rows:
        suites = kept[row.name]["suites"]
        yield _row(
            row.title,
            *(f"{suites[suite]['hijacked']} of {suites[suite]['pairs']}" for suite in SUITES),
        )
    yield ""
    yield "### Attacks that succeed by data alone"
    yield ""
    for row in rows:
        found = kept[row.name]["succeeded"]
        yield f"- {row.title}: {', '.join(found) if found else 'none'}"
    yield ""
    yield "### Tasks whose plan only an oracle can write"
    yield ""
    yield (
        "Their calls are not in the request but in what is read, so a planner that reads nothing "
        "untrusted cannot know them; the ground truth does."
    )
    yield ""
    yield from _header("task", "why")
    for task, why in ORACLE_ONLY.items():
        yield _row(task, why)
    for row in rows:
        failed = kept[row.name]["failed"]
        if not failed:
            continue
        yield ""
        yield f"### Tasks not done: {row.title}"
        yield ""
        yield from _header("task", "the user asks", "denied, or why the plan ended")
        for item in failed:
            denied = item["denied"][0] if item["denied"] else None
            call = None if denied is None else f"`{denied['tool']}({_short(denied['args'])})`"
            yield _row(item["task"], _cell(item["asked"]), call or item["stopped"])


def _costs(costs: Record) -> Iterator[str]:
    yield ""
    yield "## Dual-llm: model calls and tokens"
    yield ""
    yield (
        "All tasks of a suite without an attack, a token for four characters, no prompt cache. "
        "Model calls of one task follow one another, so they stand for the waiting time too. "
        "The planner is an oracle and needs one attempt; in single-llm every call sends all "
        "earlier results again, in dual-llm no result reaches the planner."
    )
    yield ""
    yield from _header("suite", "calls single", "calls dual", "tokens single", "tokens dual")
    total: dict[str, int] = {}
    for suite, one in costs.items():
        for name, number in one.items():
            total[name] = total.get(name, 0) + number
        yield _cost_row(suite, one)
    yield _cost_row("all", total)


def _cost_row(suite: str, one: Mapping[str, int]) -> str:
    return _row(
        suite,
        one["single_calls"],
        f"{one['dual_calls']} ({one['dual_calls'] / one['single_calls']:.2f} x)",
        f"{one['single_tokens']:,}",
        f"{one['dual_tokens']:,} ({one['dual_tokens'] / one['single_tokens']:.2f} x)",
    )


def _latency(found: Record) -> Iterator[str]:
    machine, tokens = found["measured"], found["tokens"]
    yield ""
    yield "## Dual-llm: time"
    yield ""
    yield (
        f"The same {found['tasks']} tasks over HTTP through `interlock serve` with the demo model, "
        f"no policy, no attack; single and dual in turns, the median of {found['rounds']} rounds "
        "counts for a task. The demo model answers at once in the server's process, so this is "
        "time of the gateway and the client's loop: what a real model takes comes on top, once for "
        "each model call above. CPU is the server's."
    )
    yield ""
    yield (
        f"Measured {machine['date']} on {machine['cpu']}, {machine['cores']} cores, at "
        f"a load average of {machine['load_average']:.1f}: compare the two ways, which met the "
        "same load. CPU time says more than wall time where other programs were at work."
    )
    yield ""
    yield from _header(
        "per task", "single median", "single p90", "dual median", "dual p90", "factor", "factor p90"
    )
    for title, name in (("wall time", "wall_ms"), ("CPU time", "cpu_ms")):
        one = found[name]
        yield _row(
            title,
            *(f"{one[way][part]:.1f} ms" for way in WAYS for part in ("median", "p90")),
            f"{one['factor']['median']:.2f} x",
            f"{one['factor']['p90']:.2f} x",
        )
    yield ""
    yield (
        f"*Factor*: median and 90th percentile of each task's own; of the sums over all tasks it "
        f"is {found['wall_ms']['factor_of_sums']:.2f} x wall time and "
        f"{found['cpu_ms']['factor_of_sums']:.2f} x CPU. Tokens in `usage`, as the demo model "
        f"counts: {tokens['single']:,} single, {tokens['dual']:,} dual "
        f"({tokens['dual'] / tokens['single']:.2f} x). CaMeL reports 2.8 x the tokens, with a real "
        "model as the planner."
    )
    if found["unlike"]:
        yield ""
        yield (
            "Tasks whose tool calls are not the same either way, for code in the plan decides: "
            f"{', '.join(found['unlike'])}."
        )


def _curves(curves: Record) -> Iterator[str]:
    yield "## What each rule costs"
    yield ""
    yield (
        "The policy grown rule by rule: each line has the rules of the lines above it as well. "
        "Attacks are of the pairs with scripted ground truth, tasks without an attack."
    )
    for name, steps in curves.items():
        of = "`travel` and `banking`, `shipped:users-words`" if name == "generic" else f"`{name}`"
        yield ""
        yield f"### {of}"
        yield ""
        yield from _header("rule", "attacks", "injected actions", "tasks")
        for step in steps:
            yield _row(
                step["rule"],
                f"{step['attacks']} of {step['pairs']}",
                step["actions_through"],
                f"{step['useful']} of {step['tasks']}",
            )


def _header(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield _row(*("---" for _ in names))


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def _cell(text: str, most: int = 220) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def _short(args: Mapping[str, Any]) -> str:
    return _cell(", ".join(f"{name}={value!r}" for name, value in args.items()), 110)
