"""What the three request editors share: deciding whether a history changes, and re-inserts."""

from collections.abc import Callable, Sequence

from msgspec import Raw

from interlock.providers.wire.exchange import Edits, Head, Reinsert
from interlock.providers.wire.relay.exact import loads, raw

__all__ = ["Siblings", "mapper", "relax_choice", "touches_history", "unchanged"]


def touches_history(head: Head, edits: Edits) -> bool:
    """Whether any message may have to change."""
    if edits.results or edits.reinsert:
        return True
    if not head.has_history:
        return False
    return edits.upstream_id is not None or not edits.native_client


def relax_choice(body: dict[str, Raw]) -> None:
    """Lets the model answer without a tool: those it had to call were denied."""
    for name in ("tool_choice", "function_call"):
        choice = loads(body[name]) if name in body else None
        if isinstance(choice, dict) and choice.get("type") in ("any", "tool"):
            kept = {k: v for k, v in choice.items() if k == "disable_parallel_tool_use"}
            body[name] = raw({"type": "auto", **kept})
        elif isinstance(choice, dict) and choice.get("type") in ("allowed_tools", "auto", "none"):
            inner = choice.get("allowed_tools")
            holder = inner if isinstance(inner, dict) else choice
            if holder.get("mode") == "required":
                holder["mode"] = "auto"
                body[name] = raw(choice)
        elif isinstance(choice, dict) or choice == "required":
            body[name] = raw("auto")


def unchanged(new: Sequence[object], old: Sequence[object]) -> bool:
    """Whether a rewritten list is the list it was made of."""
    return len(new) == len(old) and all(a is b for a, b in zip(new, old, strict=True))


def mapper(edits: Edits) -> Callable[[str], str]:
    """Our call ids to the upstream's."""
    return edits.upstream_id or (lambda call_id: call_id)


class Siblings:
    """Denied calls waiting to be put back, by the call they follow.

    A denied call is put back twice: the call after its sibling's call, the refusal
    after its sibling's result. `calls` and `refusals` hand each out once.
    """

    __slots__ = ("_calls", "_refusals")

    def __init__(self, reinserts: Sequence[Reinsert]) -> None:
        self._calls: dict[str, list[Reinsert]] = {}
        for one in reinserts:
            self._calls.setdefault(one.after_call_id, []).append(one)
        self._refusals = dict(self._calls)

    def __bool__(self) -> bool:
        return bool(self._refusals)

    def calls(self, call_id: str) -> list[Reinsert]:
        """Those whose call follows the call `call_id`."""
        return self._calls.pop(call_id, [])

    def refusals(self, call_id: str) -> list[Reinsert]:
        """Those whose refusal follows the result of `call_id`."""
        return self._refusals.pop(call_id, [])
