"""Tool calls as a model made them, fit to be decided: one id each, arguments said once."""

from collections.abc import Iterable

import msgspec

from interlock.providers.wire.model import Part, ToolCall
from interlock.providers.wire.relay.calls import CallIds
from interlock.providers.wire.relay.exact import (
    JSON_ERRORS,
    DuplicateMemberError,
    dumps,
    loads,
    loads_any,
)

__all__ = ["CallIds", "decidable", "decidable_parts"]


def decidable(call: ToolCall, ids: CallIds) -> ToolCall:
    """`call` under an id no other call of the answer has, with unambiguous arguments.

    Readers of JSON disagree about a member that is given twice, so what is decided
    and what the client runs could differ; such arguments are written anew, the last
    member winning.
    """
    call_id = ids.claim(call.id)
    arguments = _said_once(call.arguments)
    if call_id == call.id and arguments is call.arguments:
        return call
    return msgspec.structs.replace(call, id=call_id, arguments=arguments)


def decidable_parts(parts: Iterable[Part]) -> list[Part]:
    """The parts of a whole answer, with each call as `decidable` makes it."""
    ids = CallIds()
    return [decidable(part, ids) if isinstance(part, ToolCall) else part for part in parts]


def _said_once(arguments: str) -> str:
    try:
        loads(arguments.encode())
    except DuplicateMemberError:
        return dumps(loads_any(arguments.encode())).decode()
    except JSON_ERRORS:
        return arguments
    return arguments
