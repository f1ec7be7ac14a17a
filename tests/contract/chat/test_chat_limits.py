"""Rate limits: the administrators' API, what requests are told, and whom a limit holds for."""

from typing import Any

import pytest
from tests.support.chat_client import ChatClient
from tests.support.chat_site import Browser, chat_site
from tests.support.requirements import requirement

from interlock.limits.counters import CountersUnavailable
from interlock.storage.engine import Database

pytestmark = pytest.mark.anyio
PROFILES = "/api/admin/limits/profiles"
ASSIGNMENTS = "/api/admin/limits/assignments"
SLOW = {"requests_per_second": 0.01, "burst": 2}
NOBODY = "00000000-0000-4000-8000-000000000000"


async def _made(root: Browser, name: str, params: dict[str, Any], **more: Any) -> dict[str, Any]:
    told = await root.post(PROFILES, {"name": name, "params": params, **more})
    assert told.status == 201, told.body
    found: dict[str, Any] = told.json
    return found


async def _assigned(root: Browser, profile: str, method: str, path: str) -> dict[str, Any]:
    told = await root.post(ASSIGNMENTS, {"profile_id": profile, "method": method, "path": path})
    assert told.status == 201, told.body
    found: dict[str, Any] = told.json
    return found


@requirement("chat.limits.guard")
async def test_while_the_admin_api_is_off_nobody_finds_it(database: Database) -> None:
    async with chat_site(database, admin_api=False) as site:
        root = await site.browser("root", "admin")
        for client in (root, ChatClient(site.app)):
            for method, path in (
                ("GET", PROFILES),
                ("POST", PROFILES),
                ("PUT", f"{PROFILES}/{NOBODY}"),
                ("DELETE", f"{PROFILES}/{NOBODY}"),
                ("GET", ASSIGNMENTS),
                ("POST", ASSIGNMENTS),
                ("DELETE", f"{ASSIGNMENTS}/{NOBODY}"),
            ):
                told = await client.send(method, path, {} if method in ("POST", "PUT") else None)
                assert (told.status, told.json["code"]) == (404, "not_found"), (method, path)


@requirement("chat.limits.guard")
async def test_only_administrators_may_look_or_change(database: Database) -> None:
    async with chat_site(database) as site:
        root = await site.browser("root", "admin")
        ann = await site.browser("ann")
        narrow = await site.key("root", scopes=frozenset({"provider:demo"}))
        body = {"name": "slow", "params": SLOW}

        nobody = await ChatClient(site.app).get(PROFILES)
        assert (nobody.status, nobody.json["code"]) == (401, "unauthorized")
        assert nobody.headers["www-authenticate"] == "session"
        for client in (ann, ChatClient(site.app, {"authorization": f"Bearer {narrow}"})):
            for told in (await client.get(PROFILES), await client.post(PROFILES, body)):
                assert (told.status, told.json["code"]) == (403, "forbidden")
        without = await root.post(PROFILES, body, headers={"x-csrf-token": ""})
        assert (without.status, without.json["code"]) == (403, "csrf_failed")
        assert [one["name"] for one in (await root.get(PROFILES)).json] == ["conversation.post"]


