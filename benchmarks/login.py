"""Guesses passwords from 200 addresses, and looks whether anybody else notices.

`make bench-login` writes benchmarks/LOGIN.md. A whole server in a process of its own; addresses
are told by `X-Forwarded-For` from a proxy it trusts. Half of the attempts are on one account,
half on names nobody has. Meanwhile a probe asks the server for something that needs no work:
how long that takes is how long its event loop was busy, at most. And the person whose account it
is, and another one, try to sign in with the right password from addresses of their own.
"""

import argparse
import asyncio
import collections
import os
import platform
import tempfile
import time
from pathlib import Path

import httpx
from tests.support.served import served

from interlock.app import build
from interlock.app_settings import load_settings
from interlock.identity.model import Actor

_REPORT = Path(__file__).with_name("LOGIN.md")
_PASSWORD = "correct horse battery"
_VICTIM = "ann@example.com"
_OTHER = "root@example.com"
_PROBE_S = 0.02
_MEANING = (
    "An attempt is counted before its password is looked at: at most 10 a minute from an",
    "address and 10 in 15 minutes on an account reach a hash. Hashes are made by two threads",
    "beside the event loop, which the probe shows: its answer needs the loop and nothing else.",
    "Who is attacked cannot sign in with a password while the window is full, and keeps the",
    "sessions there are; when more than a hundred wait for a hash, everybody is told to come",
    "again in five seconds.",
)
_OWN_S = 1.0


async def attack(url, attempts, addresses, at_once):
    """How often each status was answered, and how long the attack took."""
    told, numbers = collections.Counter(), iter(range(attempts))

    async def one_client():
        async with httpx.AsyncClient(base_url=url, timeout=600) as http:
            for number in numbers:
                who = _VICTIM if number % 2 else f"nobody-{number}@example.com"
                answer = await http.post(
                    "/api/auth/login",
                    json={"email": who, "password": f"guess {number}"},
                    headers={"x-forwarded-for": address(number % addresses)},
                )
                told[("victim" if number % 2 else "nobody", answer.status_code)] += 1

    begun = time.monotonic()
    await asyncio.gather(*(one_client() for _ in range(at_once)))
    return told, time.monotonic() - begun


def address(number):
    """One of the attackers'."""
    return f"198.51.{100 + number // 250}.{1 + number % 250}"


async def probe(url, found):
    """Seconds that answers without any work take."""
    async with httpx.AsyncClient(base_url=url, timeout=600) as http:
        while True:
            begun = time.monotonic()
            (await http.get("/api/health")).raise_for_status()
            found.append(time.monotonic() - begun)
            await asyncio.sleep(_PROBE_S)


async def sign_in(url, who, place, found):
    """Signs in again and again with the right password, from an address of its own."""
    async with httpx.AsyncClient(base_url=url, timeout=600) as http:
        while True:
            begun = time.monotonic()
            answer = await http.post(
                "/api/auth/login",
                json={"email": who, "password": _PASSWORD},
                headers={"x-forwarded-for": place},
            )
            found.append((answer.status_code, time.monotonic() - begun))
            await asyncio.sleep(_OWN_S)


