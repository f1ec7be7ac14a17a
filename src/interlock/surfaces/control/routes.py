"""Every route below `/control` that is not hot, as one ASGI endpoint.

The path grammar has its own router (`routing`), shared with the hot path, so one
catch-all route dispatches here by operation. Completion routes arrive here only when
the hot protocol is not in front (tests that drive the ASGI app) and with methods that
are wrong for them.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from interlock import __version__
from interlock.gateway.config import SessionConfig
from interlock.gateway.context import CallContext
from interlock.gateway.generation import PolicyGeneration
from interlock.gateway.responses import ResponseStore
from interlock.gateway.sidecalls import SideCalls, object_body
from interlock.identity.model import KeyInfo
from interlock.kernel.errors import InterlockError
from interlock.limits.service import Limits
from interlock.providers.model import Upstreams
from interlock.providers.wire.exchange import Head
from interlock.surfaces.control.annotate import AnnotationRoutes
from interlock.surfaces.control.auth import (
    ControlHeaders,
    check_scopes,
    credentials,
    forwarded,
    read_headers,
)
from interlock.surfaces.control.envelope import ErrorResponse, error_response, internal_error
from interlock.surfaces.control.errors import RouteNotFoundError
from interlock.surfaces.control.generate import generate_body, read_generate
from interlock.surfaces.control.headers import ConfigCache
from interlock.surfaces.control.hot import DefaultProvider, KeyLookup, new_request_id
from interlock.surfaces.control.render import (
    count_tokens_body,
    health_body,
    model_body,
    models_body,
    root_body,
)
from interlock.surfaces.control.routing import Route, Router, refusal
from interlock.surfaces.control.validate import Compile, validate_headers
from interlock.web.leaving import unless_gone

__all__ = ["ControlRoutes", "HealthChecks"]

_log = logging.getLogger("interlock.control")
HealthChecks = Callable[[], Awaitable[Mapping[str, str]]]
_DEFAULT_CONFIG: Final = SessionConfig()
_CLIENT_GONE: Final = 499


@dataclass(slots=True)
class _Caller:
    """An authenticated request."""

    key: KeyInfo
    headers: ControlHeaders
    byok: str | None


class ControlRoutes:
    """Answers the utility routes."""

    def __init__(
        self,
        *,
        router: Router,
        keys: KeyLookup,
        upstreams: Upstreams,
        responses: ResponseStore,
        side: SideCalls,
        generation: PolicyGeneration,
        configs: ConfigCache,
        annotations: AnnotationRoutes,
        health: HealthChecks,
        compile_policy: Compile,
        default_provider: DefaultProvider,
        started_at: int,
        limits: Limits,
        within: Callable[[CallContext], AbstractAsyncContextManager[object]],
    ) -> None:
        """`within` holds a request against the budgets of its caller while it runs."""
        self._router = router
        self._keys = keys
        self._upstreams = upstreams
        self._responses = responses
        self._side = side
        self._generation = generation
        self._configs = configs
        self._annotations = annotations
        self._health = health
        self._compile = compile_policy
        self._default_provider = default_provider
        self._within = within
        self._started_at = started_at
        self._limits = limits

    async def __call__(self, request: Request) -> Response:
        """Dispatches by operation; every failure has the body of section 16."""
        request_id = new_request_id()
        route: Route | None = None
        byok: str | None = None
        try:
            raw_path = request.scope.get("raw_path") or request.url.path.encode()
            route = self._router.resolve(request.method, raw_path)
            headers = read_headers(request.scope["headers"])
            caller: _Caller | None = None
            if route.needs_key:
                caller = await self._caller(headers, route)
                byok = caller.byok
            status, body = await self._dispatch(request, route, caller, request_id)
            if request.method == "HEAD":
                body = b""
            return Response(
                body,
                status,
                headers={"x-request-id": request_id},
                media_type="application/json",
            )
        except InterlockError as exc:
            wire = route.format if route is not None else None
            secrets = (byok,) if byok else ()
            return _response(
                error_response(exc, request_id=request_id, format=wire, secrets=secrets)
            )
        except ClientDisconnect:
            return Response(status_code=_CLIENT_GONE)
        except Exception:
            _log.exception("request %s failed", request_id)
            return _response(internal_error(request_id))

    async def _caller(self, headers: ControlHeaders, route: Route) -> _Caller:
        given = credentials(headers)
        key = self._keys.cached(given.gateway_key)
        if key is None:
            key = await self._keys.lookup(given.gateway_key)
        if key.scopes and route.endpoint is not None:
            check_scopes(key, route.endpoint, route.provider)
        return _Caller(key, headers, given.byok)

    async def _dispatch(
        self, request: Request, route: Route, caller: _Caller | None, request_id: str
    ) -> tuple[int, bytes]:
        open_routes = {"root": self._root, "health": self._healthy, "validate": self._validate}
        opened = open_routes.get(route.operation)
        if opened is not None:
            return await opened(request)
        if caller is None:
            raise RouteNotFoundError("no such path")
        refused = refusal(route)
        if refused is not None:
            raise refused
        return await self._with_key(request, route, caller, request_id)

    async def _with_key(
        self, request: Request, route: Route, caller: _Caller, request_id: str
    ) -> tuple[int, bytes]:
        account = caller.key.account_id
        match route.operation:
            case "models" | "model":
                return 200, self._models(route, caller)
            case "count_tokens":
                body = await request.body()
                object_body(body)
                ctx = self._context(route, caller, body, request_id)
                counted = await self._side.count_tokens(ctx)
                return 200, counted if counted is not None else count_tokens_body(body)
            case "embeddings":
                pending = self._limits.admit(caller.key)
                if pending is not None:
                    await pending
                ctx = self._context(route, caller, await request.body(), request_id)
                async with self._within(ctx):
                    return 200, await self._side.embeddings(ctx)
            case "annotations":
                body = await request.body()
                answer = self._annotations.answer(request.method, route.rest, caller.key, body)
                return 200, await answer
            case "generate":
                asked = await request.body()
                work = self._generate(route, caller, asked, request_id)
                return 200, await unless_gone(request, work)
            case "response_get":
                return 200, (await self._responses.retrieve(account, route.response_id or "")).body
            case "response_delete":
                response_id = route.response_id or ""
                await self._responses.delete(account, response_id)
                gone = {"id": response_id, "object": "response", "deleted": True}
                return 200, msgspec.json.encode(gone)
            case "response_items":
                stored = await self._responses.retrieve(account, route.response_id or "")
                return 200, _items(stored.items)
            case _:
                raise RouteNotFoundError("this route is served by the gateway's own protocol")

    async def _generate(self, route: Route, caller: _Caller, body: bytes, request_id: str) -> bytes:
        """A policy for a description."""
        headers, key = caller.headers, caller.key
        model, wanted = read_generate(body)
        config = self._configs.get(
            key.id,
            key.config_version,
            "policy-gen",
            headers.x_features,
            headers.x_policy,
            headers.x_config,
            key.base_config,
        )
        pending = self._limits.admit(key)
        if pending is not None:
            await pending
        byok = caller.byok
        ctx = CallContext(
            request_id=request_id,
            key=key,
            config=config,
            head=Head(format="chat", model=model, stream=False, body=body),
            provider=route.provider or self._default_provider("generate", byok is not None),
            byok=byok,
            endpoint=route.suffix,
        )
        async with self._within(ctx):
            return generate_body(await self._generation.write(ctx, wanted))

    def _context(self, route: Route, caller: _Caller, body: bytes, request_id: str) -> CallContext:
        wire = route.format or "chat"
        model = object_body(body)["model"]
        return CallContext(
            request_id=request_id,
            key=caller.key,
            config=_DEFAULT_CONFIG,
            head=Head(format=wire, model=model, stream=False, body=body),
            provider=route.provider
            or self._default_provider(_suffix(route), caller.byok is not None),
            byok=caller.byok,
            endpoint=route.suffix,
            forward=forwarded(caller.headers, wire, byok=caller.byok is not None),
        )

    def _models(self, route: Route, caller: _Caller) -> bytes:
        provider = route.provider or self._default_provider("chat", caller.byok is not None)
        names = self._upstreams.models(provider)
        native = caller.headers.native
        if route.operation == "model":
            return model_body(
                route.model or "",
                names,
                created=self._started_at,
                provider=provider,
                anthropic=native,
            )
        return models_body(names, created=self._started_at, provider=provider, anthropic=native)

    async def _root(self, request: Request) -> tuple[int, bytes]:
        del request
        return 200, root_body(__version__, self._router.list_routes())

    async def _healthy(self, request: Request) -> tuple[int, bytes]:
        del request
        return health_body(await self._health())

    async def _validate(self, request: Request) -> tuple[int, bytes]:
        return 200, validate_headers(await request.body(), self._compile)


def _suffix(route: Route) -> str:
    return "messages" if route.operation == "count_tokens" else "chat"


def _items(encoded: bytes) -> bytes:
    """Input items in the list shape, each with an id."""
    items = []
    for index, item in enumerate(msgspec.json.decode(encoded)):
        if isinstance(item, dict):
            items.append({"id": f"item_{index}", **_listed(item)})
    listing = {
        "object": "list",
        "data": items,
        "first_id": items[0]["id"] if items else None,
        "last_id": items[-1]["id"] if items else None,
        "has_more": False,
    }
    return msgspec.json.encode(listing)


def _listed(item: dict[str, Any]) -> dict[str, Any]:
    """An input item in full: clients may shorten messages, but read them as lists of parts."""
    if item.get("type", "message") != "message":
        return item
    content = item.get("content")
    if isinstance(content, str):
        kind = "output_text" if item.get("role") == "assistant" else "input_text"
        content = [{"type": kind, "text": content}]
    return {**item, "type": "message", "status": "completed", "content": content}


def _response(answer: ErrorResponse) -> Response:
    headers = {name.decode(): value.decode("latin-1") for name, value in answer.headers}
    return Response(answer.body, answer.status, headers=headers)
