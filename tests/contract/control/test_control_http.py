"""Raw HTTP: what no SDK says, or says too politely."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.control_site import SERVER_KEYS, Site
from tests.support.gateway import Gateway, running_gateway
from tests.support.requirements import requirement

pytestmark = pytest.mark.anyio

CHAT = "/control/chat/demo/v1/chat/completions"
HELLO = [{"role": "user", "content": "hello"}]
BODIES: dict[str, dict[str, Any]] = {
    "chat/completions": {"model": "demo", "messages": HELLO},
    "messages": {"model": "demo", "max_tokens": 100, "messages": HELLO},
    "responses": {"model": "demo", "input": "hello"},
}
BODY = BODIES["chat/completions"]
ORIGIN = "https://chat.example"


@pytest.fixture(scope="module")
async def browsers(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """A gateway that browsers of one origin may use."""
    toml = f'[server]\nallowed_origins = ["{ORIGIN}"]\n'
    async with running_gateway(tmp_path_factory.mktemp("cors"), toml=toml) as gateway:
        yield gateway


@pytest.fixture(scope="module")
async def narrow(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """A gateway whose provider may be asked for two models only."""
    toml = '[providers.demo]\nmodels = ["demo", "spare"]\n'
    async with running_gateway(tmp_path_factory.mktemp("narrow"), toml=toml) as gateway:
        yield gateway


def text_of(suffix: str, body: Any) -> str:
    if suffix == "chat/completions":
        return str(body["choices"][0]["message"]["content"])
    if suffix == "messages":
        return str(body["content"][0]["text"])
    return str(body["output"][0]["content"][0]["text"])


# Paths


@requirement("control.paths.matrix")
@pytest.mark.parametrize("endpoint", ["chat", "code", "agent"])
@pytest.mark.parametrize("suffix", list(BODIES))
@pytest.mark.parametrize(
    "provider", [None, "openai", "openrouter", "sequrity_azure", "anthropic", "demo"]
)
async def test_every_endpoint_provider_and_format_is_served(
    site: Site, endpoint: str, suffix: str, provider: str | None
) -> None:
    middle = f"{provider}/v1" if provider else "v1"

    answer = await site.gateway.post(f"/control/{endpoint}/{middle}/{suffix}", BODIES[suffix])

    assert answer.status_code == 200
    assert text_of(suffix, answer.json()) == "ECHO hello"
    assert answer.headers["x-session-id"]
    assert answer.headers["x-request-id"].startswith("req_")


@requirement("control.models.allow-list")
@pytest.mark.parametrize("suffix", list(BODIES))
@pytest.mark.parametrize("model", ["demo", "demo,spare", "spare , demo"])
async def test_models_of_the_allow_list_may_be_asked_for(
    narrow: Gateway, suffix: str, model: str
) -> None:
    answer = await narrow.post(
        f"/control/chat/demo/v1/{suffix}", {**BODIES[suffix], "model": model}
    )

    assert answer.status_code == 200


@requirement("control.models.allow-list")
@pytest.mark.parametrize("suffix", list(BODIES))
@pytest.mark.parametrize("model", ["other", "demo,other", "other,demo", "Demo"])
async def test_a_model_outside_of_the_allow_list_is_named(
    narrow: Gateway, suffix: str, model: str
) -> None:
    answer = await narrow.post(
        f"/control/chat/demo/v1/{suffix}", {**BODIES[suffix], "model": model}
    )

    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "model_not_allowed"
    assert ("Demo" if model == "Demo" else "other") in error["message"]


@requirement("control.paths.default-provider")
@pytest.mark.parametrize(
    ("suffix", "provider"),
    [("chat/completions", "openrouter"), ("messages", "anthropic"), ("responses", "openai")],
)
async def test_a_path_without_provider_means_the_published_default(
    site: Site, suffix: str, provider: str
) -> None:
    await site.gateway.post(f"/control/chat/v1/{suffix}", BODIES[suffix])

    headers = site.upstream.last.headers
    sent = headers.get("x-api-key") or headers["authorization"].removeprefix("Bearer ")
    assert sent == SERVER_KEYS[provider]


@requirement("control.paths.default-demo")
@pytest.mark.parametrize("suffix", list(BODIES))
async def test_a_server_with_nothing_configured_answers_with_the_demo_model(
    browsers: Gateway, suffix: str
) -> None:
    answer = await browsers.post(f"/control/chat/v1/{suffix}", BODIES[suffix])

    assert (answer.status_code, text_of(suffix, answer.json())) == (200, "ECHO hello")


@requirement("control.paths.trailing-slash", "control.query-ignored")
@pytest.mark.parametrize("tail", ["/", "?beta=true", "/?beta=true&x=%2F", "?"])
@pytest.mark.parametrize("suffix", list(BODIES))
async def test_trailing_slashes_and_query_strings_do_not_matter(
    site: Site, suffix: str, tail: str
) -> None:
    answer = await site.gateway.post(f"/control/chat/demo/v1/{suffix}{tail}", BODIES[suffix])

    assert answer.status_code == 200


@requirement("control.paths.wrong-method")
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("suffix", list(BODIES))
async def test_completion_routes_take_only_post(site: Site, suffix: str, method: str) -> None:
    answer = await site.gateway.http.request(method, f"/control/chat/demo/v1/{suffix}")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    if method == "HEAD":
        assert answer.content == b""
    else:
        assert answer.json()["error"]["code"] == "method_not_allowed"


@requirement("control.paths.unknown", "control.errors.body-shape")
@pytest.mark.parametrize(
    "path",
    [
        "/control/nothing/v1/chat/completions",
        "/control/chat/nobody/v1/chat/completions",
        "/control/chat/demo/v2/chat/completions",
        "/control/chat/demo/v1/generate",
        "/control/policy-gen/v1/messages",
        "/control/chat/demo/v1",
        "/control/chat/demo/v1/%ff",
    ],
)
async def test_unknown_paths_are_404_with_the_body_every_client_reads(
    site: Site, path: str
) -> None:
    answer = await site.gateway.post(path, BODY)

    body = answer.json()
    assert answer.status_code == 404
    assert body["type"] == "error"
    assert isinstance(body["detail"], str)
    assert body["detail"] == body["message"] == body["error"]["message"]
    assert set(body["error"]) == {"type", "code", "param", "message"}
    assert (body["error"]["type"], body["error"]["code"]) == ("not_found_error", "not_found")
    assert body["request_id"] == answer.headers["x-request-id"]


@requirement("control.paths.not-configured")
@pytest.mark.parametrize("suffix", list(BODIES))
async def test_a_provider_without_a_key_is_503(site: Site, suffix: str) -> None:
    answer = await site.gateway.post(f"/control/chat/llama/v1/{suffix}", BODIES[suffix])

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "provider_not_configured"
    assert "llama" in answer.json()["detail"]


# Utility routes


@requirement("control.utility.root")
@pytest.mark.parametrize("path", ["/control", "/control/"])
async def test_the_root_lists_all_routes_to_anybody(site: Site, path: str) -> None:
    answer = await site.gateway.http.get(path)

    body = answer.json()
    listed = {(route["method"], route["path"]) for route in body["routes"]}
    assert answer.status_code == 200
    assert body["service"] == "control"
    assert body["version"]
    assert {
        ("POST", "/control/chat/v1/chat/completions"),
        ("POST", "/control/code/anthropic/v1/messages"),
        ("POST", "/control/agent/openai/v1/responses"),
        ("POST", "/control/policy-gen/v1/generate"),
        ("POST", "/control/lang-graph/v1/chat/completions"),
        ("POST", "/control/v1/validate-headers"),
        ("GET", "/control/health"),
    } <= listed


@requirement("control.utility.health")
@pytest.mark.parametrize("path", ["/control/health", "/health"])
async def test_health_is_ok_for_anybody(site: Site, path: str) -> None:
    answer = await site.gateway.http.get(path)
    head = await site.gateway.http.head("/control/health")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert (head.status_code, head.content) == (200, b"")


@requirement("control.validate-headers")
async def test_header_validation_needs_no_key_and_names_what_is_wrong(site: Site) -> None:
    answer = await site.gateway.http.post(
        "/control/v1/validate-headers",
        json={
            "x_features": "{",
            "x_policy": '{"codes": {"code": "tool {"}, "presets": {"default_allow": true}}',
        },
    )

    report = answer.json()
    assert answer.status_code == 200
    assert report["x_config"] is None
    assert report["x_features"]["valid"] is False
    assert report["x_features"]["normalized"] is None
    assert "Invalid JSON" in report["x_features"]["errors"][0]
    assert report["x_policy"]["valid"] is True
    assert "line 1" in report["x_policy"]["warnings"][0]


@requirement("control.validate-headers")
@pytest.mark.parametrize(
    ("header", "text", "path"),
    [
        ("x_features", '{"agent_arch": "triple"}', "agent_arch"),
        ("x_features", '{"content_classifiers": [{"name": "nope"}]}', "content_classifiers.0.name"),
        ("x_policy", '{"presets": {"nope": 1}}', "presets.nope"),
        ("x_config", '{"fsm": {"max_n_turns": "two"}}', "fsm.max_n_turns"),
        ("x_config", '{"nope": {}}', "nope"),
    ],
)
async def test_schema_errors_name_the_field(site: Site, header: str, text: str, path: str) -> None:
    answer = await site.gateway.http.post("/control/v1/validate-headers", json={header: text})
    real = await site.gateway.post(CHAT, BODY, **{header: text})

    report = answer.json()[header]
    assert (answer.status_code, report["valid"]) == (200, False)
    assert report["errors"][0].startswith(f"{path}: ")
    assert (real.status_code, real.json()["error"]["code"]) == (400, "invalid_header")
    assert path in real.json()["detail"]


@requirement("control.models.openai", "control.models.anthropic")
async def test_models_have_the_shape_the_caller_reads(site: Site) -> None:
    key = {"authorization": f"Bearer {site.key}"}
    plain = await site.gateway.http.get("/control/chat/demo/v1/models", headers=key)
    native = await site.gateway.http.get(
        "/control/chat/demo/v1/models", headers={**key, "anthropic-version": "2023-06-01"}
    )
    anonymous = await site.gateway.http.get("/control/chat/demo/v1/models")

    assert plain.json()["object"] == "list"
    assert set(plain.json()["data"][0]) == {"id", "object", "created", "owned_by"}
    assert set(native.json()) == {"data", "has_more", "first_id", "last_id"}
    assert native.json()["data"][0]["type"] == "model"
    assert anonymous.status_code == 401


# Credentials


@requirement("control.auth.bearer", "control.auth.refused")
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_api_key"),
        ({"authorization": ""}, "invalid_api_key"),
        ({"authorization": "Basic abc"}, "invalid_api_key"),
        ({"authorization": "Bearer"}, "invalid_api_key"),
        ({"authorization": "Bearer sq-wrong"}, "invalid_api_key"),
        ({"authorization": "Bearer two words"}, "invalid_api_key"),
        ({"x-api-key": "sq-wrong"}, "invalid_api_key"),
    ],
)
@pytest.mark.parametrize("suffix", list(BODIES))
async def test_missing_and_wrong_keys_are_401_with_the_challenge(
    site: Site, suffix: str, headers: dict[str, str], code: str
) -> None:
    answer = await site.gateway.http.post(
        f"/control/chat/demo/v1/{suffix}", json=BODIES[suffix], headers=headers
    )

    body = answer.json()
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert (body["error"]["type"], body["error"]["code"]) == ("authentication_error", code)
    assert "sq-wrong" not in answer.text


@requirement("control.auth.refused")
async def test_a_wrong_bearer_is_not_excused_by_a_good_x_api_key(site: Site) -> None:
    answer = await site.gateway.post(
        CHAT, BODY, authorization="Bearer sq-wrong", x_api_key=site.key
    )

    assert answer.status_code == 401


@requirement("control.auth.byok")
@pytest.mark.parametrize(
    ("provider", "suffix"), [("openai", "chat/completions"), ("anthropic", "messages")]
)
async def test_both_keys_at_once_each_go_where_they_belong(
    site: Site, provider: str, suffix: str
) -> None:
    answer = await site.gateway.post(
        f"/control/chat/{provider}/v1/{suffix}", BODIES[suffix], x_api_key="sk-mine-000001"
    )

    assert answer.status_code == 200
    assert "sk-mine-000001" in json.dumps(dict(site.upstream.last.headers))
    assert SERVER_KEYS[provider] not in json.dumps(dict(site.upstream.last.headers))
    assert site.key not in json.dumps(dict(site.upstream.last.headers))


@requirement("control.auth.x-api-key-as-gateway-key")
async def test_x_api_key_alone_is_the_gateway_key_and_never_leaves(site: Site) -> None:
    answer = await site.gateway.http.post(
        "/control/chat/openai/v1/chat/completions", json=BODY, headers={"x-api-key": site.key}
    )

    assert answer.status_code == 200
    sent = dict(site.upstream.last.headers)
    assert sent["authorization"] == f"Bearer {SERVER_KEYS['openai']}"
    assert site.key not in json.dumps(sent)


@requirement("control.auth.scopes")
async def test_a_key_for_one_endpoint_and_provider_is_403_elsewhere(site: Site) -> None:
    key = await site.new_key(scopes=frozenset({"endpoint:chat", "provider:openai"}))
    bearer = f"Bearer {key}"
    post = site.gateway.post
    good = await post("/control/chat/openai/v1/chat/completions", BODY, authorization=bearer)
    endpoint = await post("/control/code/openai/v1/chat/completions", BODY, authorization=bearer)
    provider = await post("/control/chat/demo/v1/chat/completions", BODY, authorization=bearer)
    default = await post("/control/chat/v1/chat/completions", BODY, authorization=bearer)

    assert good.status_code == 200
    for answer in (endpoint, provider, default):
        assert answer.status_code == 403
        assert answer.json()["error"]["type"] == "permission_error"


@requirement("control.auth.key-config")
async def test_the_config_of_a_key_holds_without_any_header(site: Site) -> None:
    key = await site.new_key(
        base_config={"x_features": {"agent_arch": "dual-llm"}},
    )
    answer = await site.gateway.post(CHAT, BODY, authorization=f"Bearer {key}")
    over = await site.gateway.post(
        CHAT, BODY, authorization=f"Bearer {key}", x_features='{"agent_arch": "single-llm"}'
    )

    assert (answer.status_code, over.status_code) == (200, 200)
    planned = json.loads(answer.json()["choices"][0]["message"]["content"])
    assert planned["status"] == "success"
    assert over.json()["choices"][0]["message"]["content"].startswith("ECHO")


# Bodies and headers


@requirement("control.errors.body")
@pytest.mark.parametrize("suffix", list(BODIES))
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"{}", b'{"model": 1}', b"\xff\xfe", b"[" * 100_000]
)
async def test_bodies_that_are_no_request_are_400(site: Site, suffix: str, body: bytes) -> None:
    answer = await site.gateway.post(f"/control/chat/demo/v1/{suffix}", body)

    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


@requirement("control.headers.codes-forms")
@pytest.mark.parametrize(
    "codes",
    [
        'tool "f" { hard deny always; }',
        ['tool "f" {', "hard deny always; }"],
        {"code": 'tool "f" { hard deny always; }', "language": "sqrt-lite"},
    ],
)
async def test_policy_code_may_be_text_lines_or_an_object(site: Site, codes: Any) -> None:
    function = {"name": "f", "parameters": {"type": "object"}}
    body = {
        "model": "demo",
        "messages": [{"role": "user", "content": "CALL f {}"}],
        "tools": [{"type": "function", "function": function}],
    }

    answer = await site.gateway.post(CHAT, body, x_policy=json.dumps({"codes": codes}))

    assert "'f' is denied" in answer.json()["choices"][0]["message"]["content"]


@requirement("control.headers.independent")
@pytest.mark.parametrize(
    "headers",
    [
        {"x_features": '{"content_classifiers": [{"name": "pii_redaction"}]}'},
        {"x_policy": '{"mode": "strict"}'},
        {"x_config": '{"fsm": {"max_n_turns": 3}}'},
        {"x_features": "{}", "x_policy": "{}", "x_config": "{}"},
    ],
)
async def test_each_config_header_may_come_alone(site: Site, headers: dict[str, str]) -> None:
    answer = await site.gateway.post(CHAT, BODY, **headers)

    assert answer.status_code == 200


# Streams, connections, browsers


@requirement("control.stream.headers", "control.session.id-header")
@pytest.mark.parametrize("suffix", list(BODIES))
async def test_a_stream_names_its_session_and_cannot_be_cached(site: Site, suffix: str) -> None:
    answer = await site.gateway.post(
        f"/control/chat/demo/v1/{suffix}", {**BODIES[suffix], "stream": True}
    )

    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert len(answer.headers["x-session-id"]) == 36
    lines = answer.content.split(b"\n")
    assert not any(line.startswith((b"id:", b"retry:")) for line in lines)
    if suffix == "chat/completions":
        assert answer.content.endswith(b"data: [DONE]\n\n")


@requirement("control.stream.failure-before")
@pytest.mark.parametrize("suffix", list(BODIES))
async def test_what_fails_before_the_first_byte_is_no_stream(site: Site, suffix: str) -> None:
    streamed = {**BODIES[suffix], "stream": True}
    path = f"/control/chat/demo/v1/{suffix}"
    for headers, status in (
        ({"authorization": "Bearer sq-wrong"}, 401),
        ({"x_session_id": "unknown"}, 404),
        ({"x_policy": "{"}, 400),
    ):
        answer = await site.gateway.post(path, streamed, **headers)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/json"


def request_bytes(body: Any, key: str, *, close: bool = False) -> bytes:
    data = json.dumps(body).encode()
    end = "connection: close\r\n" if close else ""
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n{end}\r\n"
    )
    return head.encode() + data


@requirement("control.connection.pipelining")
async def test_pipelined_requests_are_answered_in_order_on_one_connection(site: Site) -> None:
    port = int(site.base_url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    def said(text: str, **more: Any) -> dict[str, Any]:
        return {"model": "demo", "messages": [{"role": "user", "content": text}], **more}

    health = b"GET /control/health HTTP/1.1\r\nhost: x\r\n\r\n"
    writer.write(
        request_bytes(said("SLOW 0.2\nSAY first"), site.key)
        + request_bytes(said("second", stream=True), site.key)
        + health
        + request_bytes(said("third"), site.key, close=True)
    )
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()

    places = [
        answer.index(b'"first"'),
        answer.index(b"[DONE]"),
        answer.index(b'{"status":"ok"}'),
        answer.index(b"ECHO third"),
    ]
    assert places == sorted(places)
    assert answer.count(b"HTTP/1.1 200") == 4


@requirement("control.connection.keep-alive")
async def test_a_connection_is_kept_after_answers_streams_and_errors(site: Site) -> None:
    port = int(site.base_url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    seen = []
    async with asyncio.timeout(10):
        for body, key in ((BODY, site.key), (BODY, "sq-wrong"), ({}, site.key), (BODY, site.key)):
            writer.write(request_bytes(body, key))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            seen.append(int(head.split()[1]))
    writer.close()
    await writer.wait_closed()

    assert seen == [200, 401, 400, 200]


@requirement("control.cors.allowed")
@pytest.mark.parametrize("stream", [False, True])
async def test_a_browser_of_an_allowed_origin_may_call_and_see_the_session(
    browsers: Gateway, stream: bool
) -> None:
    preflight = await browsers.http.options(
        CHAT,
        headers={
            "origin": ORIGIN,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type,x-policy",
        },
    )
    answer = await browsers.post(CHAT, {**BODY, "stream": stream}, origin=ORIGIN)
    refused = await browsers.post(CHAT, BODY, origin=ORIGIN, authorization="Bearer sq-wrong")

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert "x-policy" in preflight.headers["access-control-allow-headers"].lower()
    for one in (answer, refused):
        assert one.headers["access-control-allow-origin"] == ORIGIN
        assert "X-Session-ID" in one.headers["access-control-expose-headers"]
        assert "origin" in one.headers["vary"].lower()


@requirement("control.cors.refused")
async def test_a_browser_of_another_origin_is_told_nothing(browsers: Gateway, site: Site) -> None:
    other = await browsers.post(CHAT, BODY, origin="https://evil.example")
    closed = await site.gateway.post(CHAT, BODY, origin=ORIGIN)
    preflight = await browsers.http.options(
        CHAT,
        headers={"origin": "https://evil.example", "access-control-request-method": "POST"},
    )

    for one in (other, closed, preflight):
        assert "access-control-allow-origin" not in one.headers
