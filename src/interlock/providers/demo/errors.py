"""Errors as each provider words them."""

import msgspec

from interlock.providers.demo.formats.ids import NewId

__all__ = ["Family", "error_body"]

from typing import Literal

Family = Literal["openai", "anthropic"]

_OPENAI = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    403: "invalid_request_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    409: "invalid_request_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "requests",
}
_OPENAI_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
_ANTHROPIC = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error_body(
    family: Family,
    status: int,
    message: str,
    new_id: NewId,
    *,
    param: str | None = None,
    code: str | None = None,
) -> bytes:
    """The JSON body of an error answer."""
    if family == "anthropic":
        return msgspec.json.encode(
            {
                "type": "error",
                "error": {"type": _ANTHROPIC.get(status, "api_error"), "message": message},
                "request_id": new_id("req_"),
            }
        )
    return msgspec.json.encode(
        {
            "error": {
                "message": message,
                "type": _OPENAI.get(status, "server_error"),
                "param": param,
                "code": code or _OPENAI_CODES.get(status),
            }
        }
    )
