"""Does an upstream answer? One tiny model call through the door every call takes."""

import asyncio
from dataclasses import dataclass

import msgspec

from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError
from interlock.providers.catalog import BUILT_IN, KINDS
from interlock.providers.model import Target, Upstreams
from interlock.providers.settings import ProviderSettings, UpstreamSettings, built_in
from interlock.providers.wire.exchange import FormatName

__all__ = ["ProbeResult", "probe", "section"]

_TEXT = "Answer with the single word: pong"
_ANSWER_MEMBER = {"chat": "choices", "messages": "content", "responses": "output"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """How it went."""

    provider: str
    model: str | None
    ok: bool
    seconds: float
    """From the request to the complete answer, or to the failure."""
    wire: FormatName | None = None
    status: int | None = None
    error: str | None = None
    code: str | None = None


def section(settings: UpstreamSettings, name: str) -> ProviderSettings | None:
    """Settings of a provider, configured or built in; None: there is no such provider."""
    if name in settings.providers:
        return settings.providers[name]
    return built_in(name) if name in BUILT_IN else None


async def probe(
    upstreams: Upstreams,
    settings: UpstreamSettings,
    provider: str,
    *,
    clock: Clock,
    model: str | None = None,
    within_s: float = 60.0,
) -> ProbeResult:
    """Asks `provider` (an existing one) for one word. Never raises for what the upstream does.

    Without `model`: the first of its list, a cheap well-known one, or the first one it
    names when asked.
    """
    began = clock.monotonic()
    wire: FormatName | None = None
    try:
        async with asyncio.timeout(within_s):
            model = model or await _some_model(upstreams, settings, provider)
            route = upstreams.resolve(provider, model)
            wire = route.groups[0][0].formats[0]
            kind = _kind(settings, provider)

            def build(target: Target, spoken: FormatName) -> bytes:
                return _body(kind, target.model, spoken)

            reply = await upstreams.send(route, build, want=wire)
            body = await reply.read()
    except TimeoutError:
        return ProbeResult(
            provider=provider,
            model=model,
            ok=False,
            seconds=clock.monotonic() - began,
            wire=wire,
            error=f"no answer within {within_s:g} s",
            code="upstream_timeout",
        )
    except InterlockError as error:
        return ProbeResult(
            provider=provider,
            model=model,
            ok=False,
            seconds=clock.monotonic() - began,
            wire=wire,
            status=getattr(error, "status", None),
            error=error.message + (f" ({error.hint})" if error.hint else ""),
            code=error.error_code,
        )
    good = _is_answer(body, wire)
    return ProbeResult(
        provider=provider,
        model=model,
        ok=good,
        seconds=clock.monotonic() - began,
        wire=wire,
        status=reply.status,
        error=None if good else "the answer is not one of its format",
        code=None if good else "upstream_malformed",
    )


def _kind(settings: UpstreamSettings, provider: str) -> str:
    found = section(settings, provider)
    return found.kind if found is not None else "compatible"


async def _some_model(upstreams: Upstreams, settings: UpstreamSettings, provider: str) -> str:
    found = section(settings, provider)
    if found is not None:
        named = [name for name in found.models or () if not name.endswith("*")]
        if named or found.deployments:
            return next(iter([*named, *found.deployments]))
        cheap = KINDS[found.kind].probe_model
        if cheap is not None:
            return cheap
    route = upstreams.resolve(provider, "", operation="models")
    reply = await upstreams.send(route, lambda _target, _wire: b"", want="chat", operation="models")
    try:
        listed = msgspec.json.decode(await reply.read(), type=_ModelList)
    except (msgspec.DecodeError, msgspec.ValidationError):
        listed = _ModelList()
    if not listed.data:
        raise _NoModelError(provider)
    return listed.data[0].id


class _Model(msgspec.Struct):
    id: str


class _ModelList(msgspec.Struct):
    data: list[_Model] = []


class _NoModelError(InterlockError):
    """The provider lists no model to ask."""

    code = "no_model"

    def __init__(self, provider: str) -> None:
        super().__init__(f"`{provider}` lists no model", hint="name one with --model")


def _body(kind: str, model: str, wire: FormatName) -> bytes:
    message = {"role": "user", "content": _TEXT}
    match wire:
        case "chat":
            limit = "max_completion_tokens" if kind in ("openai", "azure") else "max_tokens"
            tree: dict[str, object] = {"messages": [message], limit: 64}
        case "messages":
            tree = {"messages": [message], "max_tokens": 64}
        case "responses":
            tree = {"input": _TEXT, "max_output_tokens": 64, "store": False}
    return msgspec.json.encode({"model": model, **tree})


def _is_answer(body: bytes, wire: FormatName) -> bool:
    try:
        tree = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return False
    return isinstance(tree, dict) and isinstance(tree.get(_ANSWER_MEMBER[wire]), list)
