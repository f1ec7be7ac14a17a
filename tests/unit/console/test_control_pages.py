"""Limits, people and one's own settings, changed through the pages."""

import dataclasses
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.support.console_site import PASSWORD, Site, console_site
from tests.support.control_rows import fill_control
from tests.support.gateway import running_gateway

from interlock.identity.model import Actor, KeyLimits, KeySpec
from interlock.limits.routes import Asker

pytestmark = pytest.mark.anyio

_ADMIN = {"csrf": "csrf-admin"}
_PROFILE = {
    "name": "strict",
    "algorithm": "gcra",
    "scope": "user",
    "requests_per_second": "0.01",
    "burst": "1",
}


@pytest.fixture
async def site(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Site]:
    async with console_site(tmp_path) as found:
        yield found


async def made_profile(browser: httpx.AsyncClient, **changes: str) -> str:
    answer = await browser.post("/console/limits/new", data={**_PROFILE, **_ADMIN, **changes})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def test_a_limit_made_on_the_page_stops_the_next_request(site: Site) -> None:
    asker = Asker(address="192.0.2.1", user_id=site.people["member"].user_id)
    routes = site.app.limits.routes
    async with site.client("admin") as browser:
        page = await made_profile(browser)
        assigned = await browser.post(
            f"{page}/assign", data={"method": "GET", "path": "/api/x", **_ADMIN}
        )
        assert assigned.status_code == 303
        told = (await browser.get("/console/limits?method=GET&path=/api/x&who=mo")).text
        assert "profile strict" in told
        assert "0 left after it" in told
        verdicts = [await routes.check("GET", "/api/x", asker) for _ in range(2)]
        assert [one is not None and one.verdict.allowed for one in verdicts] == [True, False]
        now = (await browser.get("/console/limits", headers={"accept-fragment": "now"})).text
        assert "Limited" in now
        assert ">mo<" in now
        told = (await browser.get("/console/limits?method=GET&path=/api/x&who=mo")).text
        assert "refused" in told
        other = (await browser.get("/console/limits?method=GET&path=/api/x&who=sam")).text
        assert "allowed" in other

        changed = {**_PROFILE, "requests_per_second": "100", "burst": "50", **_ADMIN}
        assert (await browser.post(page, data=changed)).status_code == 303
        again = await routes.check("GET", "/api/x", asker)
        assert again is not None
        assert again.verdict.allowed


async def test_the_tester_says_what_it_cannot_tell(site: Site) -> None:
    async with site.client("admin") as browser:
        for query, words in (
            ("method=GET&path=/control/chat", "limited by their key"),
            ("method=GET&path=/elsewhere", "is not limited"),
            ("method=GET&path=/api/x&who=nobody", "nobody"),
            ("method=BREW&path=/api/x", "method must be one of"),
            ("method=GET&path=http://[::1", "this is no path"),
            ("method=GET&path=/api/x&who=192.0.2.1", "profile default"),
            ("method=POST&path=/api/auth/login&who=2001:db8::1", "profile auth_login"),
        ):
            answer = await browser.get(f"/console/limits?{query}")
            assert answer.status_code == 200, query
            assert words in answer.text, query


async def test_a_profile_that_is_no_limit_is_refused_beside_its_field(site: Site) -> None:
    async with site.client("admin") as browser:
        for changes, field in (
            ({"name": " "}, "name"),
            ({"requests_per_second": "fast"}, "requests_per_second"),
            ({"requests_per_second": "-1"}, "requests_per_second"),
            ({"burst": "nan"}, "burst"),
            ({"algorithm": "fixed_window", "limit": ""}, "limit"),
        ):
            answer = await browser.post(
                "/console/limits/new", data={**_PROFILE, **_ADMIN, **changes}
            )
            assert answer.status_code == 400, changes
            wrong = re.search(rf'id="f-{field}"[^>]*aria-invalid="true"', answer.text)
            assert wrong, (changes, field)
        for changes in ({"scope": "moon"}, {"algorithm": "leaky"}, {"burst": "1e300"}):
            answer = await browser.post(
                "/console/limits/new", data={**_PROFILE, **_ADMIN, **changes}
            )
            assert answer.status_code == 400, changes
            assert 'role="alert"' in answer.text
        first = await made_profile(browser)
        twice = await browser.post("/console/limits/new", data={**_PROFILE, **_ADMIN})
        assert (twice.status_code, "exists already" in twice.text) == (400, True)
        bad = await browser.post(f"{first}/assign", data={"method": "X", "path": "/", **_ADMIN})
        assert bad.status_code == 400


