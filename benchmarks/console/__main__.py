"""Measures the console and writes benchmarks/CONSOLE.md."""

import argparse
import asyncio
import json
import os
import platform
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.console import browser as chromium
from benchmarks.console import load
from benchmarks.console.site import prepare, served
from playwright.async_api import async_playwright

REPORT = Path(__file__).parents[1] / "CONSOLE.md"
LISTS = {
    "decisions": "/console/decisions",
    "decisions, denied": "/console/decisions?verdict=denied&t=all",
    "decisions, one tool": "/console/decisions?tool=send_email&t=30d",
    "decisions, a label": "/console/decisions?label=untrusted&t=all",
    "decisions, by rule": "/console/decisions?group=rule",
}


def pages_of(facts: dict[str, str]) -> dict[str, str]:
    """Every page that is opened in the browser."""
    return {
        "home": "/console",
        "decisions": "/console/decisions",
        "decisions, peek": f"/console/decisions?peek={facts['decision']}",
        "decision": f"/console/decisions/{facts['decision']}",
        "approvals": "/console/approvals",
        "usage": "/console/usage",
        "chat": "/console/chat",
        "policies": "/console/policies",
        "policy editor": f"/console/policies/{facts['policy']}",
        "keys": "/console/keys",
        "users": "/console/users",
        "limits": "/console/limits",
        "providers": "/console/providers",
        "settings": "/console/settings/profile",
        "audit log": "/console/settings/audit",
    }


def told(goal: str, value: float, most: float, unit: str) -> str:
    """A line of the table of goals."""
    met = "yes" if value <= most else "**no**"
    shown = f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return f"| {goal} | {shown} {unit} | {most:g} {unit} | {met} |".replace("  |", " |")


