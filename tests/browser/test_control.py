"""Journeys through limits, keys and people in a real browser, and every page in its states."""

import contextlib

import httpx
import pytest
from tests.browser.conftest import Desk
from tests.browser.shots import pages
from tests.support.hostile import HOSTILE

from interlock.identity.model import KeySpec
from interlock.kernel.errors import InterlockError
from interlock.limits.routes import Asker

pytestmark = pytest.mark.anyio


async def test_a_limit_is_changed_and_then_stops_who_asks_again(desk: Desk) -> None:
    page = await desk.open("admin")
    await page.goto(f"{desk.base}/console/limits/new")
    await page.fill("#f-name", "one a day")
    await page.fill("#f-requests_per_second", "0.00001")
    await page.fill("#f-burst", "1")
    await page.click("text=Create profile")
    await page.wait_for_selector("#r-h")
    await page.fill("#f-path", "/api/nothing")
    await page.click("text=Assign profile")
    await page.wait_for_selector("text=GET /api/nothing")
    async with httpx.AsyncClient(base_url=desk.base) as client:
        answers = [(await client.get("/api/nothing")).status_code for _ in range(2)]
    assert answers == [404, 429]
    await page.goto(f"{desk.base}/console/limits")
    assert "address 127.0.0.1" in await page.inner_text("#now")
    await page.fill("#f-path", "/api/nothing")
    await page.fill("#f-who", "127.0.0.1")
    await page.click("text=Try request")
    await page.wait_for_selector("[role='status']")
    assert "refused" in await page.inner_text("[role='status']")
    assert desk.complaints == []


async def test_a_key_is_made_and_its_first_request_arrives(desk: Desk) -> None:
    page = await desk.open("admin")
    await page.goto(f"{desk.base}/console/keys/new")
    await page.fill("#f-label", "first light")
    await page.click("button.primary")
    await page.wait_for_selector("text=Waiting for the first request")
    token = (await page.inner_text("pre[aria-label='The key']")).strip()
    async with httpx.AsyncClient(base_url=desk.base) as client:
        answer = await client.post(
            "/control/chat/demo/v1/chat/completions",
            json={"model": "demo", "messages": [{"role": "user", "content": "SAY hello"}]},
            headers={"authorization": f"Bearer {token}"},
        )
    assert answer.status_code == 200
    await page.wait_for_selector("text=First request arrived", timeout=90_000)
    assert desk.complaints == []


async def test_two_people_work_side_by_side_and_see_their_own(desk: Desk) -> None:
    mine, theirs = await desk.open("admin"), await desk.open("stranger")
    await mine.goto(f"{desk.base}/console/limits")
    await theirs.goto(f"{desk.base}/console/limits")
    assert "You may not see this" in await theirs.inner_text("h1")
    await mine.goto(f"{desk.base}/console/keys")
    await theirs.goto(f"{desk.base}/console/keys")
    assert "nightly" in await mine.inner_text("main")
    assert "nightly" not in await theirs.inner_text("main")


async def test_people_are_found_opened_and_changed_with_keys_alone(desk: Desk) -> None:
    page = await desk.open("admin")
    await page.goto(f"{desk.base}/console/users")
    for key in ("j", "j", "j", "j", "Enter"):
        await page.keyboard.press(key)
    await page.wait_for_selector("#pane article")
    assert "peek=" in page.url
    assert await page.evaluate("document.activeElement.closest('tr') !== null")
    await page.keyboard.press("Escape")
    await page.wait_for_selector("#pane[hidden]", state="attached")
    assert "peek=" not in page.url
    await page.keyboard.press("Control+k")
    await page.wait_for_selector("dialog[open]")
    await page.keyboard.type("limits")
    await page.wait_for_selector("[role='option'] >> text=Limits")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/console/limits")
    for _ in range(60):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.id === 'f-path'"):
            break
    await page.keyboard.type("/api/search")
    await page.keyboard.press("Tab")
    await page.keyboard.type("mo")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("[role='status']")
    assert desk.complaints == []


@pytest.mark.parametrize(
    "options", [{"forced_colors": "active"}, {"reduced_motion": "reduce"}], ids=["forced", "still"]
)
async def test_pages_stand_in_forced_colours_and_without_motion(
    desk: Desk, options: dict[str, str]
) -> None:
    page = await desk.open("admin", **options)
    for name, path in pages(desk.facts, filled=True).items():
        await page.goto(desk.base + path)
        wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, name
        if "reduced_motion" in options:
            assert await page.evaluate("document.getAnimations().length") == 0, name
        else:
            unseen = await page.evaluate(
                "[...document.querySelectorAll('main .mark svg, .rail svg')].filter(one => "
                "one.checkVisibility() && getComputedStyle(one).color === "
                "getComputedStyle(document.body).backgroundColor).length"
            )
            assert unseen == 0, name
    assert desk.complaints == []


async def test_every_page_reads_without_scripts(desk: Desk) -> None:
    page = await desk.open("admin", java_script_enabled=False)
    for name, path in pages(desk.facts, filled=True).items():
        answer = await page.goto(desk.base + path)
        assert answer is not None
        assert answer.status in {200, 404}, name
        assert len(await page.inner_text("main")) > 20, name


async def test_hostile_names_do_nothing_on_any_page(desk: Desk) -> None:
    app, actor = desk.site.app, desk.site.people["admin"].actor
    for number, text in enumerate(HOSTILE):
        safe = text.replace("\0", "").encode("utf-8", "ignore").decode()[:190]
        with contextlib.suppress(InterlockError):
            await app.store.admin.create_key(KeySpec(label=safe), actor)
        with contextlib.suppress(InterlockError):
            await app.store.people.create_user(f"h{number}@x.example", actor, display_name=safe)
        with contextlib.suppress(InterlockError):
            await app.limits.profiles.create(
                actor, name=safe, params={"requests_per_second": 1, "burst": 1}, description=safe
            )
        await app.limits.routes.check(
            "POST", "/api/reports/x", Asker(address=safe[:60], user_id=None)
        )
    page = await desk.open("admin")
    page.on("dialog", lambda box: desk.complaints.append(f"dialog: {box.message}"))
    for path in ("keys", "users", "limits", "settings/audit", "usage", "policies/support-bot"):
        await page.goto(f"{desk.base}/console/{path}")
        for opener in await page.query_selector_all("main summary"):
            if await opener.is_visible():
                await opener.click()
        assert await page.evaluate("typeof planted") == "undefined"
    for row in (await app.store.admin.keys())[:90:4]:
        await page.goto(f"{desk.base}/console/keys?peek={row.id}")
    assert desk.complaints == []
