"""The server under pages: times of lists, what others feel, the gateway beside 50 people."""

import asyncio
import time
from collections.abc import Sequence

import httpx
from benchmarks.console.site import KEY, Served

__all__ = ["at", "beside_people", "open_pages", "page_times", "worst_of_others"]

_BODY = {"model": "demo", "messages": [{"role": "user", "content": "SAY hello"}]}


def at(values: Sequence[float], share: float) -> float:
    """A percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def page_times(
    served: Served, pages: dict[str, str], *, repeats: int
) -> dict[str, tuple[float, float, int]]:
    """Median and p95 (ms) of whole answers, one after the other, and bytes."""
    found = {}
    async with served.sign_in() as client:
        for name, path in pages.items():
            times, size = [], 0
            for _ in range(repeats):
                began = time.perf_counter()
                answer = await client.get(path)
                times.append((time.perf_counter() - began) * 1e3)
                assert answer.status_code == 200, (path, answer.status_code)
                size = len(answer.content)
            found[name] = (at(times, 0.5), at(times, 0.95), size)
    return found


async def worst_of_others(
    served: Served, pages: dict[str, str]
) -> dict[str, tuple[float, float, float]]:
    """p50, p99 and maximum (ms) of a small request: alone, and while pages are opened."""

    async def pings(until: asyncio.Event) -> tuple[float, float, float]:
        times = []
        async with httpx.AsyncClient(base_url=served.base) as client:
            while not until.is_set():
                began = time.perf_counter()
                await client.get("/health")
                times.append((time.perf_counter() - began) * 1e3)
                await asyncio.sleep(0.002)
        return at(times, 0.5), at(times, 0.99), max(times)

    async def wait(done: asyncio.Event) -> None:
        await asyncio.sleep(5)
        done.set()

    async def browse(done: asyncio.Event) -> None:
        async with served.sign_in() as client:
            for _ in range(10):
                for path in pages.values():
                    await client.get(path)
        done.set()

    found = {}
    for name, work in (("alone", wait), ("while pages are opened", browse)):
        done = asyncio.Event()
        measured, _ = await asyncio.gather(pings(done), work(done))
        found[name] = measured
    return found


async def beside_people(
    served: Served, pages: dict[str, str], *, people: int, seconds: float
) -> tuple[tuple[float, float, int], tuple[float, float, int], int]:
    """p50 and p99 (ms) and number of gateway requests: without people, and beside them.

    Also how many pages had not come after 30 seconds.
    """
    async with served.sign_in() as signed:
        cookies = signed.cookies
        runs: list[list[float]] = [[], []]
        late = 0
        for round_of in (0, 1, 0, 1):
            stop = asyncio.Event()
            tasks = [
                asyncio.create_task(_person(served, cookies, list(pages.values()), n, stop))
                for n in range(people if round_of else 0)
            ]
            await asyncio.sleep(1 if round_of else 0)
            runs[round_of] += await _gateway(served, seconds / 2)
            stop.set()
            late += sum(await asyncio.gather(*tasks))
    without, beside = ((at(one, 0.5), at(one, 0.99), len(one)) for one in runs)
    return without, beside, late


async def _person(
    served: Served, cookies: httpx.Cookies, paths: Sequence[str], n: int, stop: asyncio.Event
) -> int:
    """Opens a page every two seconds; how many did not come in time."""
    late = 0
    async with httpx.AsyncClient(base_url=served.base, cookies=cookies, timeout=30) as client:
        await asyncio.sleep(2 * n / 50)
        turn = n
        while not stop.is_set():
            try:
                await client.get(paths[turn % len(paths)])
            except httpx.TimeoutException:
                late += 1
            turn += 1
            await asyncio.sleep(2)
    return late


async def _gateway(served: Served, seconds: float) -> list[float]:
    times: list[float] = []

    async def one() -> None:
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=served.base, headers=headers) as client:
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                began = time.perf_counter()
                answer = await client.post("/control/chat/demo/v1/chat/completions", json=_BODY)
                assert answer.status_code == 200, answer.text
                times.append((time.perf_counter() - began) * 1e3)
                await asyncio.sleep(0.01)

    await asyncio.gather(*(one() for _ in range(4)))
    return times


async def open_pages(served: Served, number: int) -> tuple[str, float, int]:
    """Which live stream, KB of the server an open one costs, and how many were opened."""
    async with served.sign_in() as signed:
        path = "/console/events"
        async with signed.stream("GET", path) as probe:
            live = probe.status_code == 200
        if not live:
            form = {"content": "SAY hello", "csrf": signed.cookies["CSRF-TOKEN"]}
            made = await signed.post("/console/chat", data=form)
            talk = made.headers["location"].rpartition("/")[2].partition("#")[0]
            path = f"/api/chat/stream?extended=0&conversation_id={talk}"
        async with signed.stream("GET", path) as probe:
            assert probe.status_code == 200, await probe.aread()
        limits = httpx.Limits(max_connections=number + 10)
        before = served.memory_bytes()
        async with httpx.AsyncClient(
            base_url=served.base, cookies=signed.cookies, limits=limits, timeout=60
        ) as client:
            held = []
            for _ in range(number):
                request = client.build_request("GET", path)
                held.append(await client.send(request, stream=True))
            opened = sum(one.status_code == 200 for one in held)
            await asyncio.sleep(2)
            cost = (served.memory_bytes() - before) / max(1, opened) / 1024
            for one in held:
                await one.aclose()
        return path.partition("?")[0], cost, opened