@requirement("chat.limits.profiles")
async def test_a_profile_lives_as_published(database: Database) -> None:
    async with chat_site(database) as site:
        root = await site.browser("root", "admin")
        made = await _made(root, "  slow ", SLOW, algorithm="gcra", description="careful")
        assert set(made) == {
            "id", "name", "algorithm", "params", "description", "created_at", "updated_at",
        }  # fmt: skip
        assert (made["name"], made["params"], made["description"]) == ("slow", SLOW, "careful")
        assert made["created_at"].endswith("Z")
        await _made(root, "about", SLOW)
        listed = (await root.get(PROFILES)).json
        assert [one["name"] for one in listed] == ["about", "conversation.post", "slow"]

        path = f"{PROFILES}/{made['id']}"
        kept = (await root.send("PUT", path, {})).json
        assert (kept["params"], kept["description"]) == (SLOW, "careful")
        fast = {"capacity": 5, "refill_per_second": 2}
        changed = await root.send("PUT", path, {"params": fast, "algorithm": "token_bucket"})
        assert (changed.status, changed.json["params"]) == (200, fast)
        for empty in (None, ""):
            await root.send("PUT", path, {"description": "again"})
            cleared = (await root.send("PUT", path, {"description": empty})).json
            assert cleared.get("description") is None
        renamed = (await root.send("PUT", path, {"name": "slower", "params": None})).json
        assert (renamed["name"], renamed["params"]) == ("slower", fast)

        gone = await root.send("DELETE", path)
        assert (gone.status, gone.body) == (204, b"")
        assert (await root.send("DELETE", path)).status == 404


@requirement("chat.limits.profiles")
async def test_bad_profiles_are_refused_with_their_field(database: Database) -> None:
    async with chat_site(database) as site:
        root = await site.browser("root", "admin")
        slow = await _made(root, "slow", SLOW)
        posting = next(
            one for one in (await root.get(PROFILES)).json if one["name"] == "conversation.post"
        )
        bad: list[dict[str, Any]] = [
            {"name": " ", "params": SLOW},
            {"name": "a\r\nset-cookie: x", "params": SLOW},
            {"name": "a\x00b", "params": SLOW},
            {"params": SLOW},
            {"name": 3, "params": SLOW},
            {"name": "a", "params": {}},
            {"name": "a", "params": [1]},
            {"name": "a", "params": {"requests_per_second": 0}},
            {"name": "a", "params": {"requests_per_second": "1"}},
            {"name": "a", "params": {"requests_per_second": 1, "burst": 0}},
            {"name": "a", "params": {"requests_per_second": 1, "scope": "planet"}},
            {"name": "a", "params": SLOW, "algorithm": "leaky"},
        ]
        for body in bad:
            told = await root.post(PROFILES, body)
            assert (told.status, told.json["code"]) == (422, "invalid_profile"), body
            assert told.json["details"]["errors"][0]["field"]
        for told, status, code in (
            (
                await root.post(PROFILES, {"name": "slow", "params": SLOW}),
                409,
                "profile_name_taken",
            ),
            (
                await root.send("PUT", f"{PROFILES}/{slow['id']}", {"params": {"limit": 1}}),
                422,
                "invalid_profile",
            ),
            (await root.send("PUT", f"{PROFILES}/{NOBODY}", {}), 404, "not_found"),
            (await root.send("PUT", f"{PROFILES}/x", {}), 400, "validation_failed"),
            (await root.send("DELETE", f"{PROFILES}/{posting['id']}"), 409, "profile_in_use"),
        ):
            assert (told.status, told.json["code"]) == (status, code)