async def measure(rows: int, repeats: int, tokens: int, kept: Path | None) -> str:
    """Everything, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        data = kept or Path(folder)
        facts_file = data / "facts.json"
        if not facts_file.exists():
            _say(f"writing {rows:,} decisions")
            data.mkdir(parents=True, exist_ok=True)
            facts_file.write_text(json.dumps(await prepare(data, rows)))
        facts: dict[str, str] = json.loads(facts_file.read_text())
        pages = pages_of(facts)
        async with served(data) as site, async_playwright() as play:
            browser = await play.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=["--no-sandbox", "--enable-precise-memory-info"],
            )
            cookies = await chromium.signed_in(browser, site)
            _say("server times")
            times = await load.page_times(site, LISTS | pages, repeats=8)
            _say("pages in the browser")
            drawn = await chromium.painted(browser, site, cookies, pages, repeats=repeats)
            _say("interactions")
            touched = await chromium.interactions(browser, site, cookies, facts["policy"])
            _say(f"a reply of {tokens:,} tokens")
            chat = await chromium.chat_of(browser, site, cookies, tokens)
            await browser.close()
            _say("others beside pages")
            others = await load.worst_of_others(site, pages)
            _say("the gateway beside 50 people")
            without, beside, late = await load.beside_people(site, pages, people=50, seconds=20)
            _say("1,000 open pages")
            path, cost, opened = await load.open_pages(site, 1000)

    cold = {name: load.at(one.cold, 0.75) for name, one in drawn.items()}
    warm = {name: load.at(one.warm, 0.75) for name, one in drawn.items()}
    lists = max(times[name][1] for name in LISTS)
    grown = chat["heap_after_mb"] - chat["heap_middle_mb"]
    goals = [
        told("first contentful paint, cold, p75, slowest page", max(cold.values()), 500, "ms"),
        told("first contentful paint, warm, p75, slowest page", max(warm.values()), 250, "ms"),
        told("interaction to next paint, p75", touched[0], 100, "ms"),
        told("layout shift, worst page", max(one.shift for one in drawn.values()), 0.02, ""),
        told(
            "bytes, cold, heaviest page", max(o.bytes_cold for o in drawn.values()) / 1e3, 60, "KB"
        ),
        told("requests to another host", sum(one.foreign for one in drawn.values()), 0, ""),
        told(f"list page at {rows:,} decisions, p95, slowest", lists, 50, "ms"),
        told("decision page, p95", times["decision"][1], 80, "ms"),
        told(
            "a small request beside pages, p99, above alone",
            others["while pages are opened"][1] - others["alone"][1],
            10,
            "ms",
        ),
        told("gateway p99 beside 50 people, against without", beside[1] / without[1], 1.1, "x"),
        told(f"memory of an open page (`{path}`, {opened:,} open)", cost, 50, "KB"),
        told(f"chat, {tokens:,} tokens: longest task", chat["longest_task_ms"], 50, "ms"),
        told(f"chat, {tokens:,} tokens: heap grown in the second half", grown, 1, "MB"),
    ]
    table = [
        f"| {name} | {cold[name]:.0f} | {warm[name]:.0f} | {one.shift:.3f} | "
        f"{one.bytes_cold / 1e3:.1f} | {times[name][0]:.1f} | {times[name][1]:.1f} |"
        for name, one in drawn.items()
    ]
    listed = [f"| {name} | {times[name][0]:.1f} | {times[name][1]:.1f} |" for name in LISTS]
    return "\n".join(
        [
            "# What the console costs",
            "",
            f"Written by `make bench-console` on {datetime.now(UTC):%Y-%m-%d} "
            f"({os.cpu_count()} cores, Python {platform.python_version()}, SQLite, one server "
            f"process, Chromium without a window on the same machine; load average "
            f"{os.getloadavg()[0]:.1f} at the end, so other work may have shared the cores).",
            "",
            "| goal | measured | at most | met |",
            "|---|---:|---:|---|",
            *goals,
            "",
            f"Interactions: p75 {touched[0]:.0f} ms, longest {touched[1]:.0f} ms of "
            f"{touched[2]} (keys in lists, palette and editor). "
            f"Gateway without people: p50 {without[0]:.1f} ms, p99 {without[1]:.1f} ms "
            f"({without[2]:,} requests); beside 50: p50 {beside[0]:.1f} ms, p99 "
            f"{beside[1]:.1f} ms ({beside[2]:,}; {late:,} pages took longer than 30 s). "
            f"A small request alone: p50 {others['alone'][0]:.1f}, p99 {others['alone'][1]:.1f}, "
            f"longest {others['alone'][2]:.1f} ms; while pages are opened: p50 "
            f"{others['while pages are opened'][0]:.1f}, p99 "
            f"{others['while pages are opened'][1]:.1f}, longest "
            f"{others['while pages are opened'][2]:.1f} ms. "
            f"Chat: {tokens:,} tokens in {chat['seconds']:.0f} s; heap "
            f"{chat['heap_before_mb']:.1f} MB before, {chat['heap_middle_mb']:.1f} in the middle, "
            f"{chat['heap_after_mb']:.1f} after; {chat['long_tasks']:.0f} tasks above 50 ms.",
            "",
            f"Pages, {repeats} times each with an empty cache and again with a filled one. Paint "
            "in ms (p75), KB as they came over the wire, whole answers of the server in ms.",
            "",
            "| page | cold | warm | shift | KB cold | server p50 | server p95 |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *table,
            "",
            f"Lists at {rows:,} decisions, whole answers of the server in ms.",
            "",
            "| list | p50 | p95 |",
            "|---|---:|---:|",
            *listed,
            "",
        ]
    )


def _say(text: str) -> None:
    sys.stderr.write(f"{datetime.now():%H:%M:%S} {text}\n")  # noqa: DTZ005 - for who waits


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--data", type=Path, help="keep the rows here, or use those there are")
    parser.add_argument("--report", type=Path, default=REPORT)
    given = parser.parse_args()
    given.report.write_text(
        asyncio.run(measure(given.rows, given.repeats, given.tokens, given.data))
    )
    sys.stdout.write(given.report.read_text())
