"""Pictures of every page: `make console-shots SHOTS=DIR`. Looked at by people, not asserted."""

import asyncio
import html
import sys
import tempfile
from pathlib import Path

from playwright.async_api import async_playwright
from tests.support.console_site import console_site, serving
from tests.support.console_traffic import fill

CHROMIUM = "/usr/bin/chromium"
WIDTHS = {"1440": (1440, 900), "390": (390, 844)}
THEMES = ("light", "dark")


def pages(facts: dict[str, str], *, filled: bool) -> dict[str, str]:
    """Name -> path of every page and state."""
    found = {
        "home": "/console",
        "decisions": "/console/decisions",
        "approvals": "/console/approvals",
        "usage": "/console/usage",
        "policies": "/console/policies",
        "keys": "/console/keys",
        "policy-new": "/console/policies/new?starter=outside-text",
        "key-new": "/console/keys/new",
        "providers": "/console/providers",
        "more": "/console/more",
        "users": "/console/users",
        "user-new": "/console/users/new",
        "limits": "/console/limits",
        "limit-new": "/console/limits/new",
        "chat": "/console/chat",
        **{
            f"settings-{tab}": f"/console/settings/{tab}"
            for tab in (
                "profile",
                "security",
                "appearance",
                "keys",
                "server",
                "retention",
                "audit",
                "about",
            )
        },
    }
    if filled:
        one, policy = facts["decision"], f"/console/policies/{facts['policy']}"
        found |= {
            "decisions-peek": f"/console/decisions?peek={one}",
            "decisions-grouped": "/console/decisions?group=rule",
            "decisions-none-fits": "/console/decisions?tool=nothing_like_this",
            "decision": f"/console/decisions/{one}",
            "what-if": f"/console/decisions/{one}/what-if",
            "policy": policy,
            "policy-tests": f"{policy}/tests",
            "policy-replay": f"{policy}/replay?run=1",
            "policy-versions": f"{policy}/versions",
            "policy-used": f"{policy}/used",
            "policy-activate": f"{policy}/activate",
            "policy-from-decision": f"/console/policies/new?decision={one}",
            "approval": f"/console/approvals/{facts['approval']}",
            "approvals-peek": f"/console/approvals?peek={facts['approval']}",
            "key": f"/console/keys/{facts['key']}",
            "key-limited": f"/console/keys/{facts['limited_key']}",
            "keys-peek": f"/console/keys?peek={facts['key']}",
            "user": f"/console/users/{facts['user']}",
            "user-invited": f"/console/users/{facts['invited']}",
            "user-disabled": f"/console/users/{facts['disabled']}",
            "users-peek": f"/console/users?peek={facts['user']}",
            "users-none-fits": "/console/users?q=nobody+like+this",
            "limits-tried": "/console/limits?method=GET&path=/api/search&who=mo",
            "limit-profile": f"/console/limits/profiles/{facts['profile']}",
            "audit-none-fits": "/console/settings/audit?actor=nobody",
            "invite-used": "/console/invite/nothing",
            "missing": "/console/decisions/dec_nothing",
            "leaving": "/console/leaving?to=https%3A%2F%2Fxn--pypal-4ve.com%2Flogin",
            "hostile": f"/console/decisions/{facts['hostile']}",
        }
    return found


async def main(folder: Path) -> None:
    """Writes the pictures and an index page."""
    folder.mkdir(parents=True, exist_ok=True)
    taken: list[str] = []
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for state in ("empty", "filled"):
            with tempfile.TemporaryDirectory() as data:
                async with console_site(Path(data)) as site, serving(site) as base:
                    facts = await fill(site) if state == "filled" else {}
                    token = site.sign_in.open(site.people["admin"])
                    for width, (wide, high) in WIDTHS.items():
                        for theme in THEMES:
                            context = await browser.new_context(
                                viewport={"width": wide, "height": high}, color_scheme=theme
                            )
                            await context.add_cookies(
                                [{"name": "SESSION_ID", "value": token, "url": base}]
                            )
                            page = await context.new_page()
                            for name, path in pages(facts, filled=state == "filled").items():
                                if only and not any(one in name for one in only):
                                    continue
                                await page.goto(base + path, wait_until="load")
                                file = f"{name}.{state}.{width}.{theme}.png"
                                await page.screenshot(path=folder / file, full_page=True)
                                taken.append(file)
                            await context.clear_cookies()
                            if state == "empty" and not only:
                                await page.goto(f"{base}/console/login")
                                await page.screenshot(path=folder / f"login.{width}.{theme}.png")
                                taken.append(f"login.{width}.{theme}.png")
                            await context.close()
        await browser.close()
    rows = "".join(
        f'<figure><img loading="lazy" src="{html.escape(name)}" width="480"><figcaption>'
        f"{html.escape(name)}</figcaption></figure>"
        for name in sorted(taken)
    )
    (folder / "index.html").write_text(f"<!doctype html><title>Console</title>{rows}")
    sys.stdout.write(f"{len(taken)} pictures in {folder}\n")


only = sys.argv[2:]
if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