@requirement("chat.limits.assignments")
async def test_an_assignment_moves_and_holds_its_profile(database: Database) -> None:
    async with chat_site(database) as site:
        root = await site.browser("root", "admin")
        one = await _made(root, "one", SLOW)
        two = await _made(root, "two", SLOW)
        made = await _assigned(root, one["id"], " post ", "api/chat")
        assert set(made) == {
            "id", "profile_id", "profile_name", "method", "path_pattern", "created_at",
            "updated_at",
        }  # fmt: skip
        assert (made["method"], made["path_pattern"]) == ("POST", "/api/chat")
        moved = await _assigned(root, two["id"], "POST", "/api/chat")
        assert (moved["id"], moved["profile_name"]) == (made["id"], "two")
        await _assigned(root, one["id"], "GET", "/api/z")
        listed = (await root.get(ASSIGNMENTS)).json
        assert [(row["method"], row["path_pattern"]) for row in listed] == [
            ("GET", "/api/z"),
            ("POST", "/api/chat"),
        ]
        used = await root.send("DELETE", f"{PROFILES}/{two['id']}")
        assert (used.status, used.json["code"]) == (409, "profile_in_use")
        for body in (
            {"profile_id": one["id"], "method": "BREW", "path": "/x"},
            {"profile_id": one["id"], "method": "GET", "path": " "},
            {"profile_id": one["id"], "method": "GET", "path": "/a b"},
            {"profile_id": "x", "method": "GET", "path": "/x"},
            {"method": "GET", "path": "/x"},
        ):
            told = await root.post(ASSIGNMENTS, body)
            assert (told.status, told.json["code"]) == (422, "invalid_assignment"), body
        missing = {"profile_id": NOBODY, "method": "GET", "path": "/x"}
        assert (await root.post(ASSIGNMENTS, missing)).status == 404
        assert (await root.send("DELETE", f"{ASSIGNMENTS}/{made['id']}")).status == 204
        assert (await root.send("DELETE", f"{ASSIGNMENTS}/{made['id']}")).status == 404
        assert (await root.send("DELETE", f"{PROFILES}/{two['id']}")).status == 204
        entries = await site.audit.entries()
        told_of = [(row.actor, row.surface, row.action) for row in entries[:2]]
        assert told_of == [
            ("root@example.com", "chat", "limit.delete"),
            ("root@example.com", "chat", "limit.unassign"),
        ]


@requirement("chat.limits.answers")
async def test_a_change_holds_for_the_next_request_and_a_refusal_says_when_to_come_back(
    database: Database,
) -> None:
    async with chat_site(database) as site:
        root = await site.browser("root", "admin")
        ann = await site.browser("ann")
        free = await ann.get("/api/users")
        assert free.headers["x-ratelimit-profile"] == "default"
        assert (free.headers["ratelimit-limit"], free.headers["ratelimit-remaining"]) == (
            "100",
            "99",
        )
        slow = await _made(root, "slow \u00e4", SLOW)
        place = await _assigned(root, slow["id"], "GET", "/api/users")

        answers = [await ann.get("/api/users") for _ in range(3)]
        assert [one.status for one in answers] == [200, 200, 429]
        assert [one.headers["ratelimit-remaining"] for one in answers] == ["1", "0", "0"]
        refused = answers[-1]
        assert refused.json["code"] == "rate_limit_exceeded"
        wait = refused.json["details"]["retry_after_seconds"]
        assert refused.headers["retry-after"] == str(wait) == "100"
        assert refused.headers["ratelimit-limit"] == "2"
        assert refused.headers["ratelimit-reset"] == "200"
        assert refused.headers["x-ratelimit-profile"] == "slow %C3%A4"
        assert len(refused.headers["trace_id"]) == 32
        assert (await root.get("/api/users")).status == 200

        site.clock.seconds += wait
        assert (await ann.get("/api/users")).status == 200
        assert (await ann.get("/api/users")).status == 429
        await root.send("PUT", f"{PROFILES}/{slow['id']}", {"params": {"requests_per_second": 1e6}})
        site.clock.seconds += 0.001
        assert (await ann.get("/api/users")).status == 200
        await root.send("DELETE", f"{ASSIGNMENTS}/{place['id']}")
        assert (await ann.get("/api/users")).headers["x-ratelimit-profile"] == "default"


