"""What a request shows of where its values come from: the user's words and tool results.

Made for a request only when a policy asks for it, when the first call is decided.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from interlock.gateway.ids import parse_call_id
from interlock.gateway.session import LiveSession
from interlock.policy.labels import unwrap
from interlock.policy.provenance import Evidence, GivenResult
from interlock.providers.wire.exchange import Head
from interlock.providers.wire.relay.called import given_results, said_by_user

__all__ = ["evidence_of"]


def evidence_of(head: Head, prepended: Sequence[Any], session: LiveSession) -> Evidence:
    """The evidence in a request and in what is prepended to it (Responses).

    Results count under the tool that *this* session's call went to; a result of a call
    that is not known here belongs to no tool, so no field of it is evidence.
    """
    results = []
    for call_id, text in given_results(head.format, head.body, prepended):
        ours = parse_call_id(call_id)
        call = session.state.calls.get(ours.canonical if ours is not None else call_id)
        results.append(
            GivenResult(
                tool=call.tool if call is not None else "",
                text=_bare(text),
                trusted=call is not None and call.trusted,
                ref=call_id,
            )
        )
    return Evidence(list(said_by_user(head.format, head.body, prepended)), results)


def _bare(text: str) -> str:
    """A result without the wrapper in which its tool labelled it."""
    if "is_sequrity_var" not in text:
        return text
    try:
        wrapped = unwrap(msgspec.json.decode(text))
    except (msgspec.DecodeError, RecursionError):
        return text
    if wrapped is None:
        return text
    value = wrapped.value
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
