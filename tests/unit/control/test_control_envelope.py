"""Errors on the wire, as each of the clients reads them."""

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anthropic
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sequrity import SequrityAPIError, SequrityClient

from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.providers.model import UpstreamError
from interlock.surfaces.control.auth import credentials, read_headers
from interlock.surfaces.control.envelope import (
    ErrorResponse,
    error_response,
    header_lines,
    internal_error,
    redact,
)
from interlock.surfaces.control.headers import parse
from interlock.surfaces.control.routing import Router

STATUS = {
    ErrorKind.INVALID: (400, "invalid_request_error"),
    ErrorKind.UNAUTHENTICATED: (401, "authentication_error"),
    ErrorKind.QUOTA: (402, "permission_error"),
    ErrorKind.FORBIDDEN: (403, "permission_error"),
    ErrorKind.NOT_FOUND: (404, "not_found_error"),
    ErrorKind.METHOD: (405, "invalid_request_error"),
    ErrorKind.CONFLICT: (409, "invalid_request_error"),
    ErrorKind.GONE: (410, "not_found_error"),
    ErrorKind.TOO_LARGE: (413, "request_too_large"),
    ErrorKind.HEADERS_TOO_LARGE: (431, "request_too_large"),
    ErrorKind.UNPROCESSABLE: (422, "invalid_request_error"),
    ErrorKind.RATE_LIMITED: (429, "rate_limit_error"),
    ErrorKind.INTERNAL: (500, "api_error"),
    ErrorKind.UNSUPPORTED: (501, "api_error"),
    ErrorKind.UPSTREAM: (502, "api_error"),
    ErrorKind.UNAVAILABLE: (503, "overloaded_error"),
    ErrorKind.UPSTREAM_TIMEOUT: (504, "timeout_error"),
}


def answer(exc: InterlockError, **options: Any) -> tuple[ErrorResponse, dict[str, Any]]:
    response = error_response(exc, request_id="req_1", **options)
    return response, json.loads(response.body)


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_every_kind_has_a_status_and_a_type(kind: ErrorKind) -> None:
    response, body = answer(InterlockError("it broke", kind=kind, code="some_code"))

    assert (response.status, body["error"]["type"]) == STATUS[kind]


def test_the_body_has_exactly_the_published_members() -> None:
    with pytest.raises(InterlockError) as caught:
        parse("X-Policy", '{"presets": {"default_allow": "yes"}}')

    response, body = answer(caught.value, format="chat")

    message = "X-Policy: presets.default_allow: Input should be a valid boolean"
    assert body == {
        "type": "error",
        "detail": message,
        "message": message,
        "error": {
            "type": "invalid_request_error",
            "code": "invalid_header",
            "param": "X-Policy",
            "message": message,
        },
        "request_id": "req_1",
    }
    assert dict(response.headers) == {
        b"content-type": b"application/json",
        b"x-request-id": b"req_1",
    }


def test_a_missing_key_asks_for_a_bearer_token() -> None:
    with pytest.raises(InterlockError) as caught:
        credentials(read_headers([]))

    response, body = answer(caught.value)

    assert response.status == 401
    assert (b"www-authenticate", b"Bearer") in response.headers
    assert body["error"]["code"] == "missing_api_key"


@pytest.mark.parametrize(
    ("kind", "code", "final"),
    [
        (ErrorKind.UNAUTHENTICATED, "invalid_api_key", True),
        (ErrorKind.UNSUPPORTED, "policy_language_unsupported", True),
        (ErrorKind.UNAVAILABLE, "provider_not_configured", True),
        (ErrorKind.CONFLICT, "history_mismatch", True),
        (ErrorKind.CONFLICT, "session_busy", False),
        (ErrorKind.UNAVAILABLE, "overloaded", False),
        (ErrorKind.UPSTREAM, "upstream_error", False),
    ],
)
def test_clients_are_told_when_asking_again_is_no_use(
    kind: ErrorKind, code: str, final: bool
) -> None:
    response, _ = answer(InterlockError("it broke", kind=kind, code=code))

    assert ((b"x-should-retry", b"false") in response.headers) is final


def test_a_wrong_method_says_which_are_allowed() -> None:
    with pytest.raises(InterlockError) as caught:
        Router().resolve("GET", "/control/chat/v1/messages")

    response, body = answer(caught.value, format="messages")

    assert response.status == 405
    assert (b"allow", b"POST") in response.headers
    assert (b"request-id", b"req_1") in response.headers
    assert body["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("wait_s", "header"),
    [(0.2, b"1"), (3.0, b"3"), (0.0, b"0"), (-1.0, b"0"), (1e300, b"1000000000")],
)
def test_a_wait_is_whole_seconds_rounded_up(wait_s: float, header: bytes) -> None:
    response, _ = answer(
        InterlockError("slow down", kind=ErrorKind.RATE_LIMITED, retry_after_s=wait_s)
    )

    assert (b"retry-after", header) in response.headers