@requirement("chat.limits.scope")
async def test_the_most_specific_pattern_holds_and_each_person_has_a_bucket(
    database: Database,
) -> None:
    async with chat_site(database, default_rps=0.001, burst=40) as site:
        root = await site.browser("root", "admin")
        ann, bob = await site.browser("ann"), await site.browser("bob")
        wide = await _made(root, "wide", SLOW | {"burst": 9})
        tight = await _made(root, "tight", SLOW | {"burst": 1})
        shared = await _made(root, "shared", SLOW | {"burst": 3, "scope": "global"})
        await _assigned(root, wide["id"], "GET", "/api/*")
        await _assigned(root, tight["id"], "GET", "/api/conversations/{id}")
        await _assigned(root, shared["id"], "GET", "/api/assistants")

        paths = ("/api/users", f"/api/conversations/{NOBODY}", "/api/assistants")
        told = [(await ann.get(path)).headers["x-ratelimit-profile"] for path in paths]
        assert told == ["wide", "tight", "shared"]
        assert (await ann.get(paths[1])).status == 429
        assert (await bob.get(paths[1])).status == 404
        statuses = [(await one.get(paths[2])).status for one in (bob, bob, ann)]
        assert statuses == [200, 200, 429]
        nobody = ChatClient(site.app)
        assert [(await nobody.get(paths[1])).status for _ in range(2)] == [401, 429]
        key = ChatClient(site.app, {"authorization": f"Bearer {await site.key('ann')}"})
        assert (await key.get(paths[1])).status == 429


@requirement("chat.limits.scope")
async def test_only_trusted_proxies_say_whose_address_it_is(database: Database) -> None:
    for trusted, statuses in (((), [401, 429]), (("127.0.0.1",), [401, 401])):
        async with chat_site(
            database, web={"trusted_proxies": trusted}, default_rps=0.001, burst=1
        ) as site:
            client = ChatClient(site.app)
            told = [
                await client.get("/api/users", headers={"x-forwarded-for": f"192.0.2.{n}"})
                for n in (1, 2)
            ]
            assert [one.status for one in told] == statuses


@requirement("chat.limits.scope")
async def test_probes_and_preflights_are_free_and_the_switch_frees_everything(
    database: Database,
) -> None:
    async with chat_site(database, default_rps=0.001, burst=1) as site:
        client = ChatClient(site.app)
        for path in ("/api/health", "/healthz", "/readyz"):
            told = [await client.get(path) for _ in range(3)]
            assert [one.status for one in told] == [200] * 3
            assert "ratelimit-limit" not in told[0].headers
        for _ in range(3):
            assert (await client.send("OPTIONS", "/api/users")).status == 405
        assert [(await client.get("/api/nothing")).status for _ in range(2)] == [404, 429]
        text = site.text()
        for name, status in (("health", 200), ("healthz", 200), ("readyz", 200)):
            assert f'health_checks_total{{endpoint="{name}",status="{status}"}} 3.0' in text
    async with chat_site(database, enabled=False, default_rps=0.001, burst=1) as site:
        client = ChatClient(site.app)
        assert [(await client.get("/api/nothing")).status for _ in range(3)] == [404] * 3


@requirement("chat.limits.floor")
async def test_nobody_locks_himself_out_of_the_limits(database: Database) -> None:
    async with chat_site(database) as site:
        root = await site.browser("root", "admin")
        slow = await _made(root, "slow", {"requests_per_second": 1e-6, "burst": 1})
        place = await _assigned(root, slow["id"], "GET", "/api/*")
        for path in ("/api/users", "/api/users"):
            last = await root.get(path)
        assert last.status == 429
        assert (await root.get(PROFILES)).status == 200
        assert (await root.send("DELETE", f"{ASSIGNMENTS}/{place['id']}")).status == 204
        assert (await root.get("/api/users")).status == 200


@requirement("chat.limits.login")
async def test_signing_in_is_limited_per_address(database: Database) -> None:
    async with chat_site(database, login_per_minute=3) as site:
        await site.person("ann")
        client = ChatClient(site.app)
        body = {"email": "ann", "password": "wrong wrong"}
        told = [await client.post("/api/auth/login", body) for _ in range(4)]
        assert [one.status for one in told] == [401, 401, 401, 429]
        assert told[-1].headers["x-ratelimit-profile"] == "auth_login"
        assert 1 <= int(told[-1].headers["retry-after"]) <= 60


