"""Every page for every role and state: status, headers, strictly parsed HTML, nothing planted."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import html5lib
import httpx
import pytest
from sqlalchemy import event
from tests.support.console_site import Site, console_site
from tests.support.console_traffic import MARKER, fill

from interlock.console.headers import HEADERS
from interlock.console.registry import PAGES
from interlock.gateway.approvals.model import Question
from interlock.gateway.history import DecisionFilter

pytestmark = pytest.mark.anyio


@pytest.fixture
async def site(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Site]:
    async with console_site(tmp_path) as found:
        yield found


def paths(facts: dict[str, str]) -> list[str]:
    """An address of every GET page."""
    found = []
    for page in PAGES:
        if "GET" not in page.methods:
            continue
        kind = page.path.split("/")[2] if page.path.count("/") > 1 else ""
        ids = {
            "decisions": facts["decision"],
            "approvals": facts["approval"],
            "keys": facts["key"],
            "go": facts["decision"],
            "users": facts["user"],
            "limits": facts["profile"],
        }
        path = page.path.replace("{id}", ids.get(kind, "x")).replace("{name}", facts["policy"])
        found.append(path.replace("{tab}", "about").replace("{token}", "x"))
    return sorted(
        {
            *found,
            f"/console/decisions?peek={facts['decision']}",
            f"/console/decisions/{facts['hostile']}",
            "/console/decisions?group=rule",
            f"/console/approvals?peek={facts['approval']}",
            f"/console/keys?peek={facts['key']}",
            "/console/settings/server",
            "/console/settings/retention",
            "/console/settings/security",
            "/console/settings/audit?actor=nobody&action=key.*&t=7d",
            f"/console/users?peek={facts['user']}",
            "/console/users?q=nobody+like+this",
            f"/console/users/{facts['disabled']}",
            "/console/limits?method=GET&path=/api/search&who=mo",
            f"/console/policies/{facts['policy']}/replay?run=1",
            f"/console/decisions?peek={facts['decision']}&node=result:1",
            f"/console/policies/new?decision={facts['hostile']}",
            "/console/settings/audit",
            "/console/usage?by=key&t=7d",
        }
    )


def _without_request(answer: httpx.Response) -> str:
    """The page, less what the browser itself asked for."""
    return answer.text.replace(answer.url.path, "")


def check(answer: httpx.Response) -> None:
    """Headers of every answer, and that HTML is without a mistake."""
    for name, value in HEADERS.items():
        if not (
            name == "content-security-policy"
            and "attachment" in answer.headers.get("content-disposition", "")
        ):
            assert answer.headers[name] == value, (answer.url, name)
    assert answer.headers["cache-control"] == "no-store", answer.url
    assert MARKER.encode() not in answer.content or "attachment" in answer.headers.get(
        "content-disposition", ""
    ), answer.url
    if answer.headers.get("content-type", "").startswith("text/html"):
        assert " style=" not in answer.text, answer.url
        parser = html5lib.HTMLParser(strict=True)
        if answer.text.lstrip().startswith("<!doctype"):
            parser.parse(answer.text)
            assert answer.text.count("<h1") == 1, answer.url
        else:
            parser.parseFragment(answer.text)


@pytest.mark.parametrize("role", ["admin", "member", "viewer", "stranger"])
async def test_every_page_answers_every_role_with_sound_html(site: Site, role: str) -> None:
    facts = await fill(site)
    async with site.client(role) as browser:
        for path in paths(facts):
            answer = await browser.get(path)
            assert answer.status_code in {200, 303, 403, 404}, (path, answer.text[-500:])
            if role == "admin":
                # No conversation is recorded here; pages of real ones are in test_chat_page.py.
                unknown = {"/console/chat/x", "/console/invite/x"}
                allowed = {404} if path in unknown else {200, 303}
                assert answer.status_code in allowed, path
            check(answer)


async def test_empty_pages_say_what_will_appear(site: Site) -> None:
    async with site.client("member") as browser:
        for path, words in {
            "/console/decisions?t=all": "No tool call was decided yet",
            "/console/approvals": "Nothing waits",
            "/console/usage": "Nothing was used in this time",
            "/console/policies": "No policy yet",
            "/console/keys": "No key yet",
        }.items():
            answer = await browser.get(path)
            assert answer.status_code == 200
            assert words in answer.text, path
            check(answer)


async def test_a_page_of_another_account_is_the_page_of_an_unknown_id(site: Site) -> None:
    facts = await fill(site)
    async with site.client("stranger") as browser:
        for path, unknown in (
            (f"/console/decisions/{facts['decision']}", "/console/decisions/dec_none"),
            (f"/console/decisions/{facts['decision']}/what-if", "/console/decisions/dec_n/what-if"),
            (f"/console/decisions/{facts['decision']}/json", "/console/decisions/dec_n/json"),
            (f"/console/approvals/{facts['approval']}", "/console/approvals/apr_none"),
            (f"/console/keys/{facts['key']}", "/console/keys/key_none"),
            (f"/console/go/{facts['decision']}", "/console/go/dec_none"),
        ):
            foreign, missing = await browser.get(path), await browser.get(unknown)
            assert foreign.status_code == missing.status_code == 404, path
            assert "Nothing with this id here" in foreign.text
            assert _without_request(foreign) == _without_request(missing)
        for path in (
            f"/console/approvals/{facts['approval']}",
            f"/console/keys/{facts['key']}/revoke",
        ):
            answer = await browser.post(path, data={"csrf": "csrf-stranger", "do": "allow"})
            assert answer.status_code == 404
        found = await browser.get("/console/decisions?t=all")
        assert "dec_" not in found.text


async def test_nobody_is_sent_to_the_login_and_parts_are_refused(site: Site) -> None:
    async with site.client(None) as browser:
        for page in PAGES:
            path = page.path.replace("{id}", "x").replace("{name}", "x").replace("{tab}", "about")
            if page.right == "public":
                continue
            if "GET" in page.methods:
                answer = await browser.get(path)
                assert answer.status_code == 303
                assert answer.headers["location"].startswith("/console/login?next=/console")
                part = await browser.get(path, headers={"accept-fragment": "pane"})
                assert part.status_code == 401
            else:
                assert (await browser.post(path)).status_code == 401


async def test_a_form_of_another_page_changes_nothing(site: Site) -> None:
    async with site.client("admin") as browser:
        form = {"label": "forged", "expires": "30", "retention": "full", "tool_pinning": "off"}
        for extra, headers in (
            ({}, {}),
            ({"csrf": "wrong"}, {}),
            ({"csrf": "csrf-member"}, {}),
            ({"csrf": "csrf-admin"}, {"origin": "https://evil.example"}),
            ({"csrf": "csrf-admin"}, {"sec-fetch-site": "cross-site"}),
        ):
            answer = await browser.post("/console/keys", data={**form, **extra}, headers=headers)
            assert answer.status_code == 403
        for page in PAGES:
            if page.methods == ("POST",) and page.right != "public":
                path = page.path.replace("{id}", "x").replace("{name}", "x").replace("{token}", "x")
                assert (await browser.post(path, data={"csrf": "no"})).status_code == 403, path
    assert "forged" not in {key.label for key in await site.app.store.admin.keys()}


async def test_what_an_administrator_may_do_is_refused_to_a_member(site: Site) -> None:
    await fill(site)
    token = {"csrf": "csrf-member"}
    async with site.client("member") as browser:
        for path, form in (
            ("/console/policies/new", {"name": "mine", "text": "x"}),
            ("/console/policies/support-bot", {"text": "x"}),
            ("/console/policies/support-bot/activate", {"do": "retire"}),
            ("/console/policies/support-bot/used", {"kind": "server"}),
            ("/console/policies/support-bot/tests", {"text": "x"}),
            ("/console/demo", {}),
            ("/console/providers/demo/test", {}),
            ("/console/users/new", {"email": "a@b.example"}),
            ("/console/users/x/role", {"global_role": "admin"}),
            ("/console/users/x/invite", {}),
            ("/console/users/x/remove", {}),
            ("/console/limits/new", {"name": "x"}),
            ("/console/limits/profiles/x", {"name": "x"}),
        ):
            assert (await browser.post(path, data={**form, **token})).status_code == 403, path
        assert (await browser.get("/console/settings/audit")).status_code == 403
        for path in ("server", "retention"):
            assert (await browser.get(f"/console/settings/{path}")).status_code == 403
        for path in ("users", "limits"):
            assert (await browser.get(f"/console/{path}")).status_code == 403


async def test_revoking_a_key_asks_for_the_password_when_the_sign_in_is_old(site: Site) -> None:
    key = (await site.app.store.admin.keys())[0]
    old = dataclasses.replace(site.people["admin"], signed_in_at=0.0)
    async with site.client("admin") as browser:
        token = site.sign_in.open(old)
        headers = {"cookie": f"SESSION_ID={token}"}
        path, form = f"/console/keys/{key.id}/revoke", {"csrf": "csrf-admin"}
        browser.cookies.clear()
        asked = await browser.post(path, data=form, headers=headers)
        wrong = await browser.post(path, data={**form, "confirm_password": "no"}, headers=headers)
        assert (asked.status_code, wrong.status_code) == (403, 403)
        assert "Confirm that it is you" in asked.text
        assert "This is not your password" in wrong.text
        assert (await site.app.store.admin.key(key.id)).revoked_at is None
        right = {**form, "confirm_password": "correct horse battery"}
        assert (await browser.post(path, data=right, headers=headers)).status_code == 303
    assert (await site.app.store.admin.key(key.id)).revoked_at is not None


async def test_the_demo_attack_is_stopped_and_says_why(site: Site) -> None:
    async with site.client("admin") as browser:
        played = await browser.post("/console/demo", data={"csrf": "csrf-admin"})
        shown = await browser.get(played.headers["location"])
        again = await browser.post("/console/demo", data={"csrf": "csrf-admin"})
    assert played.status_code == again.status_code == 303
    assert "Hard denied" in shown.text
    assert "<b>the session</b> carries" in shown.text
    assert "read_inbox</a>" in shown.text
    assert "demo-attack version 1" in shown.text


async def test_a_simulation_says_what_would_be_different_and_records_nothing(site: Site) -> None:
    facts = await fill(site)
    path = f"/console/decisions/{facts['decision']}/what-if"
    before = await site.app.store.history.count(DecisionFilter())
    async with site.client("admin") as browser:
        clean = await browser.post(
            path,
            data={
                "csrf": "csrf-admin",
                "args": '{"to": "ann@corp.example", "body": "x"}',
                "session_tags": "",
                "tags.body": "",
                "do": "simulate",
            },
        )
        broken = await browser.post(path, data={"csrf": "csrf-admin", "args": "[1]"})
        edited = await browser.post(
            path, data={"csrf": "csrf-admin", "args": "{}", "policy": "tool {", "do": "simulate"}
        )
    assert "would be allowed: line 5 no longer fires" in clean.text.lower()
    assert "Simulation" in clean.text
    assert broken.status_code == 400
    assert "does not compile" in edited.text
    assert await site.app.store.history.count(DecisionFilter()) == before


async def test_a_list_is_one_query_however_many_rows_it_has(site: Site) -> None:
    await fill(site)
    counted: list[str] = []
    engine = site.app.store.database._engine
    event.listen(
        engine.sync_engine, "before_cursor_execute", lambda *given: counted.append(given[2])
    )
    async with site.client("admin") as browser:
        await browser.get("/console/decisions?t=all")
        many = [one for one in counted if "FROM decisions" in one]
        counted.clear()
        await browser.get("/console/decisions?t=all&verdict=denied&tool=refund")
        few = [one for one in counted if "FROM decisions" in one]
    assert sum("decisions.args" in one for one in many) == 1
    assert len(many) == len(few) == 3


async def test_next_never_leads_out_of_the_console(site: Site) -> None:
    async with site.client("admin") as browser:
        for wanted in (
            "https://evil.example",
            "//evil.example",
            "/console/../api",
            "/other",
            "/console//evil.example",
            "/\\evil.example",
            "/console/\r\nx: y",
        ):
            answer = await browser.get("/console/login", params={"next": wanted})
            assert answer.headers["location"] == "/console", wanted


async def test_a_second_saver_is_shown_both_texts(site: Site) -> None:
    await fill(site)
    async with site.client("admin") as browser:
        answer = await browser.post(
            "/console/policies/support-bot",
            data={"csrf": "csrf-admin", "base": "1", "text": "// mine\n"},
        )
    assert answer.status_code == 409
    assert "saved version 2 while you were writing on version 1" in answer.text
    assert "// mine" in answer.text
    _, versions = await site.app.store.policies.versions("support-bot")
    assert len(versions) == 2


async def test_nobody_allows_a_call_of_an_own_key_whatever_the_address_was(site: Site) -> None:
    await fill(site)
    store = site.app.store
    me = site.people["admin"].user_id
    mine = next(one for one in await store.admin.keys() if one.user_id == me)
    question = Question(
        decision_id="dec_own",
        account_id=mine.account_id,
        key_id=mine.id,
        session_id="6b098d62-7ab9-87a1-b170-000000000001",
        surface="control",
        asked_for="maya-before-she-married@corp.example",
        tool="issue_refund",
        rule="issue_refund#0",
        arguments={"amount": 180},
        labels={},
        lineage={},
        keep_values=True,
    )
    await store.approvals._open("apr_own", question)
    async with site.client("admin") as browser:
        form = {"csrf": "csrf-admin", "do": "allow"}
        answer = await browser.post("/console/approvals/apr_own", data=form)
    assert answer.status_code == 403
    assert "you asked for this call yourself" in answer.text
    assert (await store.approvals.find("apr_own")).state == "pending"


async def test_an_approval_is_decided_once(site: Site) -> None:
    facts = await fill(site)
    path = f"/console/approvals/{facts['approval']}"
    async with site.client("admin") as browser:
        form = {"csrf": "csrf-admin", "do": "allow", "reason": "known partner"}
        first = await browser.post(path, data=form)
        second = await browser.post(path, data={**form, "do": "deny"})
        shown = await browser.get(path)
    assert (first.status_code, second.status_code) == (303, 409)
    assert "known partner" in shown.text
    entries = await site.app.store.audit.entries(action="approval.allow")
    assert [one.surface for one in entries] == ["console"]
