"""OpenAI-style endpoints for people: `/v1` and `/api/v1`, with a session or a bearer key.

Every call passes the gateway like those of any other client. With `metadata.rustygpt` the last
message and the answer are kept in a conversation. Source: conversations.md section 16.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from fastapi import APIRouter, Request
from starlette.responses import Response

from interlock.identity.context import Context
from interlock.identity.model import KeyInfo
from interlock.kernel.clock import Clock
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.surfaces.chat.asking import Asked, Asking, Keeper, Models, ask
from interlock.surfaces.chat.auth import Caller
from interlock.surfaces.chat.envelope import json_answer
from interlock.surfaces.chat.parts import Parts
from interlock.surfaces.chat.schemas.openai import CompletionIn, CompletionOut, ModelOut, ModelsOut

__all__ = ["Keys", "OpenAiParts", "openai_router"]

_PREFIXES = ("/v1", "/api/v1")
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": "The request was refused or failed.",
        "content": {"application/json": {"schema": _ERROR}},
    }
    for status in (400, 401, 403, 404, 409, 413, 415, 422, 423, 429, 500, 501, 502, 503, 504)
}


class Keys(Protocol):
    """Says with whose rights a request calls models: `web.credentials.Credentials`."""

    async def key(self, request: Request, context: Context) -> KeyInfo:
        """The key of the request, or one that stands for the person who is signed in."""
        ...


class LimitedKeyError(InterlockError):
    """Raised when a key is limited to providers, which only the gateway's endpoints can tell."""

    kind: ClassVar[ErrorKind] = ErrorKind.FORBIDDEN
    code: ClassVar[str] = "forbidden"

    def __init__(self) -> None:
        super().__init__(
            "the key is limited to some providers", hint="use it with the gateway's own endpoints"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAiParts:
    """Everything the routes call."""

    door: Asking
    keys: Keys
    models: Callable[[], Sequence[str]]
    """Names of the models there are."""
    owner: str
    clock: Clock


def openai_router(openai: OpenAiParts) -> APIRouter:
    """The routes."""
    router = APIRouter(responses=_ERRORS, tags=["openai"])
    created = int(openai.clock.now().timestamp())
    known = Models(openai.models, created=created, owner=openai.owner)
    for prefix in _PREFIXES:
        _routes(router, prefix, openai, known)
    return router


def _routes(router: APIRouter, prefix: str, openai: OpenAiParts, models: Models) -> None:
    name = prefix.strip("/").replace("/", "_")

    @router.get(
        f"{prefix}/models",
        responses={200: {"model": ModelsOut}},
        operation_id=f"{name}_list_models",
    )
    async def list_models(ctx: Caller) -> Response:
        """The models one may ask."""
        del ctx
        found = models.all()
        return json_answer({"object": "list", "data": found, "models": found})

    @router.get(
        f"{prefix}/models/{{model_id:path}}",
        responses={200: {"model": ModelOut}},
        operation_id=f"{name}_model",
    )
    async def one_model(model_id: str, ctx: Caller) -> Response:
        """One of them."""
        del ctx
        found = models.find(model_id)
        if found is None:
            raise InterlockError(
                f"model `{model_id[:100]}` does not exist",
                kind=ErrorKind.NOT_FOUND,
                code="model_not_found",
                param="model",
            )
        return json_answer(found)

    @router.post(
        f"{prefix}/chat/completions",
        responses={
            200: {
                "model": CompletionOut,
                "content": {"text/event-stream": {}},
                "description": "The answer, or a stream of its pieces.",
            }
        },
        operation_id=f"{name}_chat_completions",
    )
    async def completions(
        request: Request, body: CompletionIn, ctx: Caller, parts: Parts
    ) -> Response:
        """Asks a model; with `stream` its answer comes in pieces."""
        if any(scope.startswith("provider:") for scope in ctx.scopes):
            raise LimitedKeyError
        key = await openai.keys.key(request, ctx)
        keeper = await Keeper.begin(parts.talks, ctx, body)
        created = int(openai.clock.now().timestamp())
        asked = Asked.of(ctx, key, body, place=keeper.place, created=created)
        return await ask(openai.door, asked, keeper, stream=body.stream)
