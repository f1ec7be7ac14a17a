"""Journeys through the console in a real browser."""

import pytest
from axe_playwright_python.async_playwright import Axe
from tests.browser.conftest import Desk
from tests.browser.shots import pages
from tests.support.console_traffic import decision_of
from tests.support.hostile import HOSTILE

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
async def test_no_page_breaks_a_rule_of_accessibility(desk: Desk, theme: str, width: int) -> None:
    page = await desk.open("admin", width=width, color_scheme=theme)
    broken = []
    for name, path in pages(desk.facts, filled=True).items():
        await page.goto(desk.base + path)
        result = await Axe().run(page)
        broken += [
            (name, rule["id"], [node["html"][:160] for node in rule["nodes"]][:3])
            for rule in result.response["violations"]
        ]
        wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if wide > 0:
            broken.append((name, "wider than the window", [str(wide)]))
    assert broken == []
    assert desk.complaints == []


async def test_a_denial_is_found_explained_and_simulated_with_keys_alone(desk: Desk) -> None:
    page = await desk.open("admin")
    await page.goto(f"{desk.base}/console")
    await page.keyboard.press("g")
    await page.keyboard.press("d")
    await page.wait_for_url("**/console/decisions")
    await page.goto(f"{desk.base}/console/decisions?verdict=denied&tool=send_email")
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#pane article")
    assert "peek=dec_" in page.url
    assert "body carries untrusted" in await page.inner_text("#pane .sentence")
    await page.keyboard.press("w")
    await page.fill("#whatif input[name='tags.body']", "")
    await page.fill("#whatif textarea[name='args']", '{"to": "ann@corp.example", "body": "x"}')
    await page.click("#whatif button[value='simulate']")
    await page.wait_for_selector("#whatif [role='status']")
    assert "line 5 no longer fires" in await page.inner_text("#whatif [role='status']")
    await page.keyboard.press("Escape")
    assert desk.complaints == []


async def test_the_value_of_a_node_opens_in_place(desk: Desk) -> None:
    page = await desk.open("admin")
    await page.goto(f"{desk.base}/console/decisions/{desk.facts['decision']}")
    await page.click(".graph.wide a[aria-label^='Tool result']")
    await page.wait_for_selector("#node pre")
    assert "newsletter@deals.example" in await page.inner_text("#node")
    assert "It reached" in await page.inner_text("#node")


async def test_a_broken_policy_is_marked_where_it_is_broken_and_goes_on_when_mended(
    desk: Desk,
) -> None:
    page = await desk.open("admin")
    await page.goto(f"{desk.base}/console/policies/support-bot")
    area = page.locator("#f-text")
    await area.fill('tool "x" {\n    must deny wenn true;\n}\n')
    await page.wait_for_selector("#check .finding[data-line='2'] .deny")
    assert await area.get_attribute("aria-invalid") == "true"
    assert await page.locator(".paint .squiggle").count() == 1
    await area.fill('tool "x" {\n    must deny always;\n}\n')
    await page.wait_for_selector("#check .allow")
    await page.keyboard.press("Control+s")
    await page.wait_for_selector("text=version 3")
    await page.goto(f"{desk.base}/console/policies/support-bot/activate")
    assert "0 of 2 tests pass" in await page.inner_text("main")
    assert desk.complaints == []


async def test_a_call_is_approved_on_a_phone(desk: Desk) -> None:
    page = await desk.open("admin", width=390, height=844)
    await page.goto(f"{desk.base}/console/approvals")
    await page.click(".cards a")
    button = page.locator("[data-after-reading]")
    assert await button.is_disabled()
    await page.evaluate(
        "document.querySelectorAll('[data-read]').forEach(one => one.scrollTop = 1e6)"
    )
    await page.wait_for_function("!document.querySelector('[data-after-reading]').disabled")
    await button.click()
    await page.wait_for_selector("text=Allowed by")


async def test_hostile_text_is_shown_and_does_nothing(desk: Desk) -> None:
    store = desk.site.app.store
    for number, text in enumerate(HOSTILE):
        safe = text.replace("\0", "").encode("utf-8", "ignore").decode()[:70_000]
        store.recorder.decision(
            decision_of(
                desk.site,
                0,
                id=f"dec_h{number:03}",
                tool=safe[:300] or "x",
                args={"value": safe},
                rule_text=safe[:300],
                caller={"user": safe[:200], "key": safe[:200]},
            )
        )
    assert await store.recorder.flush(wait_s=10)
    page = await desk.open("admin")
    page.on("dialog", lambda box: desk.complaints.append(f"dialog: {box.message}"))
    await page.goto(f"{desk.base}/console/decisions")
    for number in range(len(HOSTILE)):
        await page.goto(f"{desk.base}/console/decisions/dec_h{number:03}")
        assert await page.locator("#pane article").count() == 1
        assert await page.evaluate("typeof planted") == "undefined"
    assert desk.complaints == []


async def test_pages_read_and_forms_work_without_scripts(desk: Desk) -> None:
    page = await desk.open("admin", java_script_enabled=False)
    await page.goto(f"{desk.base}/console/decisions?verdict=denied")
    await page.click("tbody tr:nth-child(2) a")
    await page.wait_for_selector("#pane article")
    await page.goto(f"{desk.base}/console/keys/new")
    await page.fill("#f-label", "made without scripts")
    await page.click("button.primary")
    await page.wait_for_selector("text=Shown only this once")


async def test_single_keys_can_be_switched_off(desk: Desk) -> None:
    page = await desk.open("admin")
    await page.goto(f"{desk.base}/console/settings/appearance")
    await page.select_option("#f-keys", "off")
    await page.select_option("#f-theme", "dark")
    await page.click("text=Save appearance")
    await page.wait_for_selector("html[data-keys='off'][data-theme='dark']")
    await page.keyboard.press("?")
    assert await page.locator("dialog").count() == 0
    await page.keyboard.press("Control+k")
    await page.wait_for_selector("dialog[open]")


async def test_an_ended_session_keeps_what_was_typed(desk: Desk) -> None:
    page = await desk.open("admin")
    await page.goto(f"{desk.base}/console/policies/support-bot")
    desk.site.sign_in.sessions.clear()
    await page.fill("#f-text", "// typed before the session ended")
    await page.wait_for_selector("dialog[open]")
    assert await page.input_value("#f-text") == "// typed before the session ended"


async def test_the_editor_offers_tools_arguments_and_labels_to_the_keyboard(desk: Desk) -> None:
    page = await desk.open("admin")
    await page.goto(f"{desk.base}/console/policies/support-bot")
    await page.click("#f-text")
    await page.keyboard.press("Control+End")
    await page.keyboard.type('tool "re')
    await page.wait_for_selector(".offers [aria-selected='true']")
    assert await page.get_attribute("#f-text", "aria-activedescendant") == "offer-0"
    await page.keyboard.press("Enter")
    await page.keyboard.type(" { must deny when que")
    await page.keyboard.press("Tab")
    await page.keyboard.type(".ta")
    await page.keyboard.press("Enter")
    assert (await page.inner_text("#e-help")).startswith("tags: ")
    await page.keyboard.type(' overlaps {"un')
    await page.keyboard.press("Enter")
    await page.keyboard.type("}; }")
    written = await page.input_value("#f-text")
    assert written.endswith('tool "refund" { must deny when query.tags overlaps {"untrusted"}; }')
    await page.wait_for_selector("#check .outline a[data-line='11']")
    await page.click("#check .outline a[data-line='4']")
    assert (await page.evaluate("document.activeElement.selectionStart")) == written.index("tool")
    assert desk.complaints == []
