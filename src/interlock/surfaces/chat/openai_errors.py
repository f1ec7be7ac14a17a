"""Errors of the OpenAI-style endpoints: `{"error": {"message", "type", "param", "code"}}`.

Source: conversations.md section 16.
"""

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from interlock.kernel.errors import InterlockError
from interlock.surfaces.chat.envelope import problem_of, status_of

__all__ = ["OPENAI_PATHS", "error_body", "openai_error", "openai_problem", "refusal"]

OPENAI_PATHS = ("/v1/", "/api/v1/models", "/api/v1/chat/")
"""Where the published clients of that API look for it."""
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def error_body(
    status: int, code: str, message: str, param: str | None = None
) -> dict[str, dict[str, str | None]]:
    """The body of an error, also inside a stream."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def openai_problem(
    status: int,
    code: str,
    message: str,
    *,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error answer."""
    return Response(
        msgspec.json.encode(error_body(status, code, message, param)),
        status_code=status,
        media_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def openai_error(exc: InterlockError) -> Response:
    """The answer to an error of the domain, with the headers every surface sends."""
    status, code = status_of(exc)
    usual = problem_of(exc).headers
    told = ("retry-after", "www-authenticate", "x-ratelimit-profile")
    kept = {
        name: value
        for name, value in usual.items()
        if name in told or name.startswith("ratelimit-")
    }
    message = f"{exc.message}; {exc.hint}" if exc.hint else exc.message
    return openai_problem(
        status, code, message[:1].upper() + message[1:] + ".", param=exc.param, headers=kept
    )


def refusal(path: str, exc: InterlockError) -> Response:
    """The answer to an error before any route was reached, in the shape its path promises."""
    return openai_error(exc) if path.startswith(OPENAI_PATHS) else problem_of(exc)