@requirement("chat.limits.posting")
async def test_posting_is_limited_per_person_and_conversation(database: Database) -> None:
    async with chat_site(database) as site:
        root = await site.browser("root", "admin")
        ann = await site.browser("ann")
        rooms = [
            (await ann.post("/api/conversations", {"title": "x"})).json["conversation_id"]
            for _ in range(2)
        ]
        path = f"/api/threads/{rooms[0]}/root"
        told = [await ann.post(path, {"content": "hi"}) for _ in range(11)]
        assert [one.status for one in told] == [201] * 10 + [429]
        assert told[0].headers["x-ratelimit-profile"] == "default"
        refused = told[-1]
        assert refused.json["code"] == "rate_limit_exceeded"
        assert refused.json["details"]["retry_after_seconds"] == 1
        assert refused.headers["x-ratelimit-profile"] == "conversation.post"
        assert refused.headers["ratelimit-limit"] == "10"
        again = await ann.post("/api/chat", {"message": "hi", "conversation_id": rooms[0]})
        assert again.status == 429
        assert (await ann.post(f"/api/threads/{rooms[1]}/root", {"content": "a"})).status == 201

        posting = next(
            one for one in (await root.get(PROFILES)).json if one["name"] == "conversation.post"
        )
        await root.send("PUT", f"{PROFILES}/{posting['id']}", {"params": SLOW | {"burst": 20}})
        site.clock.seconds += 1200
        assert (await ann.post(path, {"content": "hi"})).headers["x-ratelimit-profile"] == "default"


@requirement("chat.metrics")
async def test_limits_and_sessions_show_up_in_metrics(database: Database) -> None:
    async with chat_site(database, default_rps=0.01, burst=3) as site:
        root = await site.browser("root", "admin")
        await site.person("dan")
        client = ChatClient(site.app)
        await client.post("/api/auth/login", {"email": "root", "password": "wrong wrong"})
        await root.post("/api/auth/refresh")
        for _ in range(4):
            await root.get("/api/users")
        await _made(root, "slow", SLOW)
        await root.get(PROFILES)
        await site.people.sessions.measure()
        text = site.text()
        for line in (
            'http_rate_limit_requests_total{profile="default",result="denied"}',
            'http_rate_limit_requests_total{profile="default",result="allowed"}',
            'http_rate_limit_remaining{profile="default"} ',
            'http_rate_limit_reset_seconds{profile="default"}',
            "rustygpt_limits_profiles 2.0",
            "rustygpt_limits_assignments 0.0",
            'rustygpt_auth_logins_total{result="success"} 1.0',
            'rustygpt_auth_logins_total{result="invalid_credentials"} 1.0',
            'rustygpt_auth_session_rotations_total{reason="refresh"} 1.0',
            'rustygpt_auth_active_sessions{role="admin"} 1.0',
            'rustygpt_auth_active_sessions{role="member"} 0.0',
        ):
            assert line in text, line
        assert "root" not in text
        assert "127.0.0.1" not in text


@requirement("chat.limits.scope")
async def test_a_stream_counts_once(database: Database) -> None:
    async with chat_site(database, default_rps=0.001, burst=4) as site:
        ann = await site.browser("ann")
        made = (await ann.post("/api/conversations", {"title": "x"})).json["conversation_id"]
        stream = ann.stream(f"/api/stream/conversations/{made}")
        status, headers = await stream.start()
        assert (status, headers["ratelimit-remaining"]) == (200, "2")
        posted = (await ann.post(f"/api/threads/{made}/root", {"content": "hi"})).json
        await site.talk.answer(posted["assistant_message_ids"][0], "a", "b", "c")
        await stream.until("message.done")
        assert (await ann.get("/api/users")).headers["ratelimit-remaining"] == "0"
        await stream.close()


@requirement("chat.limits.answers")
async def test_a_limit_nobody_can_read_refuses(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise CountersUnavailable

    async with chat_site(database) as site:
        ann = await site.browser("ann")
        monkeypatch.setattr(site.routes._counters, "take", away)
        told = await ann.get("/api/users")
        assert (told.status, told.headers["retry-after"]) == (503, "1")
