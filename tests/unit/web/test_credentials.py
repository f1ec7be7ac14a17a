from collections.abc import AsyncIterator
from http.cookies import SimpleCookie

import httpx
import pytest
from tests.support.people_site import PeopleSite, people_site

from interlock.identity.model import Actor, KeySpec
from interlock.storage.engine import Database
from interlock.web.settings import CookieSettings, SecuritySettings

pytestmark = pytest.mark.anyio

ACTOR = Actor(name="test", surface="server")
PASSWORD = "correct horse"
SETUP = {"username": "ann", "email": "ann@example.com", "password": PASSWORD}
LOGIN = {"email": "ann", "password": PASSWORD}


@pytest.fixture
async def site(database: Database) -> AsyncIterator[PeopleSite]:
    async with people_site(database) as found:
        yield found


async def signed_in(site: PeopleSite, client: httpx.AsyncClient) -> str:
    """Signs the first user in; returns the CSRF value."""
    if not await site.people.is_set_up():
        assert (await client.post("/api/setup", json=SETUP)).status_code == 200
    answer = await client.post("/api/auth/login", json=LOGIN)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["csrf_token"])


def cookies(answer: httpx.Response) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for line in answer.headers.get_list("set-cookie"):
        for name, morsel in SimpleCookie(line).items():
            found[name] = {k: str(v) for k, v in morsel.items() if v} | {"value": morsel.value}
    return found


async def test_the_web_sequence_sets_up_signs_in_and_reloads(site: PeopleSite) -> None:
    async with site.browser() as client:
        assert (await client.get("/api/setup")).json() == {"is_setup": False}
        made = await client.post("/api/setup", json=SETUP)
        assert (made.status_code, made.content) == (200, b"")
        assert (await client.get("/api/setup")).json() == {"is_setup": True}
        again = await client.post("/api/setup", json=SETUP)
        assert (again.status_code, again.json()["code"]) == (400, "already_set_up")

        login = await client.post("/api/auth/login", json=LOGIN)
        assert login.headers["x-session-rotated"] == "1"
        body = login.json()
        assert body["user"]["roles"] == ["admin", "member"]
        assert body["csrf_token"] == cookies(login)["CSRF-TOKEN"]["value"]
        me = await client.get("/api/auth/me")
        assert me.json() == {"user": body["user"], "session": body["session"]}


async def test_cookies_have_exactly_the_published_attributes(site: PeopleSite) -> None:
    async with site.browser() as client:
        await signed_in(site, client)
        answer = await client.post("/api/auth/login", json=LOGIN)

    kept = {"path": "/", "max-age": "28800", "expires": "Thu, 09 Oct 2025 16:53:20 GMT"}
    found = cookies(answer)
    session, csrf = found["SESSION_ID"], found["CSRF-TOKEN"]
    assert len(session.pop("value")) == 43
    assert len(csrf.pop("value")) >= 22
    assert session == kept | {"httponly": "True", "samesite": "Lax"}
    assert csrf == kept | {"samesite": "Strict"}


async def test_cookies_are_secure_when_the_public_address_is_https(database: Database) -> None:
    security = SecuritySettings(cookie=CookieSettings(domain="example.com"))
    async with (
        people_site(database, public_base_url="https://example.com", security=security) as site,
        site.browser() as client,
    ):
        await client.post("/api/setup", json=SETUP)
        found = cookies(await client.post("/api/auth/login", json=LOGIN))

    for cookie in found.values():
        assert (cookie["secure"], cookie["domain"]) == ("True", "example.com")


async def test_refresh_changes_both_values_and_the_old_ones_work_for_a_minute(
    site: PeopleSite,
) -> None:
    async with site.browser() as client, site.browser() as tab:
        csrf = await signed_in(site, client)
        tab.cookies = httpx.Cookies(client.cookies)
        answer = await client.post("/api/auth/refresh")
        assert answer.status_code == 200
        assert answer.headers["x-session-rotated"] == "1"
        assert answer.json()["csrf_token"] != csrf
        assert client.cookies["SESSION_ID"] != tab.cookies["SESSION_ID"]

        old = await tab.post("/api/changing", headers={"x-csrf-token": csrf})
        assert old.status_code == 200
        site.clock.seconds += 61
        late = await tab.get("/api/auth/me")
        assert (late.status_code, late.json()["code"]) == (401, "invalid_session")
        assert late.headers["www-authenticate"] == "session"
        assert (await client.get("/api/auth/me")).status_code == 200