async def quiet_probe(url):
    """The same probe while nobody attacks."""
    found = []
    task = asyncio.create_task(probe(url, found))
    await asyncio.sleep(3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return found


async def run(attempts, addresses, at_once):
    """Everything that was measured."""
    environ = {
        "INTERLOCK_ADMIN_EMAIL": _OTHER,
        "INTERLOCK_ADMIN_PASSWORD": _PASSWORD,
        "INTERLOCK_SERVER_TRUSTED_PROXIES": "127.0.0.1",
        "INTERLOCK_LOG_LEVEL": "error",
        # The limit of all requests of an address is another one, and would hide this one.
        "INTERLOCK_RATE_LIMITS_DEFAULT_RPS": "100000",
        "INTERLOCK_RATE_LIMITS_BURST": "100000",
    }
    with tempfile.TemporaryDirectory() as place:
        await prepare(Path(place) / "server0", environ)
        async with served(Path(place), environ) as (server,):
            url = server.base_url
            before = await quiet_probe(url)
            lags, victim, other = [], [], []
            tasks = [
                asyncio.create_task(probe(url, lags)),
                asyncio.create_task(sign_in(url, _VICTIM, "203.0.113.7", victim)),
                asyncio.create_task(sign_in(url, _OTHER, "203.0.113.8", other)),
            ]
            cpu = cpu_s(server.pid)
            told, took = await attack(url, attempts, addresses, at_once)
            cpu = cpu_s(server.pid) - cpu
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return told, took, cpu, before, lags, victim, other


async def prepare(data, environ):
    """Makes the person whose account is attacked, before the server starts."""
    data.mkdir(parents=True)
    loaded = load_settings(data=data, options={"server.port": 0}, environ=environ)
    application = build(loaded.settings)
    async with application.running():
        await application.store.people.create_user(
            _VICTIM, Actor(name="benchmark", surface="cli"), password=_PASSWORD
        )


def cpu_s(pid):
    """Seconds of CPU a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def report(attempts, addresses, measured):
    """The page."""
    told, took, cpu, before, lags, victim, other = measured
    hashed = sum(count for (_, status), count in told.items() if status == 401)
    on_account = told[("victim", 401)]
    rows = [
        ("attempts, addresses", f"{attempts:,} from {addresses} in {took:.1f} s"),
        ("passwords that were looked at (401)", f"{hashed:,}, of them {on_account} on the account"),
        ("refused by the throttle (429)", f"{count_of(told, 429):,}"),
        ("refused because too many were waiting (503)", f"{count_of(told, 503):,}"),
        ("any other answer", f"{sum(told.values()) - hashed - count_of(told, 429, 503):,}"),
        ("CPU of the server, hashing included", f"{cpu:.1f} s"),
        ("an answer without work, nobody attacking", told_ms(before)),
        ("an answer without work, during the attack", told_ms(lags)),
        ("the person who is attacked, signing in meanwhile", own(victim)),
        ("another person, signing in meanwhile", own(other)),
    ]
    return "\n".join(
        [
            "# Guessing passwords",
            "",
            f"Written by `make bench-login` on {time.strftime('%Y-%m-%d', time.gmtime())} "
            f"(Python {platform.python_version()}, SQLite, one server process; attackers, probe "
            f"and server share {os.cpu_count()} cores with whatever else ran; load average "
            f"{os.getloadavg()[0]:.1f} at the end).",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in rows),
            "",
            *_MEANING,
            "",
        ]
    )


def count_of(told, *wanted):
    """Answers of some statuses."""
    return sum(count for (_, status), count in told.items() if status in wanted)


def told_ms(found):
    """Median, 99th percentile and the longest."""
    ordered = sorted(found)
    p99 = ordered[int(len(ordered) * 0.99)]
    return (
        f"p50 {ordered[len(ordered) // 2] * 1e3:.1f}, p99 {p99 * 1e3:.1f}, "
        f"max {ordered[-1] * 1e3:.1f} ms ({len(ordered)} probes)"
    )


def own(found):
    """Statuses, and how long a good log-in took."""
    counts = collections.Counter(status for status, _ in found)
    good = sorted(seconds for status, seconds in found if status == 200)
    said = ", ".join(f"{count} x {status}" for status, count in sorted(counts.items()))
    return f"{said}; slowest good one {good[-1]:.1f} s" if good else said


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--attempts", type=int, default=10_000)
    parser.add_argument("--addresses", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=300)
    given = parser.parse_args()
    measured = asyncio.run(run(given.attempts, given.addresses, given.at_once))
    text = report(given.attempts, given.addresses, measured)
    _REPORT.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
