"""A streamed Responses answer.

Text leaves at once; items the client would run are held until they are done. Items and
events that follow a dropped call, and those of later rounds, are numbered on; the
response object that ends the stream is rewritten to hold what the client got.
"""

from typing import Any

import msgspec

from interlock.providers.wire.errors import MalformedAnswerError
from interlock.providers.wire.exchange import Ended, Head
from interlock.providers.wire.model import Fault, StopReason, Usage
from interlock.providers.wire.relay.answer_responses import claimed, said_item, settle_status
from interlock.providers.wire.relay.answers import array, mapping
from interlock.providers.wire.relay.calls import CallIds
from interlock.providers.wire.relay.events import Event, frame, upstream_fault
from interlock.providers.wire.relay.exact import dumps, escape, loads, text_of, unescape
from interlock.providers.wire.relay.items import call_of, is_call, with_arguments, with_call_id
from interlock.providers.wire.relay.ordered import HeldCall, OrderedRelay
from interlock.providers.wire.relay.response_events import (
    ENDS,
    OPENINGS,
    TYPED,
    empty_response,
    said_events,
)
from interlock.providers.wire.relay.usage import (
    responses_stop,
    responses_usage,
    write_responses,
)

__all__ = ["ResponsesRelay"]

Tree = dict[str, Any]

_ARGUMENTS = {
    "response.function_call_arguments.delta": "delta",
    "response.custom_tool_call_input.delta": "delta",
}
_OF_CALLS = ("response.function_call_arguments.", "response.custom_tool_call_input.")
"""Events that tell a client's call; some clients act on them without looking at the item."""

_TEXT_DELTAS = frozenset(
    {
        "response.output_text.delta",
        "response.reasoning_summary_text.delta",
        "response.reasoning_text.delta",
        "response.refusal.delta",
    }
)


