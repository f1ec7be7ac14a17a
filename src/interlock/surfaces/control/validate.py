"""`POST /control/v1/validate-headers`: what the gateway would say about three headers.

Pure: the policy compiler is passed in. Source: gateway.md section 15.1.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from interlock.kernel.errors import InterlockError
from interlock.surfaces.control.build import unknown_prompts
from interlock.surfaces.control.errors import (
    HeaderTooLargeError,
    InvalidBodyError,
    InvalidHeaderError,
)
from interlock.surfaces.control.headers import HeaderName, parse
from interlock.surfaces.control.schemas import ConfigHeader, FeaturesHeader, PolicyHeader

__all__ = ["Compile", "validate_headers"]

Compile = Callable[[str, str], list[str]]
"""(policy code, language) -> what is wrong with it, with line and column; empty: it compiles."""

_MEMBERS: Final[dict[str, HeaderName]] = {
    "x_features": "X-Features",
    "x_policy": "X-Policy",
    "x_config": "X-Config",
}


def validate_headers(body: bytes, compile: Compile) -> bytes:  # noqa: A002 - what it does
    """The answer to a validation request; always the body of a 200.

    Per header null (absent), or `{valid, normalized, errors, warnings}`: `normalized`
    is what the header says without what is ignored, `errors` make it invalid,
    `warnings` are what would fail later (policy code that does not compile, an unknown
    prompt template).

    Raises InvalidBodyError when the body is not an object of strings.
    """
    try:
        request = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBodyError(f"Invalid JSON: {error}") from None
    if not isinstance(request, dict):
        raise InvalidBodyError("the body should be a JSON object")
    for member in _MEMBERS:
        if not isinstance(request.get(member), str | None):
            raise InvalidBodyError(f"{member}: should be a string, the header's text", param=member)
    return msgspec.json.encode(
        {
            member: None if request.get(member) is None else _report(name, request[member], compile)
            for member, name in _MEMBERS.items()
        }
    )


def _report(name: HeaderName, text: str, compile_code: Compile) -> dict[str, object]:
    try:
        model = parse(name, text)
    except InvalidHeaderError as error:
        return _entry(errors=list(error.problems))
    except HeaderTooLargeError as error:
        return _entry(errors=[error.message.removeprefix(f"{name}: ")])
    return _entry(normalized=model.given(), warnings=_warnings(model, compile_code))


def _entry(
    *,
    normalized: dict[str, object] | None = None,
    errors: list[str] | None = None,
    warnings: list[str] | None = None,
) -> dict[str, object]:
    return {
        "valid": not errors,
        "normalized": normalized,
        "errors": errors or [],
        "warnings": warnings or [],
    }


def _warnings(
    model: FeaturesHeader | PolicyHeader | ConfigHeader, compile_code: Compile
) -> list[str]:
    if isinstance(model, PolicyHeader):
        code = model.codes.code if model.codes else None
        if model.codes is None or not code or not code.strip():
            return []
        language = "cedar" if model.codes.language == "cedar" else "sqrt"
        try:
            return compile_code(code, language)
        except InterlockError as error:
            return [error.message]
    if isinstance(model, ConfigHeader) and model.prompt is not None:
        return unknown_prompts(model.prompt.given())
    return []
