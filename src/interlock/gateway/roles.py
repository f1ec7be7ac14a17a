"""Model calls the gateway makes for itself, by role: planning, tagging, policies.

They go to the provider and model of the request that caused them, with its key, are
metered under their role, and never stream. A role that cannot answer raises; callers
fail closed.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from interlock.dual.prompts import LATEST, system_prompt
from interlock.gateway.context import CallContext
from interlock.gateway.ledger import Ledger, Meter, added, estimate_tokens
from interlock.gateway.scopes import permitted
from interlock.kernel.errors import InterlockError
from interlock.kernel.roles import ModelRole
from interlock.policy.guards import TagScore, Undecided, tagllm_request, tagllm_verdict
from interlock.providers.model import Target, Upstreams
from interlock.providers.wire.errors import MalformedAnswerError
from interlock.providers.wire.exchange import FormatName
from interlock.providers.wire.halves import read_mended
from interlock.providers.wire.model import (
    Message,
    OutputFormat,
    Reasoning,
    Request,
    Response,
    StopReason,
    Text,
    Thinking,
    Usage,
)
from interlock.providers.wire.registry import FORMATS

__all__ = ["Roles", "Said"]

_log = logging.getLogger("interlock.gateway")
_MAX_TOKENS = 1024
_CLIENT_GONE = 499
_CONFIG_NAMES = {"error_detector_llm": "tool_result_error_detector_llm"}
"""Roles that X-Config `llm` calls otherwise than `prompt` does (6.4)."""
_SAMPLING = (
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "logprobs",
    "seed",
    "temperature",
    "top_p",
)


class Said(Struct, frozen=True, kw_only=True):
    """What a model answered."""

    text: str
    thoughts: str = ""
    """Readable reasoning, where the provider gives any."""
    usage: Usage
    cut: bool = False
    """The answer ends where its token limit was reached."""


class Roles:
    """Asks models on the gateway's own behalf."""

    def __init__(self, *, upstreams: Upstreams, ledger: Ledger) -> None:
        self._upstreams = upstreams
        self._ledger = ledger

    async def ask(
        self, ctx: CallContext, role: ModelRole, *, system: str, user: str, schema: dict[str, Any]
    ) -> str:
        """One question with a JSON answer, to the last model of the request.

        In single-llm, which uses only one, to the first.

        Raises UpstreamError and the errors of the wire formats.
        """
        planner, _, quarantined = ctx.model.partition(",")
        alone = ctx.config.arch == "single-llm" or not quarantined
        answer = await self.answer(
            ctx,
            role,
            model=(planner if alone else quarantined).strip(),
            system=system,
            user=user,
            schema=schema,
            max_tokens=_MAX_TOKENS,
        )
        return answer.text

    async def answer(
        self,
        ctx: CallContext,
        role: ModelRole,
        *,
        model: str,
        system: str,
        user: str,
        schema: dict[str, Any] | None = None,
        max_tokens: int | None = None,
    ) -> Said:
        """One question, metered under its role; without `schema` the answer is plain text.

        What the session sets for the role (`llm`) goes over `max_tokens`.

        Raises UpstreamError and the errors of the wire formats.
        """
        messages = [
            Message(role="system", parts=[Text(text=system)]),
            Message(role="user", parts=[Text(text=user)]),
        ]
        defaults = Request(model=model, messages=[], max_tokens=max_tokens)
        return await self.complete(ctx, role, messages, defaults=defaults, schema=schema)

    async def complete(
        self,
        ctx: CallContext,
        role: ModelRole,
        messages: list[Message],
        *,
        defaults: Request,
        schema: dict[str, Any] | None = None,
        again: int = 0,
    ) -> Said:
        """One question to the model of `defaults`, with its sampling where no override is set.

        Overrides are those of X-Config `llm` for the role. `again` counts how often this model
        was asked the same before: each time it gets another seed. Tools are never offered.
        Metered under the role. Raises UpstreamError and the errors of the wire formats.
        """
        meter = Meter(began=time.perf_counter())
        status, error = 200, None
        sent: list[tuple[Target, int]] = []
        asked = _overridden(defaults, ctx.config.llm.get(_CONFIG_NAMES.get(role, role), {}))
        if again:
            asked = msgspec.structs.replace(asked, seed=(asked.seed or 0) + again)
        wanted = None
        if schema is not None:
            wanted = OutputFormat(kind="json_schema", name=role, schema=schema)

        def build(target: Target, name: FormatName) -> bytes:
            request = msgspec.structs.replace(
                asked, model=target.model, messages=messages, output_format=wanted
            )
            body = msgspec.json.encode(FORMATS[name].encode_request(request).body)
            sent.append((target, len(body)))
            return body

        try:
            route = self._upstreams.resolve(ctx.provider, defaults.model, byok=ctx.byok)
            reply = await self._upstreams.send(
                permitted(route, ctx.key), build, want=ctx.head.format
            )
            meter.attempts, meter.target = reply.attempts, reply.target
            try:
                data = await reply.read()
            finally:
                reply.close()
            answer = _answer_in(data, reply.target.speaks(ctx.head.format))
            meter.add(answer.usage or _estimate(sent, len(data)), reply.target)
        except asyncio.CancelledError:
            # The provider works on it, and bills what it has read.
            status, error = _CLIENT_GONE, "client_gone"
            if sent:
                meter.add(_estimate(sent, 0), sent[-1][0])
            raise
        except BaseException as exc:
            status = 502
            error = exc.error_code if isinstance(exc, InterlockError) else type(exc).__name__
            raise
        finally:
            meter.upstream_s = time.perf_counter() - meter.began
            self._ledger.close(ctx, meter, session_id=None, status=status, error=error, role=role)
        usage = meter.total()
        ctx.spent = usage if ctx.spent is None else added(ctx.spent, usage)
        return Said(
            text="".join(part.text for part in answer.parts if isinstance(part, Text)),
            thoughts="".join(part.text for part in answer.parts if isinstance(part, Thinking)),
            usage=usage,
            cut=answer.stop is StopReason.LENGTH,
        )

    async def tag(
        self, ctx: CallContext, undecided: Sequence[Undecided]
    ) -> Sequence[TagScore | float]:
        """Scores (0..1) for what the rules left open, one for one.

        A question that gets no valid answer scores 1.0: it counts as a hit.
        """
        scores: list[TagScore | float] = []
        for item in undecided:
            system, user, schema = tagllm_request(item.guard, item.text)
            verdict: TagScore | None = None
            try:
                answer = await self.ask(ctx, "tagllm", system=system, user=user, schema=schema)
                verdict = tagllm_verdict(answer)
            except Exception as exc:
                _log.warning("tagging model gave no verdict: %s", type(exc).__name__)
            scores.append(1.0 if verdict is None else verdict)
        return scores

    async def filter_tools(
        self, ctx: CallContext, query: str, tools: Sequence[tuple[str, str]]
    ) -> frozenset[str] | None:
        """Names of the tools that may be relevant; None when the model gave no valid answer."""
        names = [name for name, _ in tools]
        schema = {
            "type": "object",
            "properties": {"tools": {"type": "array", "items": {"type": "string", "enum": names}}},
            "required": ["tools"],
            "additionalProperties": False,
        }
        system = system_prompt("tllm", flavor="universal", version=LATEST)
        listing = "\n".join(f"- {name}: {about[:200]}" for name, about in tools)
        try:
            answer = await self.ask(
                ctx,
                "tllm",
                system=system,
                user=f"Request:\n{query}\n\nTools:\n{listing}",
                schema=schema,
            )
            chosen = msgspec.json.decode(answer)["tools"]
        except Exception as exc:
            _log.warning("tool filter gave no answer: %s", type(exc).__name__)
            return None
        kept = frozenset(name for name in chosen if name in names)
        return kept or None


