"""A server is killed under an open page, and comes back."""

import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import async_playwright
from tests.support.console_site import PASSWORD
from tests.support.killable import killable

pytestmark = pytest.mark.anyio
_ENVIRON = {
    "INTERLOCK_ADMIN_EMAIL": "root@example.com",
    "INTERLOCK_ADMIN_PASSWORD": PASSWORD,
    "INTERLOCK_LOG_LEVEL": "error",
}
_KEY = "sq-test-key-0123456789"


async def test_a_page_outlives_its_server_and_keeps_what_was_typed(tmp_path: Path) -> None:
    async with async_playwright() as play:
        browser = await play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = await browser.new_page()
        async with killable(tmp_path, key=_KEY, environ=_ENVIRON) as server:
            base = server.base_url
            await page.goto(f"{base}/console/login?next=/console/policies/new")
            await page.fill("#f-identifier", _ENVIRON["INTERLOCK_ADMIN_EMAIL"])
            await page.fill("#f-password", PASSWORD)
            await page.click("button.primary")
            await page.wait_for_selector("#f-text")
            await page.fill("#f-name", "kept")
            await page.fill("#f-text", 'tool "x" { must deny always; }')
            await page.wait_for_selector("#check .allow")
            await server.kill()
        await page.fill("#f-text", 'tool "y" { must deny always; }')
        await page.click("button[formaction='/console/policies/check']")
        assert await page.input_value("#f-text") == 'tool "y" { must deny always; }'

        port = urlsplit(base).port
        assert port is not None
        async with killable(tmp_path, key=_KEY, environ=_ENVIRON, port=port):
            await page.click("button[data-main]")
            await page.wait_for_url("**/console/policies/kept")
            assert 'tool "y"' in await page.input_value("#f-text")
            await page.goto(f"{base}/console/settings/security")
            assert await page.locator("text=this one").count() == 1
        await browser.close()
