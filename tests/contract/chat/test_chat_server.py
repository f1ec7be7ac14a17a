"""Errors, probes and the API document."""

from collections.abc import Callable

import pytest
import yaml
from tests.support.chat_client import ChatClient
from tests.support.requirements import requirement

pytestmark = pytest.mark.anyio
Make = Callable[[str], ChatClient]

SECTION_4 = """
GET /api/health
GET /healthz
GET /readyz
GET /.well-known/{path}
GET /api/openapi.json
GET /api/openapi.yaml
POST /api/chat
GET /api/chat/stream
GET /api/conversations/{id}
POST /api/conversations/{id}/reply
POST /api/conversations
POST /api/conversations/{id}/participants
DELETE /api/conversations/{id}/participants/{user_id}
POST /api/conversations/{id}/invites
POST /api/invites/accept
POST /api/invites/{token}/revoke
GET /api/conversations/{id}/threads
GET /api/conversations/{id}/unread
GET /api/threads/{root_id}/tree
POST /api/threads/{conversation_id}/root
POST /api/threads/{root_id}/read
POST /api/messages/{parent_id}/reply
GET /api/messages/{id}/chunks
POST /api/messages/{id}/delete
POST /api/messages/{id}/restore
POST /api/messages/{id}/edit
POST /api/messages/{id}/cancel
POST /api/typing
POST /api/presence/heartbeat
GET /api/stream/conversations/{conversation_id}
GET /api/conversations
PATCH /api/conversations/{id}
DELETE /api/conversations/{id}
POST /api/conversations/{id}/leave
GET /api/conversations/{id}/participants
GET /api/conversations/{id}/invites
GET /api/conversations/{id}/presence
GET /api/conversations/{id}/export
GET /api/messages/{id}
GET /api/messages/{id}/reasoning
POST /api/messages/{id}/regenerate
GET /api/search
GET /api/assistants
GET /api/users
"""
"""Rows whose routes live here; log-in, limits and tools bring theirs."""


@requirement("chat.openapi.complete")
async def test_the_document_names_every_route_and_says_the_same_in_yaml(client: Make) -> None:
    ann = client("ann")
    document = (await ann.get("/api/openapi.json")).json
    text = await ann.get("/api/openapi.yaml")

    assert document["openapi"] == "3.1.0"
    assert yaml.safe_load(text.body) == document
    assert text.headers["content-type"].startswith("application/yaml")
    told = {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert set(SECTION_4.split("\n")) - {""} <= told
    schemes = document["components"]["securitySchemes"]
    assert set(schemes) == {"cookieAuth", "csrf", "bearerAuth"}
    stream = document["paths"]["/api/stream/conversations/{conversation_id}"]["get"]
    assert "text/event-stream" in stream["responses"]["200"]["content"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert any(status.startswith("2") for status in operation["responses"])


@requirement("chat.errors.envelope")
async def test_every_kind_of_error_has_the_envelope_and_a_trace(client: Make) -> None:
    ann = client("ann")
    made = (await ann.post("/api/conversations", {"title": "x"})).json["conversation_id"]
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    large = {"content-length": str(2 << 20), "content-type": "application/json"}
    calls = [
        (await ann.get("/api/nothing"), 404, "not_found"),
        (await ann.send("PUT", "/api/conversations"), 405, "method_not_allowed"),
        (await ann.send("POST", "/api/chat", raw=b"{", headers=large), 413, "payload_too_large"),
        (
            await ann.send("POST", "/api/chat", raw=b"x", headers={"content-type": "text/plain"}),
            415,
            "unsupported_media_type",
        ),
        (await ann.send("POST", "/api/chat", raw=b"{"), 400, "invalid_json"),
        (await ann.post("/api/conversations", {"title": " "}), 400, "validation_failed"),
        (await ann.post("/api/conversations", {"title": 3}), 400, "validation_failed"),
        (await ann.get("/api/conversations/x"), 400, "validation_failed"),
        (await ann.get(f"/api/conversations/{made}/threads?after=x"), 400, "validation_failed"),
        (await ann.get("/api/conversations?cursor=x"), 400, "validation_failed"),
        (await ChatClient(ann.app).get("/api/conversations"), 401, "unauthorized"),
        (await ann.post(f"/api/conversations/{made}/leave"), 409, "last_owner"),
        (await ann.post("/api/invites/accept", {"token": "x"}), 404, "not_found"),
    ]
    for answer, status, code in calls:
        assert (answer.status, answer.json["code"]) == (status, code)
        assert isinstance(answer.json["message"], str)
        assert isinstance(answer.json["details"], dict)
        assert len(answer.headers["trace_id"]) == 32
        assert answer.headers["x-request-id"] == answer.headers["trace_id"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
    assert calls[1][0].headers["allow"]
    assert calls[5][0].json["details"]["errors"] == [
        {"field": "title", "message": "must not be empty"}
    ]
    told = await ann.get(
        "/api/health",
        headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "x-request-id": " r-1 "},
    )
    assert (told.headers["trace_id"], told.headers["x-request-id"]) == (trace, "r-1")


@requirement("chat.server.probes")
async def test_probes_and_well_known_documents_answer(client: Make) -> None:
    nobody = client("ann")

    assert (await nobody.get("/api/health")).json == {"status": "ok"}
    assert (await nobody.get("/healthz")).json == {"status": "ok"}
    assert (await nobody.get("/readyz")).json == {"ready": True}
    found = await nobody.get("/.well-known/security.txt")
    assert (found.body, found.headers["cache-control"]) == (
        b"Contact: x",
        "max-age=3600, public",
    )
    assert (await nobody.get("/.well-known/other")).status == 404