async def test_a_profile_in_use_is_taken_off_its_routes_before_it_goes(site: Site) -> None:
    async with site.client("admin") as browser:
        page = await made_profile(browser)
        await browser.post(f"{page}/assign", data={"method": "GET", "path": "/api/x", **_ADMIN})
        assert (await browser.post(f"{page}/delete", data=_ADMIN)).status_code == 409
        (route,) = await site.app.limits.profiles.assignments()
        gone = await browser.post(f"{page}/unassign", data={"assignment": route.id, **_ADMIN})
        twice = await browser.post(f"{page}/unassign", data={"assignment": route.id, **_ADMIN})
        assert (gone.status_code, twice.status_code) == (303, 404)
        assert (await browser.post(f"{page}/delete", data=_ADMIN)).status_code == 303
        assert (await browser.get(page)).status_code == 404


async def test_changes_of_limits_and_people_name_their_effect_and_ask_for_the_password(
    site: Site,
) -> None:
    facts = await fill_control(site)
    old = dataclasses.replace(site.people["admin"], signed_in_at=0.0)
    async with site.client("admin") as browser:
        browser.cookies.clear()
        headers = {"cookie": f"SESSION_ID={site.sign_in.open(old)}"}
        person, profile = f"/console/users/{facts['user']}", facts["profile"]
        for path, form, effect in (
            (f"/console/limits/profiles/{profile}", _PROFILE, "from 3 a minute, bursts of 2"),
            (f"/console/limits/profiles/{profile}/delete", {}, "removes the limit"),
            (f"{person}/disable", {}, "1 session and 1 key stops working"),
            (f"{person}/remove", {}, "for good"),
            (f"{person}/role", {"global_role": "admin"}, "becomes administrator"),
            (f"{person}/invite", {}, "can choose a password for mo"),
            ("/console/users/new", {"email": "a@b.example"}, "a@b.example"),
        ):
            asked = await browser.post(path, data={**form, **_ADMIN}, headers=headers)
            assert (asked.status_code, effect in asked.text) == (403, True), (path, asked.text)
        right = {"confirm_password": PASSWORD, **_ADMIN}
        done = await browser.post(f"{person}/disable", data=right, headers=headers)
        assert done.status_code == 303
    row = await site.app.store.people.get(facts["user"])
    assert row.disabled_at is not None


async def test_the_last_administrator_stays_whatever_is_pressed(site: Site) -> None:
    page = f"/console/users/{site.people['admin'].user_id}"
    async with site.client("admin") as browser:
        for path, form in (("disable", {}), ("remove", {}), ("role", {"global_role": "member"})):
            answer = await browser.post(f"{page}/{path}", data={**form, **_ADMIN})
            assert answer.status_code == 409, path
            assert "administrator" in answer.text
        bad = await browser.post(f"{page}/role", data={"global_role": "god", **_ADMIN})
        assert bad.status_code == 400


async def test_a_session_of_somebody_is_ended_and_people_come_and_go(site: Site) -> None:
    facts = await fill_control(site)
    page = f"/console/users/{facts['user']}"
    people = site.app.store.people
    (session,) = await people.sessions_of(facts["user"])
    async with site.client("admin") as browser:
        shown = (await browser.get(page)).text
        assert "Firefox on Linux" in shown
        assert "192.0.2.7" in shown
        form = {"session": session.id, **_ADMIN}
        assert (await browser.post(f"{page}/sign-out", data=form)).status_code == 303
        assert (await browser.post(f"{page}/sign-out", data=form)).status_code == 404
        assert await people.sessions_of(facts["user"]) == []
        assert (await browser.post(f"{page}/sign-out", data=_ADMIN)).status_code == 303
        assert (await browser.post(f"{page}/disable", data=_ADMIN)).status_code == 303
        assert "Shut out" in (await browser.get(page)).text
        assert (await browser.post(f"{page}/enable", data=_ADMIN)).status_code == 303
        assert (await browser.post(f"{page}/remove", data=_ADMIN)).status_code == 303
        assert (await browser.get(page)).status_code == 404
        twice = await browser.post(
            "/console/users/new", data={"email": "ines@corp.example", **_ADMIN}
        )
        assert twice.status_code == 400
        assert "ines@corp.example" in twice.text


