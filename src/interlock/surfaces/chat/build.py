"""Builds the conversations API as an application of its own.

`owns` says which paths are its. Other parts bring routers of their own (`more`): log-in,
limits, tools.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp

from interlock.kernel.errors import InterlockError
from interlock.surfaces.chat.edge import Edge
from interlock.surfaces.chat.envelope import problem, validation_problem
from interlock.surfaces.chat.openai_errors import OPENAI_PATHS, openai_problem, refusal
from interlock.surfaces.chat.parts import ERRORS, ChatParts
from interlock.surfaces.chat.routes import (
    attachments,
    chat,
    conversations,
    members,
    messages,
    people,
    server,
    streams,
    threads,
)
from interlock.surfaces.chat.schemas.told import Error

__all__ = ["build_chat", "owns"]

_log = logging.getLogger("interlock.chat")
_ROUTERS = (
    server,
    chat,
    conversations,
    members,
    threads,
    messages,
    attachments,
    people,
    streams,
)
_STRICT = {
    "/api/admin/limits/profiles": "invalid_profile",
    "/api/admin/limits/assignments": "invalid_assignment",
    "/api/auth/": "invalid_request",
    "/api/tools": "invalid_request",
    "/api/setup": "invalid_request",
    "/api/account/": "invalid_request",
}
"""Where a field of the wrong form is answered with 422, and with which code."""
_SECURITY = {
    "cookieAuth": {"type": "apiKey", "in": "cookie", "name": "SESSION_ID"},
    "csrf": {"type": "apiKey", "in": "header", "name": "X-CSRF-TOKEN"},
    "bearerAuth": {"type": "http", "scheme": "bearer"},
}
_OPEN = (
    "/api/health",
    "/healthz",
    "/readyz",
    "/metrics",
    "/.well-known/",
    "/api/openapi",
    "/api/setup",
    "/api/auth/",
    "/api/oauth/",
)
_OWN = ("/api/", "/healthz", "/readyz", "/.well-known/", "/v1/")
_OTHERS = ("/api/v1/",)


def owns(path: str) -> bool:
    """Whether a path is of this API."""
    return path.startswith(OPENAI_PATHS) or (path.startswith(_OWN) and not path.startswith(_OTHERS))


def build_chat(
    parts: ChatParts,
    *,
    version: str,
    more: Sequence[APIRouter] = (),
    wrap: Callable[[ASGIApp], ASGIApp] | None = None,
    hsts: str | None = None,
) -> ASGIApp:
    """The application, wrapped in what every answer carries.

    `wrap` goes around the routes and inside of the request ids, e.g. to write cookies.
    """
    app = FastAPI(
        title="Interlock conversations",
        version=version,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.parts = parts
    app.state.callers = parts.callers
    for router in more:
        app.include_router(router)
    for module in _ROUTERS:
        app.include_router(module.router)
    app.add_exception_handler(InterlockError, _domain)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]  # FastAPI's own seam
    inner = app if wrap is None else wrap(app)
    return Edge(inner, extra={"Strict-Transport-Security": hsts} if hsts else None)


async def _domain(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, InterlockError):
        raise exc
    return refusal(request.url.path, exc)


async def _validation(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, RequestValidationError):
        raise exc
    found = exc.errors()
    if request.url.path.startswith(OPENAI_PATHS):
        first = found[0]
        field = _field(first["loc"])
        return openai_problem(400, "invalid_request", f"`{field}`: {first['msg']}.", param=field)
    if any(one["type"] == "json_invalid" for one in found):
        return problem(400, "invalid_json", "The body is not JSON.")
    errors = [{"field": _field(one["loc"]), "message": str(one["msg"])[:300]} for one in found[:20]]
    path = request.url.path
    code = next((code for place, code in _STRICT.items() if path.startswith(place)), None)
    if any(one["loc"][0] != "body" for one in found):
        code = None
    return validation_problem(errors, code=code)


def _field(loc: Sequence[Any]) -> str:
    names = [str(one) for one in loc if one not in ("body", "query", "path", "header")]
    return ".".join(names) or "body"


async def _http(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, HTTPException):
        raise exc
    if request.url.path.startswith(OPENAI_PATHS):
        code = "method_not_allowed" if exc.status_code == 405 else "not_found"
        status = exc.status_code if exc.status_code in (404, 405) else 400
        return openai_problem(
            status,
            code if status != 400 else "invalid_json",
            "The request cannot be served here.",
            headers=dict(exc.headers or {}),
        )
    if exc.status_code == 405:
        return problem(
            405,
            "method_not_allowed",
            f"`{request.method}` is not possible here.",
            headers=dict(exc.headers or {}),
        )
    if exc.status_code == 404:
        return problem(404, "not_found", "There is nothing at this path.")
    if exc.status_code == 400:
        return problem(400, "invalid_json", "The body is not JSON.")
    return problem(exc.status_code, "internal_error", "The request could not be served.")


async def _unexpected(request: Request, exc: Exception) -> Response:
    _log.error("a request failed: %s %s", request.method, request.url.path, exc_info=exc)
    if request.url.path.startswith(OPENAI_PATHS):
        return openai_problem(500, "internal_error", "Internal error.")
    return problem(500, "internal_error", "Internal error; the server's log has details.")


_KEY_REUSED = "The idempotency key came with another request before."


def _document(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1 of the routes there are."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    document = get_openapi(
        title=app.title, version=app.version, openapi_version="3.1.0", routes=app.routes
    )
    components = document.setdefault("components", {})
    schema = Error.model_json_schema(ref_template="#/components/schemas/{model}")
    components.setdefault("schemas", {})["Error"] = schema
    components["securitySchemes"] = _SECURITY
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            responses = operation.get("responses", {})
            responses.pop("422", None)
            if path.startswith(tuple(_STRICT)) and "requestBody" in operation:
                responses["422"] = ERRORS[400]
            if any(one["name"] == "Idempotency-Key" for one in operation.get("parameters", ())):
                responses["422"] = {**ERRORS[400], "description": _KEY_REUSED}
            if path.startswith(_OPEN):
                continue
            cookie: dict[str, list[str]] = {"cookieAuth": []}
            if method != "get":
                cookie["csrf"] = []
            operation["security"] = [cookie, {"bearerAuth": []}]
    app.openapi_schema = document
    return document