class ResponsesRelay(OrderedRelay):
    """See `StreamRelay`."""

    def __init__(
        self, head: Head, *, native_client: bool, session_id: str, max_held_bytes: int
    ) -> None:
        super().__init__(max_held_bytes=max_held_bytes)
        self._native = native_client
        self._model = head.model
        self._suffix = session_id.replace("-", "")
        linked = head.previous_response_id
        self._link: Tree = {"previous_response_id": linked} if linked else {}
        """What the upstream, which is sent the whole history instead, cannot say."""
        self._sequence = 0
        self._next = 0
        """Index of the client's next output item."""
        self._round = 1
        self._opened = False
        self._closed = False
        self._identity: Tree = {}
        """id, created_at of the first round."""
        self._base: Tree = {}
        """The newest response object of the upstream."""
        self._kept: list[Tree] = []
        """Items of earlier rounds the client has."""
        self._previous: list[Tree] | None = None
        self._final: bytes | None = None
        self._item_ids: set[str] = set()
        """Ids of the items the client has."""
        self._begin_round()

    def _begin_round(self) -> None:
        self._map: dict[int, int] = {}
        self._new_ids: set[str] = set()
        self._renamed: dict[str, str] = {}
        """Item ids of this round that an earlier round has used, and what they become."""
        self._items: dict[int, HeldCall | None] = {}
        self._whole_items: dict[int, Tree] = {}
        self._ids = CallIds()
        self._end: Event | None = None

    # Judging --------------------------------------------------------------------------

    def _event(self, event: Event) -> None:
        tree = event.tree
        kind = tree.get("type")
        if not isinstance(kind, str):
            if tree.get("error"):
                self._fail(upstream_fault(tree["error"]))
                return
            raise MalformedAnswerError("the upstream sent an event without a type")
        if kind == "error":
            self._fail(upstream_fault(tree.get("error") or tree))
        elif kind in OPENINGS:
            self._opening(event)
        elif kind in ENDS:
            self._ending(event, kind)
        elif not self._native and kind not in TYPED:
            self._followed(event, kind, send=False)
        else:
            self._followed(event, kind, send=True)

    def _opening(self, event: Event) -> None:
        response = self._linked(event)
        self._base = response
        if not self._identity:
            known = ("id", "created_at")
            self._identity = {name: response[name] for name in known if name in response}
        if self._round > 1 or (not self._native and event.tree["type"] not in TYPED):
            return
        self._opened = True
        if response.get("output"):
            event.tree["response"] = {**response, "output": []}
            event.raw = b""
        self._put(event)

    def _linked(self, event: Event) -> Tree:
        """The response object of `event`, which is changed to name the earlier response."""
        response = mapping(event.tree, "response")
        if response and self._link:
            response = event.tree["response"] = {**response, **self._link}
            event.raw = b""
        return response

    def _followed(self, event: Event, kind: str, *, send: bool) -> None:
        """An event of an output item, or of none."""
        tree = event.tree
        index = tree.get("output_index")
        held = self._items.get(index) if isinstance(index, int) else None
        if held is None and kind.startswith(_OF_CALLS):
            raise MalformedAnswerError("the upstream told the arguments of no tool call")
        if not isinstance(index, int):
            if "output_index" in tree or kind.startswith("response.output_item."):
                raise MalformedAnswerError("the upstream sent an item without its place")
            if send:
                self._put(event)
            return
        if kind == "response.output_item.added":
            self._added(event, index)
            return
        if kind == "response.output_item.done":
            self._item_done(event, index)
            return
        if held is not None:
            self._call_event(held, event, kind)
        elif send and self._put(event) and kind in _TEXT_DELTAS and tree.get("delta"):
            self._learn(event, "delta", None)

    def _added(self, event: Event, index: int) -> None:
        item = mapping(event.tree, "item")
        self._forget()
        if index in self._items:
            raise MalformedAnswerError("the upstream began an item twice")
        if is_call(item):
            self._hold_item(event, index, item)
            return
        self._items[index] = None
        self._put(event)

    def _hold_item(self, event: Event, index: int, item: Tree) -> HeldCall:
        held = HeldCall(index, item)
        held.told.append(event)
        self._keep(len(event.raw))
        self._items[index] = held
        self._put_call(held)
        return held

    def _call_event(self, held: HeldCall, event: Event, kind: str) -> None:
        if held.state != "open":
            return
        name = _ARGUMENTS.get(kind)
        text = event.tree.get(name) if name else None
        if name is None:
            held.told.append(event)
            self._keep(len(event.raw))
            return
        if not isinstance(text, str):
            raise MalformedAnswerError("the upstream sent a delta without its text")
        piece = escape(text)
        held.pieces.append(piece)
        held.events.append(event.raw)
        self._keep(len(event.raw) + len(piece))

    def _item_done(self, event: Event, index: int) -> None:
        item = mapping(event.tree, "item")
        self._forget()
        held = self._items.get(index)
        if held is None:
            if is_call(item):
                if index in self._items:
                    raise MalformedAnswerError("the upstream turned an item into a tool call")
                self._whole_call(self._hold_item(event, index, item), item)
                return
            self._items.setdefault(index, None)
            self._whole_items[index] = item
            self._put(event)
        elif held.state == "open":
            held.told.append(event)
            self._keep(len(event.raw))
            self._whole_call(held, item)

    def _whole_call(self, held: HeldCall, item: Tree) -> None:
        """A call is complete. `held.start` becomes the item that is decided and sent."""
        if not is_call(item):
            item = held.start
        kind = item.get("type")
        member = {"function_call": "arguments", "custom_tool_call": "input"}.get(str(kind))
        if member is not None and not item.get(member):
            item[member] = unescape(held.pieces)
        call = claimed(item, self._ids)
        held.start = item
        self._held_whole(held, call)

    def _ending(self, event: Event, kind: str) -> None:
        response = self._linked(event)
        if response:
            self._base = response
        self._end = event
        self._forget()
        if kind == "response.failed":
            self._fail(upstream_fault(response.get("error")))
            return
        for held in self._calls:
            if held.state == "open":
                self._whole_call(held, held.start)
        self._only_at_the_end(array(response, "output"))
        self._step(
            Ended(
                stop=responses_stop(
                    {"status": kind.removeprefix("response."), **response},
                    called=bool(self._calls),
                ),
                usage=responses_usage(response.get("usage")),
                model=text_of(response.get("model")),
                response_id=text_of(response.get("id")),
            )
        )

    def _only_at_the_end(self, output: list[Tree]) -> None:
        """Calls an upstream tells in the final object only are decided like all others."""
        known = {held.call.id for held in self._calls if held.call is not None}
        for place, item in enumerate(output):
            if not is_call(item) or call_of(item).id in known:
                continue
            index = place if place not in self._items else max(self._items) + 1
            tree = {"type": "response.output_item.done", "output_index": index, "item": item}
            event = Event("response.output_item.done", tree, b"", canonical=False)
            self._whole_call(self._hold_item(event, index, item), item)

    # Rendering ------------------------------------------------------------------------

    def _place(self, index: int) -> int:
        """The client's index of an upstream item, given when it is first needed."""
        place = self._map.get(index)
        if place is None:
            place = self._map[index] = self._next
            self._next += 1
        return place

    def _own_id(self, item: Tree) -> Tree:
        """`item` under an id that no item of an earlier round has: clients refuse a second one."""
        item_id = item.get("id")
        if not isinstance(item_id, str):
            return item
        if self._round > 1 and item_id in self._item_ids and item_id not in self._renamed:
            self._renamed[item_id] = f"{item_id}_r{self._round}"
        new = self._renamed.get(item_id, item_id)
        self._new_ids.add(new)
        return item if new == item_id else {**item, "id": new}

    def _number(self) -> int:
        number = self._sequence or 0
        self._sequence = number + 1
        return number

    def _render(self, event: Event) -> bytes:
        tree = event.tree
        changes: Tree = {}
        index = tree.get("output_index")
        if isinstance(index, int):
            place = self._place(index)
            if place != index:
                changes["output_index"] = place
        item, item_id = tree.get("item"), tree.get("item_id")
        if isinstance(item, dict):
            own = self._own_id(item)
            if own is not item:
                changes["item"] = own
        elif self._renamed and item_id in self._renamed:
            changes["item_id"] = self._renamed[item_id]
        number = self._number()
        if tree.get("sequence_number") != number:
            changes["sequence_number"] = number
        if not changes and event.raw:
            return event.raw
        return frame({**tree, **changes}, str(tree["type"]))

    def _render_call(self, held: HeldCall) -> bytes:
        """The events of a call: as they were when they agree, else told anew."""
        item = self._sent_item(held)
        place = self._place(held.key)
        out: list[bytes] = []

        def tell(kind: str, **members: object) -> None:
            out.append(frame({"type": kind, **members, "sequence_number": self._number()}, kind))

        member = {"function_call": "arguments", "custom_tool_call": "input"}.get(
            str(item.get("type"))
        )
        first = held.told[0].tree
        if member is None:
            began = {**first.get("item", item), "status": "in_progress"}
        else:
            began = {**item, member: ""}
            if "status" in item:
                began["status"] = "in_progress"
        began = self._own_id(with_call_id(began, held.our_id))
        tell("response.output_item.added", output_index=place, item=began)
        where = {"output_index": place, "item_id": item.get("id") or held.our_id}
        if member is not None:
            self._render_text(held, item, member, where, out)
        else:
            for event in held.told[1:]:
                kind = str(event.tree.get("type"))
                if kind != "response.output_item.done":
                    rest = {
                        n: v for n, v in event.tree.items() if n not in ("type", "output_index")
                    }
                    rest.pop("sequence_number", None)
                    tell(kind, **{**rest, "output_index": place})
        tell("response.output_item.done", output_index=place, item=item)
        held.events = []
        return b"".join(out)

    def _sent_item(self, held: HeldCall) -> Tree:
        """The item as the client gets it."""
        item = held.start
        if held.arguments is not None:
            item = with_arguments(item, held.arguments)
        return self._own_id(with_call_id(item, held.our_id))

    def _render_text(
        self, held: HeldCall, item: Tree, member: str, where: Tree, out: list[bytes]
    ) -> None:
        """Deltas and the whole of a call's arguments; always the decided ones."""
        text = item[member] if isinstance(item[member], str) else ""
        stem = "function_call_arguments" if member == "arguments" else "custom_tool_call_input"
        kind = f"response.{stem}.delta"
        if unescape(held.pieces) == text:
            for raw in held.events:
                tree = loads(raw[raw.index(b"data:") + 5 :].strip())
                moved = {**where, "sequence_number": self._number()}
                out.append(frame({**tree, **moved}, kind))
        elif any(held.pieces):
            tree = {"type": kind, **where, "delta": text, "sequence_number": self._number()}
            out.append(frame(tree, kind))
        kind = f"response.{stem}.done"
        done = next((e.tree for e in held.told if e.tree.get("type") == kind), {})
        named = {"name": item.get("name")} if member == "arguments" else {}
        tree = {**done, "type": kind, **where, **named, member: text}
        out.append(frame({**tree, **where, "sequence_number": self._number()}, kind))

    # Ends -----------------------------------------------------------------------------

    def output(self) -> list[Tree] | None:
        """The items of the last round that called, as the model made them."""
        if not self._calls:
            return self._previous
        items = dict(self._whole_items)
        items |= {held.key: held.start for held in self._calls}
        return [items[index] for index in sorted(items)]

    def next_round(self) -> None:
        """See `StreamRelay.next_round`."""
        leaving = self._drained()
        self._previous = self.output()
        self._kept += self._client_items()
        self._item_ids |= self._new_ids
        self._restart()
        self._round += 1
        self._begin_round()
        self._emit(leaving)

    def _client_items(self) -> list[Tree]:
        """Items of this round the client has, in its order."""
        calls = {held.key: held for held in self._calls}
        ended = mapping(self._end.tree, "response") if self._end is not None else {}
        found: dict[int, Tree] = {}
        for place, item in enumerate(array(ended, "output")):
            if not is_call(item):
                found[place] = self._own_id(item)
        for index, item in self._whole_items.items():
            if index not in calls:
                found.setdefault(index, self._own_id(item))
        for index, held in calls.items():
            found.pop(index, None)
            if held.state == "released":
                found[index] = self._sent_item(held)
        return [found[index] for index in sorted(found)]

    def close(
        self,
        *,
        extra_text: str | None = None,
        usage: Usage | None = None,
        stop: StopReason | None = None,
    ) -> bytes:
        """See `StreamRelay.close`."""
        if self._closed:
            return b""
        self._closed = True
        out = [*self._pieces, self._drained()]
        self._pieces = []
        said = []
        if extra_text:
            item = said_item(f"msg_{self._suffix}_{self._next}", extra_text)
            out.append(self._saying(item, extra_text))
            said.append(item)
        event = self._end
        if event is None:
            event = Event(
                "response.completed", {"type": "response.completed"}, b"", canonical=False
            )
        response = mapping(event.tree, "response")
        same = (
            not said
            and not self._calls
            and self._round == 1
            and stop in (None, responses_stop(response, called=False))
            and usage in (None, responses_usage(response.get("usage")))
        )
        if not same:
            event = self._rewritten(event, response, said, usage, stop)
        out.append(self._render(event))
        self._final = dumps(event.tree.get("response") or {})
        return b"".join(out)

    def _rewritten(
        self,
        event: Event,
        response: Tree,
        said: list[Tree],
        usage: Usage | None,
        stop: StopReason | None,
    ) -> Event:
        new = {**self._response_base(), **response, **self._identity}
        new["output"] = [*self._kept, *self._client_items(), *said]
        new.pop("output_text", None)
        if usage is not None and usage != responses_usage(response.get("usage")):
            new["usage"] = write_responses(response.get("usage"), usage)
        told = responses_stop(response, called=bool(self._calls))
        if not self._released and stop is not None and stop is not told:
            settle_status(new, stop)
        status = {"incomplete": "incomplete", "failed": "failed"}.get(str(new.get("status")))
        kind = f"response.{status or 'completed'}"
        return Event(kind, {**event.tree, "type": kind, "response": new}, b"", canonical=False)

    def _response_base(self) -> Tree:
        return {**empty_response(f"resp_{self._suffix}", self._model), **self._base}

    def _saying(self, item: Tree, text: str) -> bytes:
        place = self._next
        self._next += 1
        told = said_events(item, text, place)
        return b"".join(
            frame({**tree, "sequence_number": self._number()}, kind) for kind, tree in told
        )

    def fail(self, fault: Fault) -> bytes:
        """See `StreamRelay.fail`: `response.failed`, the upstream's own when it sent one."""
        if self._closed:
            return b""
        self._closed = True
        out: list[bytes] = []
        if not self._opened:
            begun = {**self._response_base(), "status": "in_progress", "output": []}
            tree = {"type": "response.created", "response": begun}
            out.append(frame({**tree, "sequence_number": self._number()}, "response.created"))
        failed = {**self._response_base(), **self._identity, "status": "failed"}
        failed["output"] = [*self._kept, *self._client_items()]
        ended = mapping(self._end.tree, "response") if self._end is not None else {}
        if not isinstance(ended.get("error"), dict):
            failed["error"] = {"code": "server_error", "message": fault.message}
        self._final = dumps(failed)
        tree = {"type": "response.failed", "response": failed}
        out.append(frame({**tree, "sequence_number": self._number()}, "response.failed"))
        return b"".join(out)

    def result(self) -> Tree | None:
        """See `StreamRelay.result`: known after `close` or `fail`."""
        if self._final is None:
            return None
        found: Tree = msgspec.json.decode(self._final)
        return found