def test_hints_are_appended_and_details_are_for_machines() -> None:
    _, body = answer(
        InterlockError("run is over", hint="start a new one", details={"line": 3, "odd": {1, 2}})
    )

    assert body["detail"] == body["error"]["message"] == "run is over; start a new one"
    assert body["error"]["details"]["line"] == 3


def test_text_that_cannot_be_encoded_and_endless_text_still_make_a_body() -> None:
    loop: list[Any] = []
    loop.append(loop)

    _, odd = answer(
        InterlockError("a\ud800b", details={"big": 2**80, "loop": loop}, param="\udc00")
    )
    _, long = answer(InterlockError("x" * 100_000))

    assert odd["message"] == "a?b"
    assert len(long["message"]) < 5000


def upstream(status: int | None, body: object = b"", **more: Any) -> UpstreamError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return UpstreamError(f"`openai` answered {status}", status=status, body=raw, **more)


OPENAI_BODY = {
    "error": {
        "message": "This model's maximum context length is 8192 tokens",
        "type": "invalid_request_error",
        "code": "context_length_exceeded",
        "param": "messages",
    }
}


@pytest.mark.parametrize(
    ("status", "type_"),
    [
        (400, "invalid_request_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
    ],
)
def test_what_an_upstream_says_of_the_request_keeps_status_code_and_words(
    status: int, type_: str
) -> None:
    response, body = answer(upstream(status, OPENAI_BODY))

    assert (response.status, body["error"]["type"]) == (status, type_)
    assert body["error"]["code"] == "context_length_exceeded"
    assert body["error"]["param"] == "messages"
    assert "maximum context length is 8192" in body["message"]


@pytest.mark.parametrize(("status", "kept"), [(404, 404), (413, 413), (422, 422), (415, 400)])
def test_a_request_the_upstream_calls_invalid_keeps_the_published_statuses(
    status: int, kept: int
) -> None:
    assert answer(upstream(status, kind=ErrorKind.INVALID))[0].status == kept


def test_words_that_are_in_the_message_already_are_not_said_twice() -> None:
    words = "too  long\n" * 100
    error = UpstreamError(
        f"`x` answered 400: {' '.join(words.split())[:500]}...",
        status=400,
        body=json.dumps({"error": {"message": words}}).encode(),
    )

    assert answer(error)[1]["message"] == error.message


@pytest.mark.parametrize("status", [401, 403, 418, 500, 503, 529, None])
def test_other_upstream_failures_are_502_with_status_and_words_in_the_text(
    status: int | None,
) -> None:
    response, body = answer(upstream(status, OPENAI_BODY))

    assert response.status == 502
    assert body["error"]["code"] == "upstream_error"
    assert body["error"]["type"] == "api_error"
    assert body["message"] == (
        f"`openai` answered {status}: This model's maximum context length is 8192 tokens"
    )


def test_a_refused_provider_key_of_the_caller_is_401() -> None:
    error = upstream(401, code="upstream_authentication_error", kind=ErrorKind.UNAUTHENTICATED)

    response, body = answer(error)

    assert (response.status, body["error"]["code"]) == (401, "upstream_authentication_error")


def test_an_upstream_rate_limit_keeps_its_wait() -> None:
    response, body = answer(
        upstream(429, code="rate_limit_exceeded", kind=ErrorKind.RATE_LIMITED, retry_after_s=7)
    )

    assert (response.status, body["error"]["code"]) == (429, "rate_limit_exceeded")
    assert (b"retry-after", b"7") in response.headers


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"type": "error", "error": {"type": "x", "message": "prompt is too long"}},
            "prompt is too long",
        ),
        ({"error": "model not loaded"}, "model not loaded"),
        ({"detail": "no such model"}, "no such model"),
        ({"message": "bad"}, "bad"),
    ],
)
def test_the_words_of_any_upstream_are_found(body: object, words: str) -> None:
    assert answer(upstream(400, body))[1]["message"].endswith(f": {words}")


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b"[" * 50_000, b'{"error":5}', b'{"error":{"code":5}}']
)
def test_an_upstream_body_that_says_nothing_changes_nothing(body: bytes) -> None:
    assert answer(upstream(400, body))[1]["message"] == "`openai` answered 400"


