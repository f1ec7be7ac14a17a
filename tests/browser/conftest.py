"""A real Chromium, a console with rows, and who watches that nothing bad happens."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright
from tests.support.console_site import Site, console_site, serving
from tests.support.console_traffic import fill

CHROMIUM = shutil.which("chromium")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser" in str(item.path):
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="there is no chromium here"))


@dataclass(slots=True, kw_only=True)
class Desk:
    """A browser in front of a served console."""

    site: Site
    base: str
    facts: dict[str, str]
    browser: Browser
    complaints: list[str] = field(default_factory=list)
    """Script errors, refused content, dialogs, requests to other hosts."""

    async def open(
        self, role: str | None, *, width: int = 1440, height: int = 900, **options: object
    ) -> Page:
        context: BrowserContext = await self.browser.new_context(
            viewport={"width": width, "height": height},
            **options,  # type: ignore[arg-type]
        )
        if role is not None:
            token = self.site.sign_in.open(self.site.people[role])
            await context.add_cookies([{"name": "SESSION_ID", "value": token, "url": self.base}])
        page = await context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        page.on(
            "console",
            lambda said: (
                self.complaints.append(said.text)
                if said.type == "error" and "40" not in said.text
                else None
            ),
        )
        page.on(
            "request",
            lambda asked: (
                None
                if asked.url.startswith((self.base, "blob:"))
                else self.complaints.append(f"request: {asked.url}")
            ),
        )
        return page


@pytest.fixture
async def desk(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Desk]:
    async with console_site(tmp_path) as site, serving(site) as base, async_playwright() as play:
        browser = await play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield Desk(site=site, base=base, facts=await fill(site), browser=browser)
        await browser.close()
