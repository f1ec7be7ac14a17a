"""Model calls the gateway makes for itself, by role: tagging, tool filtering.

They go to the provider and model of the request that caused them, with its key, are
metered under their role, and never stream. A role that cannot answer raises; callers
fail closed.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from interlock.gateway.context import CallContext
from interlock.gateway.ledger import Ledger, Meter
from interlock.gateway.scopes import permitted
from interlock.kernel.roles import ModelRole, role_line
from interlock.policy.guards import TagScore, Undecided, tagllm_request, tagllm_verdict
from interlock.providers.model import Target, Upstreams
from interlock.providers.wire.exchange import FormatName
from interlock.providers.wire.model import Message, OutputFormat, Request, Text, Usage
from interlock.providers.wire.registry import FORMATS

__all__ = ["Roles"]

_log = logging.getLogger("interlock.gateway")
_MAX_TOKENS = 1024


class Roles:
    """Asks models on the gateway's own behalf."""

    def __init__(self, *, upstreams: Upstreams, ledger: Ledger) -> None:
        self._upstreams = upstreams
        self._ledger = ledger

    async def ask(
        self, ctx: CallContext, role: ModelRole, *, system: str, user: str, schema: dict[str, Any]
    ) -> str:
        """One question with a JSON answer; returns the answer's text.

        Raises UpstreamError and the errors of the wire formats.
        """
        meter = Meter(began=time.perf_counter())
        status, error = 200, None
        overrides = ctx.config.llm.get(role, {})

        def build(target: Target, name: FormatName) -> bytes:
            request = Request(
                model=target.model,
                messages=[
                    Message(role="system", parts=[Text(text=system)]),
                    Message(role="user", parts=[Text(text=user)]),
                ],
                max_tokens=overrides.get("max_completion_tokens") or _MAX_TOKENS,
                temperature=overrides.get("temperature"),
                top_p=overrides.get("top_p"),
                seed=overrides.get("seed"),
                output_format=OutputFormat(kind="json_schema", name=role, schema=schema),
            )
            return msgspec.json.encode(FORMATS[name].encode_request(request).body)

        try:
            model = ctx.head.model.split(",")[-1].strip()
            route = permitted(self._upstreams.resolve(ctx.provider, model, byok=ctx.byok), ctx.key)
            reply = await self._upstreams.send(route, build, want=ctx.head.format)
            meter.attempts = reply.attempts
            codec = FORMATS[reply.target.speaks(ctx.head.format)]
            answer = codec.decode_response(msgspec.json.decode(await reply.read()))
            meter.add(answer.usage or Usage(estimated=True), reply.target)
        except BaseException as exc:
            status, error = 502, type(exc).__name__
            raise
        finally:
            self._ledger.close(ctx, meter, session_id=None, status=status, error=error, role=role)
        return "".join(part.text for part in answer.parts if isinstance(part, Text))

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
        system = role_line("tllm") + (
            "You choose tools for another assistant. Answer with the names of all tools that "
            "could help with the request, as JSON, and nothing else."
        )
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