SECRETS = [
    "sk-proj-abcDEF123456",
    "sk-ant-api03-xxxxYYYY",
    "sq-0123456789abcdefghij",
    "AIzaSyA1234567890abcdefghijkl",
    "AKIAIOSFODNN7EXAMPLE",
    "gsk_abcdefgh1234",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "sk-***...wxyz",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("text", ["Incorrect API key provided: {}.", "({})", "header Bearer {}"])
def test_keys_in_upstream_texts_are_redacted(secret: str, text: str) -> None:
    told = {"error": {"message": text.format(secret)}}

    for status in (400, 401):
        body = answer(upstream(status, told))[0].body.decode()
        assert secret[:-1] not in body
        assert "[REDACTED]" in body


def test_a_known_secret_is_redacted_whatever_it_looks_like() -> None:
    told = {"error": {"message": "key hunter2 is bad, api_key=hunter3333"}}

    body = answer(upstream(400, told), secrets=["hunter2", ""])[1]

    assert "hunter" not in body["message"]


@pytest.mark.parametrize(
    "text",
    [
        f"no tool call `tc-{uuid.UUID(int=7)}-{uuid.UUID(int=2**127 + 5)}`",
        "Invalid value for max_tokens: 5",
        "model `gpt-5-mini-2025-08-07` not found",
        "the risk-assessment tool failed",
    ],
)
def test_ordinary_words_are_left_alone(text: str) -> None:
    assert redact(text) == text


def test_an_unexpected_exception_tells_only_where_to_look() -> None:
    response = internal_error("req_9", "messages")
    body = json.loads(response.body)

    assert response.status == 500
    assert body["error"]["code"] == "internal_error"
    assert body["request_id"] == "req_9"
    assert "req_9" in body["detail"]


def test_header_lines_are_ready_for_the_wire() -> None:
    assert header_lines([(b"a", b"1"), (b"b", b"2")]) == b"a: 1\r\nb: 2\r\n"


@contextmanager
def answering(response: ErrorResponse) -> Iterator[str]:
    """A loopback server that gives every request this answer; yields its origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(response.status)
            for name, value in response.headers:
                self.send_header(name.decode(), value.decode())
            self.send_header("content-length", str(len(response.body)))
            self.end_headers()
            self.wfile.write(response.body)

        def log_message(self, *args: object) -> None:
            """Keeps the test output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_the_typed_client_reads_the_message() -> None:
    response, body = answer(InterlockError("no such session", kind=ErrorKind.NOT_FOUND))

    with (
        answering(response) as origin,
        SequrityClient(api_key="k", base_url=origin) as client,
        pytest.raises(SequrityAPIError) as caught,
    ):
        client.control.chat.create(messages=[{"role": "user", "content": "hi"}], model="m")

    assert (caught.value.status_code, caught.value.message) == (404, body["message"])


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (ErrorKind.INVALID, "BadRequestError"),
        (ErrorKind.UNAUTHENTICATED, "AuthenticationError"),
        (ErrorKind.FORBIDDEN, "PermissionDeniedError"),
        (ErrorKind.NOT_FOUND, "NotFoundError"),
        (ErrorKind.CONFLICT, "ConflictError"),
        (ErrorKind.UNPROCESSABLE, "UnprocessableEntityError"),
        (ErrorKind.RATE_LIMITED, "RateLimitError"),
        (ErrorKind.INTERNAL, "InternalServerError"),
    ],
)
def test_the_native_sdks_raise_the_exception_that_fits(kind: ErrorKind, name: str) -> None:
    error = InterlockError("it broke", kind=kind, code="some_code", param="model")
    response = error_response(error, request_id="req_1", format="messages")
    messages: Any = [{"role": "user", "content": "hi"}]

    with (
        answering(response) as origin,
        openai.OpenAI(base_url=f"{origin}/v1", api_key="k", max_retries=0) as chat,
        anthropic.Anthropic(base_url=origin, api_key="k", max_retries=0) as claude,
    ):
        with pytest.raises(openai.APIStatusError) as by_openai:
            chat.chat.completions.create(model="m", messages=messages)
        with pytest.raises(anthropic.APIStatusError) as by_anthropic:
            claude.messages.create(model="m", max_tokens=5, messages=messages)

    assert type(by_openai.value).__name__ == type(by_anthropic.value).__name__ == name
    assert by_openai.value.request_id == by_anthropic.value.request_id == "req_1"
    assert (by_openai.value.code, by_openai.value.param) == ("some_code", "model")
    assert "it broke" in str(by_openai.value)
    assert "it broke" in str(by_anthropic.value)


@settings(max_examples=200, deadline=None)
@given(
    message=st.text(max_size=50),
    hint=st.none() | st.text(max_size=10),
    body=st.binary(max_size=60),
    status=st.none() | st.integers(100, 599),
    kind=st.sampled_from(ErrorKind),
)
def test_any_error_makes_a_json_body_of_strings(
    message: str, hint: str | None, body: bytes, status: int | None, kind: ErrorKind
) -> None:
    plain = error_response(InterlockError(message, hint=hint, kind=kind), request_id="r")
    up = error_response(UpstreamError(message, body=body, status=status, kind=kind), request_id="r")

    for response in (plain, up):
        tree = json.loads(response.body)
        assert 400 <= response.status <= 599
        assert tree["detail"] == tree["message"] == tree["error"]["message"]
