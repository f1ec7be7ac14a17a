"""A whole Responses answer."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from interlock.providers.wire.model import StopReason, ToolCall, Usage
from interlock.providers.wire.relay.answers import (
    Tree,
    Verdicts,
    array,
    clear,
    open_tree,
    reject_error,
)
from interlock.providers.wire.relay.calls import CallIds
from interlock.providers.wire.relay.exact import JSON_ERRORS, dumps, text_of
from interlock.providers.wire.relay.items import call_of, is_call, with_arguments, with_call_id
from interlock.providers.wire.relay.usage import (
    responses_stop,
    responses_usage,
    write_responses,
)

__all__ = ["ResponsesAnswer", "claimed", "open_responses", "said_item", "settle_status"]

_MARKERS = (b'_call"', b'tool_use"', b'approval_request"')


class _Item(Struct):
    type: str


class _Quick(Struct):
    output: list[_Item]
    id: str | None = None
    model: str | None = None
    status: str | None = None
    incomplete_details: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None


_quick = msgspec.json.Decoder(_Quick)


def open_responses(body: bytes, *, linked: str | None = None) -> "ResponsesAnswer":
    """Opens an answer, no deeper than it must. Raises `MalformedAnswerError`.

    `linked` is the earlier response the client named; the upstream, which was sent the
    whole history instead, does not say so.
    """
    if clear(body, _MARKERS):
        try:
            if not body.isascii():
                body.decode()
            quick = _quick.decode(body)
        except JSON_ERRORS:
            pass
        else:
            about = {"status": quick.status, "incomplete_details": quick.incomplete_details}
            return ResponsesAnswer(
                body=body,
                tree=None,
                calls=(),
                stop=responses_stop(about, called=False),
                usage=responses_usage(quick.usage),
                model=quick.model or "",
                response_id=quick.id or "",
                linked=linked,
            )
    return _open_slowly(body, linked)


def claimed(item: Tree, ids: CallIds) -> ToolCall:
    """The call of `item`, whose id is made unique in the round (and in the item)."""
    call = call_of(item)
    call_id = ids.claim(call.id)
    if call_id != call.id:
        item.update(with_call_id(item, call_id))
        call = msgspec.structs.replace(call, id=call_id)
    return call


def _open_slowly(body: bytes, linked: str | None) -> "ResponsesAnswer":
    tree, faithful = open_tree(body)
    if not isinstance(tree.get("output"), list):
        raise reject_error(tree, "output")
    ids = CallIds()
    calls = [claimed(item, ids) for item in array(tree, "output") if is_call(item)]
    return ResponsesAnswer(
        body=body if faithful else dumps(tree),
        tree=tree,
        calls=calls,
        stop=responses_stop(tree, called=bool(calls)),
        usage=responses_usage(tree.get("usage")),
        model=text_of(tree.get("model")),
        response_id=text_of(tree.get("id")),
        linked=linked,
    )


def said_item(item_id: str, text: str) -> Tree:
    """An output message that says `text`."""
    part = {"type": "output_text", "text": text, "annotations": []}
    tree = {"type": "message", "id": item_id, "status": "completed", "role": "assistant"}
    return {**tree, "content": [part]}


def _in_a_row(rounds: Sequence[list[Tree]]) -> list[Tree]:
    """The items of all rounds; an id that an earlier round has used is made another one."""
    row: list[Tree] = []
    used: set[object] = set()
    for number, items in enumerate(rounds, 1):
        own = [
            {**item, "id": f"{item['id']}_r{number}"} if item.get("id") in used else item
            for item in items
        ]
        used.update(item["id"] for item in own if isinstance(item.get("id"), str))
        row += own
    return row


def settle_status(tree: Tree, stop: StopReason | None) -> None:
    """Writes `stop` into a response object; END and TOOL_CALLS are `completed`."""
    match stop:
        case None:
            return
        case StopReason.LENGTH | StopReason.REFUSAL:
            reason = "max_output_tokens" if stop is StopReason.LENGTH else "content_filter"
            tree["status"] = "incomplete"
            tree["incomplete_details"] = {"reason": reason}
        case StopReason.ERROR:
            tree["status"] = "failed"
        case _:
            tree["status"] = "completed"
            tree["incomplete_details"] = None


class ResponsesAnswer:
    """See `Answer`."""

    def __init__(
        self,
        *,
        body: bytes,
        tree: Tree | None,
        calls: Sequence[ToolCall],
        stop: StopReason,
        usage: Usage | None,
        model: str,
        response_id: str,
        linked: str | None,
    ) -> None:
        self.calls = calls
        self.stop = stop
        self.usage = usage
        self.model = model
        self.response_id = response_id
        self._body = body
        self._tree = tree
        self._linked = linked
        self.earlier: Sequence[list[Tree]] = ()
        """What `said` gave for the rounds before this one."""

    def said(self) -> list[Tree]:
        """The items that call nothing."""
        return [item for item in array(self._tree or {}, "output") if not is_call(item)]

    def output(self) -> list[Tree] | None:
        """The items for the next request."""
        return self._tree["output"] if self._tree is not None and self.calls else None

    def finish(
        self,
        ids: Mapping[str, str],
        *,
        denied: frozenset[str] = frozenset(),
        arguments: Mapping[str, str] | None = None,
        extra_text: str | None = None,
        usage: Usage | None = None,
        stop: StopReason | None = None,
    ) -> bytes:
        """See `Answer.finish`."""
        verdicts = Verdicts(
            ids, denied=denied, arguments=arguments, text=extra_text, usage=usage, stop=stop
        )
        changed = bool(self.earlier) or verdicts.changes(self.calls, self.stop, self.usage)
        if not changed and self._linked is None:
            return self._body
        tree = dict(open_tree(self._body)[0] if self._tree is None else self._tree)
        if self._linked is not None:
            tree["previous_response_id"] = self._linked
        if not changed:
            return dumps(tree)
        calls = iter(self.calls)
        output: list[Tree] = []
        first_call = None
        for item in array(tree, "output"):
            if not is_call(item):
                output.append(item)
                continue
            call = next(calls)
            our_id = verdicts.our_id(call)
            if our_id is not None:
                first_call = len(output) if first_call is None else first_call
                given = verdicts.arguments.get(call.id)
                new = item if given is None else with_arguments(item, given)
                output.append(with_call_id(new, our_id))
        if extra_text:
            at = len(output) if first_call is None else first_call
            suffix = self.response_id.removeprefix("resp_") or "0"
            output.insert(at, said_item(f"msg_{suffix}_{at}", extra_text))
        tree["output"] = _in_a_row([*self.earlier, output]) if self.earlier else output
        tree.pop("output_text", None)
        if first_call is None and stop is not None and stop is not self.stop:
            settle_status(tree, stop)
        if usage is not None and usage != self.usage:
            tree["usage"] = write_responses(tree.get("usage"), usage)
        return dumps(tree)
