"""Every route for every role, with what it names existing, missing and foreign.

The table below says what each route answers; a route that is not in it fails the test.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.console_site import Site, console_site
from tests.support.console_traffic import fill
from tests.unit.console.test_pages import check

from interlock.console.page import Page
from interlock.console.registry import PAGES

pytestmark = pytest.mark.anyio

ROLES = (None, "viewer", "member", "stranger", "admin")
_CSRF = {role: f"csrf-{role}" for role in ROLES}
_KINDS = {
    "decisions": "decision",
    "approvals": "approval",
    "keys": "key",
    "users": "user",
    "limits": "profile",
    "go": "decision",
}
"""First part of a path -> what its `{id}` is among the facts."""
_DOES_MORE = {"/console/logout", "/console/demo"}
"""Sent for real they end the session or play a whole attack: other tests do."""


@pytest.fixture
async def site(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Site]:
    async with console_site(tmp_path) as found:
        yield found


def address_of(page: Page, facts: dict[str, str], *, missing: bool) -> str:
    """The path with something that is there, or with an id of nothing."""
    kind = page.path.split("/")[2] if page.path.count("/") > 1 else ""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if missing:
            return "nothing_of_this_name"
        if name == "id":
            return facts.get(_KINDS.get(kind, ""), "nothing_of_this_name")
        if name == "name":
            return "demo" if kind == "providers" else facts["policy"]
        return {"tab": "about"}.get(name, "nothing_of_this_name")

    return re.sub(r"\{(\w+)\}", value, page.path)


def id_of(page: Page) -> bool:
    return "{" in page.path and not page.path.endswith("{tab}")


@pytest.mark.parametrize("role", ROLES)
async def test_every_route_keeps_to_its_right_for_what_is_there_and_what_is_not(
    site: Site, role: str | None
) -> None:
    facts = await fill(site)
    wrong: list[tuple[object, ...]] = []
    async with site.client(role) as browser:
        for page in PAGES:
            for missing in (False, True) if id_of(page) else (False,):
                path = address_of(page, facts, missing=missing)
                for method in page.methods:
                    if method == "POST" and page.path in _DOES_MORE:
                        continue
                    if method == "GET":
                        answer = await browser.get(path)
                    else:  # no field but the token: nothing can be changed by accident
                        form = {"csrf": _CSRF[role]}
                        if not missing and "confirm" not in path and role == "admin":
                            form = {"csrf": "not it"}
                        answer = await browser.post(path, data=form)
                    status = answer.status_code
                    if role is None and page.right != "public":
                        good = {303} if method == "GET" else {401}
                    elif page.right == "admin" and role != "admin":
                        good = {403}
                    elif missing and role == "admin" and method == "GET":
                        good = {404} if "/go/" not in path else {404, 303}
                    elif missing:
                        good = {303, 400, 403, 404}
                    else:
                        good = {200, 303, 400, 401, 403, 404, 409, 422}
                    if status not in good:
                        wrong.append((method, path, status, sorted(good)))
                    if status != 405:
                        check(answer)
    assert wrong == []


@pytest.mark.parametrize("role", ["admin", "member", "viewer"])
async def test_every_page_with_nothing_in_the_server_is_a_page(site: Site, role: str) -> None:
    async with site.client(role) as browser:
        for page in PAGES:
            if "GET" in page.methods and not id_of(page):
                answer = await browser.get(page.path.replace("{tab}", "about"))
                allowed = {200, 303} if page.right != "admin" or role == "admin" else {403}
                own = {"/console/policies/new", "/console/settings/server", "/console/keys/new"}
                if role != "admin" and page.path in own:
                    allowed |= {403}
                assert answer.status_code in allowed, page.path
                check(answer)


async def test_every_page_that_is_fetched_as_a_part_says_that_it_varies(site: Site) -> None:
    facts = await fill(site)
    async with site.client("admin") as browser:
        for page in PAGES:
            if "GET" not in page.methods:
                continue
            answer = await browser.get(
                address_of(page, facts, missing=False), headers={"accept-fragment": "nothing"}
            )
            if answer.headers.get("content-type", "").startswith("text/html"):
                assert "Accept-Fragment" in answer.headers["vary"], page.path
