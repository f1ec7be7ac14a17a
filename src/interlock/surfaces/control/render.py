"""Bodies of the utility routes: route list, health, model lists, token counts.

Pure. Source: gateway.md section 1.3.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from interlock.surfaces.control.errors import InvalidBodyError, RouteNotFoundError
from interlock.surfaces.control.tokens import estimate_tokens

__all__ = [
    "count_tokens_body",
    "health_body",
    "model_body",
    "models_body",
    "root_body",
]

_OWNER: Final = "interlock"


def root_body(version: str, routes: Sequence[Mapping[str, str]]) -> bytes:
    """`GET /control`: what is served here."""
    return msgspec.json.encode({"service": "control", "version": version, "routes": routes})


def health_body(checks: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """Status and body of the load balancer's probe.

    `checks` has one entry per thing that was looked at, `ok` or what is wrong; anything
    but `ok` makes the answer 503.
    """
    checks = checks or {}
    if all(state == "ok" for state in checks.values()):
        return 200, b'{"status":"ok"}'
    return 503, msgspec.json.encode({"status": "degraded", "checks": checks})


def models_body(
    models: Sequence[str], *, created: int, provider: str | None = None, anthropic: bool = False
) -> bytes:
    """The model list, in OpenAI's shape or Anthropic's.

    `created` is seconds since the epoch and stands for all: when the server began to
    offer them. `provider` is named as the owner. Repeated names are listed once.
    """
    names = tuple(dict.fromkeys(models))
    items = [_model(name, created, provider, anthropic=anthropic) for name in names]
    if not anthropic:
        return msgspec.json.encode({"object": "list", "data": items})
    return msgspec.json.encode(
        {
            "data": items,
            "has_more": False,
            "first_id": names[0] if names else None,
            "last_id": names[-1] if names else None,
        }
    )


def model_body(
    model: str,
    models: Sequence[str],
    *,
    created: int,
    provider: str | None = None,
    anthropic: bool = False,
) -> bytes:
    """One entry of the list.

    Raises RouteNotFoundError when `models` has no such name.
    """
    if model not in models:
        raise RouteNotFoundError(f"no model `{model[:200]}`", code="model_not_found", param="model")
    return msgspec.json.encode(_model(model, created, provider, anthropic=anthropic))


def count_tokens_body(body: bytes) -> bytes:
    """`POST .../messages/count_tokens`, counted here: an estimate, as its name does not say.

    Raises InvalidBodyError when the body is not a Messages request.
    """
    try:
        request = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBodyError(f"Invalid JSON: {error}") from None
    if not isinstance(request, dict):
        raise InvalidBodyError("the body should be a JSON object")
    for member, kind, name in (("messages", list, "an array"), ("model", str, "a string")):
        if not isinstance(request.get(member), kind):
            raise InvalidBodyError(f"{member}: should be {name}", param=member)
    return msgspec.json.encode({"input_tokens": estimate_tokens(request)})


def _model(name: str, created: int, provider: str | None, *, anthropic: bool) -> dict[str, object]:
    if anthropic:
        return {
            "type": "model",
            "id": name,
            "display_name": name,
            "created_at": datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lifecycle": "active",
        }
    return {"id": name, "object": "model", "created": created, "owned_by": provider or _OWNER}
