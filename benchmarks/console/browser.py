"""Pages in a real Chromium: first paint, layout shift, bytes, interactions, a long chat."""

import asyncio
from dataclasses import dataclass, field

from benchmarks.console.load import at
from benchmarks.console.site import EMAIL, PASSWORD, Served
from playwright.async_api import Browser, BrowserContext, Page

__all__ = ["Painted", "chat_of", "interactions", "painted", "signed_in"]

_WATCH = """
window.__shift = 0; window.__events = []; window.__tasks = [];
new PerformanceObserver((list) => { for (const one of list.getEntries())
  if (!one.hadRecentInput) window.__shift += one.value; })
  .observe({ type: "layout-shift", buffered: true });
new PerformanceObserver((list) => { for (const one of list.getEntries())
  if (one.interactionId) window.__events.push(one.duration); })
  .observe({ type: "event", buffered: true, durationThreshold: 16 });
new PerformanceObserver((list) => { for (const one of list.getEntries())
  window.__tasks.push(one.duration); }).observe({ type: "longtask", buffered: true });
"""
_PAINT = """() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? -1"""


@dataclass(slots=True)
class Painted:
    """One page: milliseconds until something is seen, shift, bytes as they came."""

    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    shift: float = 0.0
    bytes_cold: float = 0.0
    foreign: int = 0


async def signed_in(browser: Browser, served: Served) -> list[dict[str, object]]:
    """Cookies of somebody who signed in with the form."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{served.base}/console/login")
    await page.fill("#f-identifier", EMAIL)
    await page.fill("#f-password", PASSWORD)
    await page.click("button.primary")
    await page.wait_for_url("**/console")
    cookies = await context.cookies()
    await context.close()
    return [dict(one) for one in cookies]


async def _context(browser: Browser, cookies: list[dict[str, object]]) -> BrowserContext:
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    await context.add_cookies(cookies)  # type: ignore[arg-type] # as playwright gave them
    await context.add_init_script(_WATCH)
    return context


async def painted(
    browser: Browser,
    served: Served,
    cookies: list[dict[str, object]],
    pages: dict[str, str],
    *,
    repeats: int,
) -> dict[str, Painted]:
    """Every page with an empty cache, then again with what was kept."""
    found = {name: Painted() for name in pages}
    for _ in range(repeats):
        for name, path in pages.items():
            one = found[name]
            context = await _context(browser, cookies)
            page = await context.new_page()
            sizes: list[float] = []
            client = await context.new_cdp_session(page)
            await client.send("Network.enable")
            client.on(
                "Network.loadingFinished",
                lambda event, sizes=sizes: sizes.append(event["encodedDataLength"]),
            )
            page.on(
                "request",
                lambda asked, one=one: setattr(
                    one, "foreign", one.foreign + (not asked.url.startswith(served.base))
                ),
            )
            await page.goto(served.base + path, wait_until="load")
            await page.wait_for_timeout(150)
            one.cold.append(await page.evaluate(_PAINT))
            one.bytes_cold = max(one.bytes_cold, sum(sizes))
            one.shift = max(one.shift, await page.evaluate("window.__shift"))
            await page.goto(served.base + path, wait_until="load")
            await page.wait_for_timeout(150)
            one.warm.append(await page.evaluate(_PAINT))
            await context.close()
    return found


async def interactions(
    browser: Browser, served: Served, cookies: list[dict[str, object]], policy: str
) -> tuple[float, float, int]:
    """p75 and maximum (ms) from an input to the next paint, and how many were measured."""
    context = await _context(browser, cookies)
    page = await context.new_page()
    durations: list[float] = []

    async def gather(actions: int) -> None:
        await page.wait_for_timeout(300)
        seen = await page.evaluate("window.__events.splice(0)")
        durations.extend(seen)
        # Those below the 16 ms the browser reports count as 16.
        durations.extend([16.0] * max(0, actions - len(seen)))

    await page.goto(f"{served.base}/console/decisions")
    for key in ("j", "Enter", "j", "j", "k", "w", "Escape"):
        await page.keyboard.press(key)
        await gather(1)
    await page.keyboard.press("Control+k")
    await gather(1)
    await page.keyboard.type("key", delay=60)
    await gather(3)
    await page.keyboard.press("Escape")
    await page.goto(f"{served.base}/console/policies/{policy}")
    await page.click("#f-text")
    await page.keyboard.press("Control+End")
    await page.keyboard.type('tool "send" { must deny always; }', delay=40)
    await gather(33)
    await page.goto(f"{served.base}/console/limits")
    await page.click("summary") if await page.locator("summary").count() else None
    await gather(1)
    await context.close()
    return at(durations, 0.75), max(durations), len(durations)


async def chat_of(
    browser: Browser, served: Served, cookies: list[dict[str, object]], tokens: int
) -> dict[str, float]:
    """A reply of many tokens: seconds, heap before, in the middle and after, long tasks."""
    context = await _context(browser, cookies)
    page = await context.new_page()
    client = await context.new_cdp_session(page)
    await client.send("HeapProfiler.enable")
    await page.goto(f"{served.base}/console/chat")
    await page.fill("#content", "SAY hello")
    await page.click(".composer button.primary")
    await page.wait_for_selector("[data-composer] textarea")
    await page.wait_for_timeout(2500)
    found = {"heap_before_mb": await _heap(page, client)}
    await page.fill("[data-composer] textarea", f"TOKENS {tokens}")
    await page.evaluate("window.__tasks.length = 0")
    began = await page.evaluate("performance.now()")
    await page.click("[data-composer] button.primary")
    live = "document.querySelector('[data-live]')?.textContent.length ?? 0"
    longest = "Math.max(...[...document.querySelectorAll('.prose')].map(o => o.textContent.length))"
    whole = min(4 * tokens, 60_000)  # longer texts are cut when they are drawn for good
    await _until(page, f"({live}) > {2 * tokens} || {longest} >= {whole}")
    found["heap_middle_mb"] = await _heap(page, client)
    await _until(page, f"!document.querySelector('[data-live]') && {longest} >= {whole}")
    found["seconds"] = (await page.evaluate("performance.now()") - began) / 1000
    found["heap_after_mb"] = await _heap(page, client)
    tasks = await page.evaluate("window.__tasks")
    found["long_tasks"] = float(len(tasks))
    found["longest_task_ms"] = max(tasks, default=0.0)
    await context.close()
    return found


async def _until(page: Page, condition: str) -> None:
    """Looks ten times a second: waiting inside the page would need `unsafe-eval`."""
    async with asyncio.timeout(900):
        while not await page.evaluate(condition):
            await page.wait_for_timeout(100)


async def _heap(page: Page, client: object) -> float:
    await client.send("HeapProfiler.collectGarbage")  # type: ignore[attr-defined] # CDP session
    return float(await page.evaluate("performance.memory.usedJSHeapSize")) / 1e6
