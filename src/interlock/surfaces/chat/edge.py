"""What every answer of the conversations API carries, and what no route needs to check itself.

Request and trace ids, security headers, the body limit and the content type.
Source: conversations.md, 1.1, 1.7, 1.8, 1.9.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interlock.kernel.ids import random_bytes
from interlock.surfaces.chat.envelope import problem
from interlock.surfaces.chat.openai_errors import OPENAI_PATHS, openai_problem

__all__ = ["BODY_BYTES", "UPLOAD_BYTES", "Edge"]

BODY_BYTES = 1 << 20
UPLOAD_BYTES = 26 << 20
"""Of a form with a file; the file itself may have `chat.attachment_bytes`."""
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?\Z")
_VISIBLE = re.compile(r"[\x21-\x7e]{1,128}\Z")
_UPLOAD = re.compile(r"/api/conversations/[^/]+/attachments")
_POLICY = "default-src 'self'; frame-ancestors 'none'; object-src 'none'; base-uri 'self'"


class _RefusedError(Exception):
    """The body turned out to be one that is not taken."""


class Edge:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, *, extra: Mapping[str, str] | None = None) -> None:
        self._app = app
        self._extra = dict(extra or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        trace_id = _trace_id(headers.get("traceparent"))
        request_id = _request_id(headers.get("x-request-id")) or trace_id
        state = scope.setdefault("state", {})
        state["trace_id"], state["request_id"] = trace_id, request_id
        upload = scope["method"] == "POST" and _UPLOAD.fullmatch(scope["path"]) is not None
        most = UPLOAD_BYTES if upload else BODY_BYTES
        body = _Body(most, json=not upload)
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if body.refusal is not None and not started:
                return  # what the application makes of a body that was cut off
            if message["type"] == "http.response.start":
                started = True
                sent = MutableHeaders(scope=message)
                sent["trace_id"] = trace_id
                sent["x-request-id"] = request_id
                sent["X-Content-Type-Options"] = "nosniff"
                sent.setdefault("Content-Security-Policy", _POLICY)
                for name, value in self._extra.items():
                    sent[name] = value
            await send(message)

        async def read() -> Message:
            return body.take(await receive())

        refused = _refusal(scope["method"], headers, most, upload=upload)
        if refused is None:
            with suppress(_RefusedError):
                await self._app(scope, read, answer)
            refused, body.refusal = body.refusal, None
        if refused is not None and not started:
            await _told(scope["path"], refused)(scope, receive, answer)


_Refusal = tuple[int, str, str]


class _Body:
    """Looks at the body of a request while it is read."""

    def __init__(self, most: int, *, json: bool) -> None:
        self._most = most
        self._json = json
        self.refusal: _Refusal | None = None
        self._read = 0
        self._suspect: list[bytes] = []

    def take(self, message: Message) -> Message:
        """The next piece. Raises _RefusedError."""
        if message["type"] != "http.request":
            return message
        piece: bytes = message.get("body", b"")
        self._read += len(piece)
        if self._read > self._most:
            self._refuse(_too_large(self._most))
        if not self._json:
            return message
        self._suspect.append(piece)
        if not message.get("more_body", False):
            whole = b"".join(self._suspect)
            self._suspect.clear()
            if _SURROGATE.search(whole) and not _is_unicode(whole):
                self._refuse(_NOT_UNICODE)
        return message

    def _refuse(self, refusal: _Refusal) -> None:
        self.refusal = refusal
        raise _RefusedError


def _is_unicode(body: bytes) -> bool:
    """Whether all strings are text: half of a surrogate pair cannot be stored or sent."""
    try:
        json.dumps(json.loads(body), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    except (ValueError, RecursionError):
        return True  # not JSON: whoever parses it says so
    return True


def _told(path: str, refusal: _Refusal) -> Response:
    make = openai_problem if path.startswith(OPENAI_PATHS) else problem
    return make(*refusal)


_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_NOT_UNICODE = (400, "invalid_json", "The body holds half of a surrogate pair.")


def _too_large(most: int) -> _Refusal:
    return 413, "payload_too_large", f"The body is larger than {most >> 20} MiB."


def _refusal(method: str, headers: Headers, most: int, *, upload: bool) -> _Refusal | None:
    length = headers.get("content-length", "")
    has_body = (length.isdigit() and int(length) > 0) or "transfer-encoding" in headers
    if length.isdigit() and int(length) > most:
        return _too_large(most)
    if has_body and method not in ("GET", "HEAD", "OPTIONS"):
        media = headers.get("content-type", "").split(";")[0].strip().lower()
        if upload:
            if media != "multipart/form-data":
                return 415, "unsupported_media_type", "The body must be `multipart/form-data`."
        elif media != "application/json":
            return 415, "unsupported_media_type", "The body must be `application/json`."
    return None


def _trace_id(traceparent: str | None) -> str:
    found = _TRACEPARENT.match(traceparent.strip()) if traceparent else None
    if found is not None and found[1] != "0" * 32:
        return found[1]
    return random_bytes(16).hex()


def _request_id(given: str | None) -> str | None:
    text = (given or "").strip()
    return text if _VISIBLE.match(text) else None