async def test_an_invited_person_chooses_a_password_and_signs_in(tmp_path: Path) -> None:
    async with running_gateway(tmp_path) as gateway:
        admin, http = gateway.app.store.admin, gateway.http
        email = (await admin.keys())[0].user_email
        await admin.set_password(email, PASSWORD, Actor(name="test", surface="server"))
        await http.post("/console/login", data={"identifier": email, "password": PASSWORD})
        token = {"csrf": http.cookies["CSRF-TOKEN"]}
        made = await http.post(
            "/console/users/new", data={"email": "ines@example.com", "username": "ines", **token}
        )
        assert made.status_code == 200, made.text
        found = re.search(r"/console/invite/[A-Za-z0-9_-]+", made.text)
        assert found
        link = found[0]
        http.cookies.clear()

        assert "ines@example.com" in (await http.get(link)).text
        both = {"password": "a good password", "again": "a good password"}
        differ = await http.post(link, data={**both, "again": "another"})
        short = await http.post(link, data={"password": "x", "again": "x"})
        foreign = await http.post(link, data=both, headers={"origin": "https://evil.example"})
        assert [one.status_code for one in (differ, short, foreign)] == [400, 400, 403]
        assert (await http.post(link, data=both)).headers["location"].endswith("?out=2")
        used, made_up = await http.get(link), await http.get("/console/invite/AAAA")
        assert (used.status_code, made_up.status_code) == (404, 404)
        assert "not good any more" in used.text
        right = await http.post(
            "/console/login", data={"identifier": "ines", "password": "a good password"}
        )
        assert right.status_code == 303

        await http.post("/console/login", data={"identifier": "ines", "password": both["again"]})
        token = {"csrf": http.cookies["CSRF-TOKEN"]}
        page = (await http.get("/console/settings/security")).text
        assert page.count("this one") == 1
        wrong = {"password": "not it", "new_password": "brand new one", "again": "brand new one"}
        where = "/console/settings/security/password"
        for form, words in (
            (wrong, "this is not your password"),
            ({**wrong, "again": "x"}, "the two new passwords differ"),
            ({**wrong, "password": both["again"], "new_password": "x", "again": "x"}, "8"),
        ):
            refused = await http.post(where, data={**form, **token})
            assert (refused.status_code, words in refused.text) == (400, True), form
        good = {**wrong, "password": both["again"], **token}
        assert (await http.post(where, data=good)).status_code == 303
        people = gateway.app.store.people
        user = await people.named("ines")
        assert len(await people.sessions_of(user.id)) == 1
        named = await http.post(
            "/console/settings/profile", data={"display_name": "Ines I.", **token}
        )
        assert named.status_code == 303
        assert (await people.get(user.id)).display_name == "Ines I."
        (own,) = await people.sessions_of(user.id)
        out = await http.post(
            "/console/settings/security/sign-out", data={"session": own.id, **token}
        )
        assert out.status_code == 303
        assert (await http.get("/console")).headers["location"].startswith("/console/login")


async def test_times_are_shown_in_the_zone_of_the_person(site: Site) -> None:
    async with site.client("admin") as browser:
        here = await browser.get("/console/keys/" + (await site.app.store.admin.keys())[0].id)
        assert " UTC" in here.text
        kept = await browser.post(
            "/console/settings/appearance", data={"zone": "Asia/Kolkata", **_ADMIN}
        )
        assert "zone:Asia~Kolkata" in kept.headers["set-cookie"]
        there = await browser.get(here.url.path)
        assert " IST" in there.text
        await browser.post("/console/settings/appearance", data={"zone": "../etc", **_ADMIN})
        assert " IST" in (await browser.get(here.url.path)).text


async def test_the_audit_log_is_filtered_and_exported_as_it_is_shown(site: Site) -> None:
    facts = await fill_control(site)
    async with site.client("admin") as browser:
        shown = await browser.get(f"/console/settings/audit?target={facts['profile']}")
        assert "limit.create" in shown.text
        assert "user.create" not in shown.text
        none = await browser.get("/console/settings/audit?actor=nobody&target=a%00b")
        assert "No entry fits" in none.text
        rows = await browser.get("/console/settings/audit/export?action=limit.create")
        assert len(rows.text.splitlines()) == 3
        listed = await browser.get("/console/settings/audit/export?action=limit.create&as=json")
        assert {one["action"] for one in listed.json()} == {"limit.create"}
        for answer in (rows, listed):
            assert "attachment" in answer.headers["content-disposition"]


async def test_a_key_opens_while_the_shared_counters_do_not_answer(tmp_path: Path) -> None:
    away = {"INTERLOCK_REDIS_URL": "redis://127.0.0.1:1/0"}
    async with console_site(tmp_path, environ=away) as site:
        made = await site.app.store.admin.create_key(
            KeySpec(label="limited", limits=KeyLimits(requests_per_minute=2)),
            site.people["admin"].actor,
        )
        async with site.client("admin") as browser:
            page = await browser.get(f"/console/keys/{made.view.id}")
            assert page.status_code == 200
            assert "do not answer" in page.text
            limits = await browser.get("/console/limits")
            assert limits.status_code == 503
            assert "counters of rate limits do not answer" in limits.text