def _answer_in(data: bytes, name: FormatName) -> Response:
    """The answer of a body. Raises MalformedAnswerError."""
    try:
        tree = msgspec.json.decode(data)
    except msgspec.DecodeError:
        try:
            tree = read_mended(data)
        except (ValueError, RecursionError):
            raise MalformedAnswerError("the upstream's answer is not JSON") from None
    return FORMATS[name].decode_response(tree)


def _overridden(request: Request, overrides: Mapping[str, Any]) -> Request:
    """`request` with what X-Config `llm` sets for a role."""
    changes: dict[str, Any] = {
        name: overrides[name] for name in _SAMPLING if overrides.get(name) is not None
    }
    if overrides.get("max_completion_tokens") is not None:
        changes["max_tokens"] = overrides["max_completion_tokens"]
    thought = overrides.get("reasoning")
    if thought is not None:
        changes["reasoning"] = Reasoning(
            enabled=thought.get("enabled", True),
            effort=thought.get("effort"),
            budget_tokens=thought.get("budget"),
            adaptive=thought.get("adaptive", False),
        )
    return msgspec.structs.replace(request, **changes) if changes else request


def _estimate(sent: Sequence[tuple[Target, int]], answered: int) -> Usage:
    """Tokens when the upstream does not say."""
    return Usage(
        input=estimate_tokens(sent[-1][1]), output=estimate_tokens(answered), estimated=True
    )