async def test_an_unsafe_request_needs_the_csrf_value_in_header_and_cookie(
    site: PeopleSite,
) -> None:
    async with site.browser() as client, site.browser() as other:
        csrf = await signed_in(site, client)
        foreign = await signed_in(site, other)
        for headers in ({}, {"x-csrf-token": "wrong"}, {"x-csrf-token": foreign}):
            refused = await client.post("/api/changing", headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "csrf_failed")
        # A cookie planted by a neighbouring host matches the header, but not the session.
        client.cookies.set("CSRF-TOKEN", foreign, domain="interlock.test")
        planted = await client.post("/api/changing", headers={"x-csrf-token": foreign})
        assert planted.status_code == 403
    async with site.browser() as client:
        csrf = await signed_in(site, client)
        good = await client.post("/api/changing", headers={"X-Csrf-Token": csrf})
        assert good.json() == {"name": "ann", "credential": "cookie"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://interlock.test"}, 200),
        ({"origin": "http://interlock.test:80"}, 200),
        ({"origin": "https://app.example"}, 200),
        ({"origin": "http://app.example"}, 403),
        ({"origin": "http://interlock.test:8081"}, 403),
        ({"origin": "http://interlock.test.evil.example"}, 403),
        ({"origin": "http://user@interlock.test"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
    ],
)
async def test_other_origins_neither_sign_in_nor_change_anything(
    database: Database, headers: dict[str, str], status: int
) -> None:
    async with (
        people_site(database, allowed_origins=["https://app.example"]) as site,
        site.browser() as client,
    ):
        csrf = await signed_in(site, client)
        for path, body in (("/api/changing", None), ("/api/auth/login", LOGIN)):
            answer = await client.post(path, json=body, headers={"x-csrf-token": csrf, **headers})
            assert answer.status_code == status
            if status == 403:
                assert answer.json()["code"] == "origin_forbidden"


async def test_a_planted_session_is_not_the_one_after_signing_in(site: PeopleSite) -> None:
    async with site.browser() as attacker, site.browser() as victim:
        await signed_in(site, attacker)
        planted = attacker.cookies["SESSION_ID"]
        victim.cookies.set("SESSION_ID", planted, domain="interlock.test")
        found = cookies(await victim.post("/api/auth/login", json=LOGIN))

        assert found["SESSION_ID"]["value"] != planted
        assert (await attacker.get("/api/auth/me")).status_code == 401


async def test_credentials_of_one_kind_are_not_taken_for_another(site: PeopleSite) -> None:
    async with site.browser() as client, site.browser() as bare:
        await signed_in(site, client)
        key = (await site.admin.create_key(KeySpec(label="k"), ACTOR)).token
        good = await bare.post("/api/changing", headers={"authorization": f"Bearer {key}"})
        assert good.json() == {"name": "ann", "credential": "key"}

        session = client.cookies["SESSION_ID"]
        as_key = await bare.get("/api/auth/me", headers={"authorization": f"Bearer {session}"})
        as_cookie = await bare.get("/api/auth/me", headers={"cookie": f"SESSION_ID={key}"})
        # The bearer wins: a good cookie does not rescue it.
        both = await client.get("/api/auth/me", headers={"authorization": "Bearer wrong"})
        basic = await client.get("/api/auth/me", headers={"authorization": "Basic YTpi"})
        for answer in (as_key, as_cookie, both, basic):
            assert answer.status_code == 401, answer.text


async def test_signing_out_clears_the_cookies_and_needs_no_csrf(site: PeopleSite) -> None:
    async with site.browser() as client:
        await signed_in(site, client)
        kept = dict(client.cookies)
        out = await client.post("/api/auth/logout")
        assert (out.status_code, out.json()) == (200, {"ok": True})
        for cookie in cookies(out).values():
            assert (cookie["max-age"], cookie["path"], cookie["value"]) == ("0", "/", "")
        assert not client.cookies
        again = await client.post("/api/auth/logout", headers={"cookie": f"SESSION_ID={kept}"})
        assert again.status_code == 401
        assert set(cookies(again)) == {"SESSION_ID", "CSRF-TOKEN"}


async def test_expiry_is_told_and_a_failed_refresh_clears_the_cookies(site: PeopleSite) -> None:
    async with site.browser() as client:
        await signed_in(site, client)
        site.clock.seconds += 28_800
        me = await client.get("/api/auth/me", headers={"cookie": ""})
        kept = "; ".join(f"{k}={v}" for k, v in client.cookies.items())
        answer = await client.post("/api/auth/refresh", headers={"cookie": kept})

    assert me.status_code == 401
    assert (answer.status_code, answer.json()["code"]) == (401, "session_expired")
    assert {cookie["max-age"] for cookie in cookies(answer).values()} == {"0"}


async def test_a_changed_role_rotates_with_the_next_request(site: PeopleSite) -> None:
    async with site.browser() as client:
        await signed_in(site, client)
        await site.people.create_user("b@example.com", ACTOR, global_role="admin")
        (user, *_) = await site.people.find("ann")
        await site.people.set_global_role(user.id, "member", ACTOR)
        before = client.cookies["SESSION_ID"]
        answer = await client.get("/api/auth/me")

        assert answer.headers["x-session-rotated"] == "1"
        assert answer.json()["user"]["roles"] == ["member"]
        assert client.cookies["SESSION_ID"] != before
        assert "x-session-rotated" not in (await client.get("/api/auth/me")).headers


async def test_a_suspicious_session_is_told_to_refresh(database: Database) -> None:
    async with (
        people_site(database, auth={"suspicious_check": True}) as site,
        site.browser() as client,
    ):
        await signed_in(site, client)
        client.headers["user-agent"] = "another browser"
        answer = await client.get("/api/auth/me")
        assert answer.json()["code"] == "session_suspicious"
        assert answer.headers["www-authenticate"] == "refresh"
        assert (await client.post("/api/auth/refresh")).status_code == 200
        assert (await client.get("/api/auth/me")).status_code == 200


async def test_own_sessions_are_listed_and_ended_and_a_new_password_ends_the_others(
    site: PeopleSite,
) -> None:
    async with site.browser() as client, site.browser() as other:
        csrf = await signed_in(site, client)
        await signed_in(site, other)
        listed = (await client.get("/api/account/sessions")).json()["sessions"]
        assert sorted(one["current"] for one in listed) == [False, True]
        assert {one["ip"] for one in listed} == {"192.0.2.9"}
        headers = {"x-csrf-token": csrf}
        change = {"current_password": PASSWORD, "new_password": "another horse"}
        assert (await client.post("/api/account/password", json=change)).status_code == 403
        done = await client.post("/api/account/password", json=change, headers=headers)
        assert done.status_code == 204
        assert (await other.get("/api/auth/me")).status_code == 401
        (mine,) = (await client.get("/api/account/sessions")).json()["sessions"]
        path = f"/api/account/sessions/{mine['id']}"
        assert (await client.delete(path)).status_code == 403
        assert (await client.delete(path, headers=headers)).status_code == 204
        assert (await client.get("/api/auth/me")).status_code == 401


@pytest.mark.parametrize(
    ("peer", "headers", "address"),
    [
        ("192.0.2.9", {"x-forwarded-for": "203.0.113.5"}, "192.0.2.9"),
        ("10.0.0.1", {"x-forwarded-for": "203.0.113.5"}, "203.0.113.5"),
        ("10.0.0.1", {"x-forwarded-for": "1.1.1.1, 203.0.113.5, 10.0.0.2"}, "203.0.113.5"),
        ("10.0.0.1", {"x-real-ip": "203.0.113.6"}, "203.0.113.6"),
        ("10.0.0.1", {"x-forwarded-for": "rubbish"}, "10.0.0.1"),
        ("10.0.0.1", {}, "10.0.0.1"),
    ],
)
async def test_only_trusted_proxies_say_what_address_a_client_has(
    database: Database, peer: str, headers: dict[str, str], address: str
) -> None:
    async with (
        people_site(database, trusted_proxies=["10.0.0.0/8"]) as site,
        site.browser(peer) as client,
    ):
        await client.post("/api/setup", json=SETUP)
        await client.post("/api/auth/login", json=LOGIN, headers=headers)
        (one,) = (await client.get("/api/account/sessions")).json()["sessions"]
        assert one["ip"] == address


async def test_a_crowd_at_one_address_is_told_to_wait(site: PeopleSite) -> None:
    async with site.browser() as client:
        await client.post("/api/setup", json=SETUP)
        wrong = {"email": "ann", "password": "wrong password"}
        told = [(await client.post("/api/auth/login", json=wrong)).status_code for _ in range(12)]

    assert told == [401] * 10 + [429] * 2
