"""Deterministic tools as people use them: listed, and run under the policies of the server.

A call that names a conversation belongs to it and needs the right to post there; the labels its
result brings stay with that conversation. Any other call belongs to the person alone.

Source: conversations.md section 13.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.conversations.errors import ForbiddenError
from interlock.conversations.permissions import Action
from interlock.conversations.spine import Spine, Work, user_of
from interlock.gateway.toolbox import Toolbox
from interlock.identity.callers import key_of
from interlock.identity.context import Context

__all__ = ["Invoked", "PeopleTools"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoked:
    """What a call gave."""

    tool: str
    version: str
    output: Mapping[str, Any] | None
    """None: the tool failed."""
    failure: tuple[str, str] | None
    """Code and message."""
    duration_ms: float
    input_hash: str
    output_hash: str | None
    cached: bool


class PeopleTools:
    """Lists tools and runs them for a person."""

    def __init__(self, spine: Spine, toolbox: Toolbox) -> None:
        self._spine = spine
        self._toolbox = toolbox

    def listed(self) -> Sequence[Mapping[str, Any]]:
        """All tools, by name."""
        return [self.described(name) for name in sorted(one.name for one in self._toolbox)]

    def described(self, name: str) -> Mapping[str, Any]:
        """One tool as the API shows it. Raises UnknownToolError."""
        tool = self._toolbox.find(name)
        return {
            "name": tool.name,
            "title": tool.title,
            "description": tool.description,
            "category": tool.category,
            "version": tool.version,
            "deterministic": True,
            "side_effects": "none",
            "enabled": True,
            "timeout_ms": tool.timeout_ms,
            "input_schema": dict(tool.input_schema),
            "output_schema": dict(tool.output_schema),
            "examples": [
                {"arguments": dict(one.arguments), "output": dict(one.output)}
                for one in tool.examples
            ],
        }

    async def invoke(
        self, ctx: Context, name: str, arguments: Mapping[str, Any], conversation_id: str | None
    ) -> Invoked:
        """Runs a tool; a failure inside it is an outcome.

        Raises:
            UnknownToolError, ToolArgumentsError: nothing was decided or run.
            NotFoundError, ForbiddenError: the caller may not post in that conversation, or is
                nobody who runs anything.
            ToolDeniedError: the policy says no.
            ToolTimeoutError: it took too long.
        """
        user_id = user_of(ctx)
        place = f"tools:{user_id}"
        if conversation_id is not None:
            async with self._spine.database.read() as connection:
                await Work(connection).enter(ctx, conversation_id, Action.POST)
            place = f"conversation:{conversation_id}"
        elif ctx.global_role == "read_only":
            raise ForbiddenError("your role does not allow this")
        ran = await self._toolbox.invoke(key_of(ctx), place, name, arguments)
        return Invoked(
            tool=ran.tool.name,
            version=ran.tool.version,
            output=ran.output,
            failure=ran.failure,
            duration_ms=round(ran.duration_ms, 3),
            input_hash=ran.input_hash,
            output_hash=ran.output_hash,
            cached=ran.cached,
        )
