"""Policy generation: asks the policy model until there is a policy that compiles.

Drives `policy.generation` through the door of every model call of our own: each try is
a call of the role `policy_llm` in the ledger. What the caller is told is the sum of all.

Source: gateway.md section 14.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from interlock.gateway.context import CallContext
from interlock.gateway.ledger import added
from interlock.gateway.roles import Roles
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.policy.generation import (
    Ask,
    Failed,
    Generation,
    ToolSignature,
    Wanted,
    signature,
)
from interlock.providers.wire.errors import InvalidRequestError
from interlock.providers.wire.exchange import FormatName
from interlock.providers.wire.model import Usage
from interlock.providers.wire.registry import FORMATS

__all__ = ["PolicyGeneration", "PolicyGenerationFailedError", "Written", "signatures"]


class PolicyGenerationFailedError(InterlockError):
    """No answer of the model was a policy that may be used."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNPROCESSABLE
    code: ClassVar[str] = "policy_generation_failed"

    def __init__(self, failed: Failed, usage: Usage) -> None:
        tries = "1 try" if failed.tries == 1 else f"{failed.tries} tries"
        super().__init__(
            f"no usable policy after {tries}: {failed.message}",
            details={
                "tries": failed.tries,
                "policies": failed.code[:4000],
                "diagnostics": [item.to_dict() for item in failed.problems[:20]],
                "usage": {
                    "prompt_tokens": usage.input,
                    "completion_tokens": usage.output,
                    "total_tokens": usage.input + usage.output,
                },
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A policy and what it took, over all tries."""

    code: str
    usage: Usage
    tries: int


class PolicyGeneration:
    """Writes policies."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles

    async def write(self, ctx: CallContext, wanted: Wanted) -> Written:
        """The policy for a description, by the first model of the request.

        Raises:
            PolicyGenerationFailedError: no answer compiles.
            UpstreamError: the model could not be asked; nothing is tried again here,
                because the upstream router has.
        """
        model = ctx.model.split(",", 1)[0].strip()
        generation = Generation(wanted)
        step: Ask | Failed = generation.begin()
        spent = Usage()
        while isinstance(step, Ask):
            answer = await self._roles.answer(
                ctx, "policy_llm", model=model, system=step.system, user=step.user
            )
            spent = added(spent, answer.usage)
            following = generation.answered(answer.text, cut=answer.cut)
            if not isinstance(following, Ask | Failed):
                return Written(code=following.code, usage=spent, tries=following.tries)
            step = following
        raise PolicyGenerationFailedError(step, spent)


def signatures(wire: FormatName, tools: Sequence[dict[str, Any]]) -> list[ToolSignature]:
    """Tools of a wire format as the gateway would decide their calls: by its codec.

    Raises:
        InvalidRequestError: one is no tool of that format, or is there twice.
    """
    if not tools:
        return []
    request: dict[str, Any] = {"model": "m", "tools": list(tools)}
    if wire == "responses":
        request["input"] = "x"
    else:
        request |= {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    decoded = FORMATS[wire].decode_request(request)
    found = [signature(one.qualified, one.description, one.schema) for one in decoded.tools]
    # Who runs at the provider has arguments nobody else knows.
    found += [ToolSignature(name=one.name, parameters=None) for one in decoded.provider_tools]
    seen: set[str] = set()
    for tool in found:
        if tool.name in seen:
            raise InvalidRequestError(
                f"tools: `{tool.name[:100]}` is declared more than once", param="tools"
            )
        seen.add(tool.name)
    return found
