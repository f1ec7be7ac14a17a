"""A streamed Chat Completions answer.

Text leaves at once; calls are held per choice until the choice finishes, since their
fragments may alternate; finish reasons, usage and `[DONE]` wait for `close`. A call that
is released begins with its id, type and name and goes on with arguments only, under
indexes counted anew, so that every client assembles exactly what was decided.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from interlock.providers.wire.errors import MalformedAnswerError
from interlock.providers.wire.exchange import Ended, Head
from interlock.providers.wire.model import Fault, StopReason, ToolCall, Usage
from interlock.providers.wire.relay.answer_chat import (
    assistant_message,
    may_hide_calls,
    strip_calls,
)
from interlock.providers.wire.relay.answers import array, mapping
from interlock.providers.wire.relay.calls import CallIds, chat_call, check_kind
from interlock.providers.wire.relay.chat_call import ChatCall
from interlock.providers.wire.relay.events import (
    Event,
    EventRelay,
    frame,
    upstream_fault,
)
from interlock.providers.wire.relay.exact import dumps, escape, text_of, unescape
from interlock.providers.wire.relay.usage import CHAT_STOPS, chat_stop, chat_usage, write_chat

__all__ = ["ChatRelay"]

Tree = dict[str, Any]
_DONE = b"data: [DONE]\n\n"
_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")
_CALLED = ("tool_calls", "function_call")


def _with_choices(tree: Tree, choices: list[Tree]) -> Tree:
    """A chunk with other choices; its counts are told elsewhere."""
    new = {**tree, "choices": choices}
    if "usage" in new:
        new["usage"] = None
    return new


class ChatRelay(EventRelay):
    """See `StreamRelay`."""

    def __init__(self, head: Head, *, hide_usage: bool, max_held_bytes: int) -> None:
        super().__init__(max_held_bytes=max_held_bytes)
        self._hide_usage = hide_usage
        self._wants_usage = head.wants_usage and not hide_usage
        self._may_call = bool(head.tools)
        self._model = head.model
        self._envelope: Tree | None = None
        """id, created, model of the first round."""
        self._round = 1
        self._main = 0
        """The choice that later rounds continue."""
        self._opened: set[int] = set()
        self._said: set[int] = set()
        self._released: dict[int, int] = {}
        self._gap = False
        """The next text is the first of a later round."""
        self._kept: list[tuple[Tree, bytes]] = []
        """Ends of other choices from earlier rounds."""
        self._closed = False
        self._previous: Tree | None = None
        self._begin_round()

    def _begin_round(self) -> None:
        self._calls: dict[tuple[int, int | None], ChatCall] = {}
        self._order: list[ChatCall] = []
        self._ids = CallIds()
        self._tail: list[tuple[Tree, bytes]] = []
        self._finished: dict[int, str] = {}
        self._usage: Usage | None = None
        self._own_id = ""
        self._own_model = ""
        self._texts: dict[tuple[int, str], list[bytes]] = {}
        self._recording = self._may_call
        self._recorded = 0

    # Judging --------------------------------------------------------------------------

    def _event(self, event: Event) -> None:
        tree = event.tree
        if tree.get("error"):
            self._fail(upstream_fault(tree["error"]))
            return
        choices = array(tree, "choices")
        self._note(tree)
        calls = may_hide_calls(event.raw, choices, "delta")
        if calls and strip_calls({n: v for n, v in tree.items() if n != "choices"}):
            raise MalformedAnswerError("the upstream sent tool calls outside of a choice")
        if not choices:
            self._aside(event)
            return
        now: list[Tree] = []
        ends: list[Tree] = []
        changed = False
        alone = len(choices) == 1
        for choice in choices:
            changed |= self._choice(choice, event, now, ends, alone=alone, calls=calls)
        if ends:
            self._end(event, ends, whole=not now and len(ends) == len(choices) and not changed)
        if now:
            self._forward_choices(event, now, whole=len(now) == len(choices) and not changed)

    def _note(self, tree: Tree) -> None:
        self._own_id = self._own_id or text_of(tree.get("id"))
        self._own_model = self._own_model or text_of(tree.get("model"))
        if self._envelope is None:
            known = ("id", "created", "model")
            self._envelope = {name: tree[name] for name in known if name in tree}
        usage = chat_usage(tree.get("usage"))
        if usage is not None:
            self._usage = usage

    def _aside(self, event: Event) -> None:
        """A chunk without choices: usage at the end, a provider's notes anywhere."""
        if event.tree.get("usage"):
            if not self._hide_usage:
                self._tail.append((event.tree, event.raw))
        elif self._finished:
            self._tail.append((event.tree, event.raw))
        elif self._round == 1:
            self._emit(event.raw)

    def _choice(
        self,
        choice: Tree,
        event: Event,
        now: list[Tree],
        ends: list[Tree],
        *,
        alone: bool,
        calls: bool,
    ) -> bool:
        """Sorts one choice of a chunk; whether it had to be taken apart.

        `calls` is False where the bytes of the event prove that it has no calls anywhere
        but in its deltas.
        """
        index = choice.get("index", 0)
        if not isinstance(index, int):
            raise MalformedAnswerError("the upstream's `index` of a choice is not a number")
        delta = mapping(choice, "delta")
        changed = calls and strip_calls(choice, keep=delta)
        reason = choice.get("finish_reason")
        fragments = array(delta, "tool_calls")
        legacy = mapping(delta, "function_call")
        rest = delta
        if fragments or legacy:
            rest = {name: value for name, value in delta.items() if name not in _CALLED}
            visible = _visible(rest) or bool(choice.get("logprobs"))
            single = alone and len(fragments) + bool(legacy) == 1 and not visible and not reason
            # What was stripped is in the bytes still: then the event is written anew.
            single = single and not changed
            self._fragments(index, choice, event, fragments, legacy, single=single)
            changed = True
            if not visible and not reason:
                return True
        if not reason:
            now.append({**choice, "delta": rest} if rest is not delta else choice)
            return changed
        self._complete(index)
        self._finished.setdefault(index, reason if isinstance(reason, str) else "stop")
        if _visible(rest) or choice.get("logprobs"):
            now.append({**choice, "delta": rest, "finish_reason": None})
            rest = {}
            choice = {**choice, "logprobs": None} if "logprobs" in choice else choice
            changed = True
        ends.append({**choice, "delta": rest} if rest is not delta else choice)
        return changed

    def _forward_choices(self, event: Event, now: list[Tree], *, whole: bool) -> None:
        for choice in now:
            client = self._client_choice(choice.get("index", 0))
            self._opened.add(client)
            delta = mapping(choice, "delta")
            for name in _TEXTS:
                text = delta.get(name)
                if isinstance(text, str) and text:
                    if name == "content":
                        self._said.add(client)
                    self._record(choice.get("index", 0), name, text)
        if self._round > 1:
            continued = [self._continued(choice) for choice in now]
            continued = [choice for choice in continued if choice is not None]
            if continued:
                self._emit(frame({**event.tree, **(self._envelope or {}), "choices": continued}))
            return
        if not whole:
            self._emit(frame(_with_choices(event.tree, now)))
            return
        self._emit(event.raw)
        delta = mapping(now[0], "delta")
        texts = [name for name in _TEXTS if isinstance(delta.get(name), str)]
        if len(now) == 1 and len(texts) == 1 and delta[texts[0]] and "role" not in delta:
            sink = self._texts.get((now[0].get("index", 0), texts[0]))
            self._learn(event, texts[0], sink if self._recording else None)

    def _client_choice(self, index: int) -> int:
        return index if self._round == 1 else self._main

    def _record(self, index: int, name: str, text: str) -> None:
        if self._recording:
            piece = escape(text)
            self._texts.setdefault((index, name), []).append(piece)
            self._recorded += len(piece)
            self._recording = self._recorded <= self._limit

    def _continued(self, choice: Tree) -> Tree | None:
        """A choice of a later round, as part of the answer the client has begun to read."""
        delta = {name: v for name, v in mapping(choice, "delta").items() if name != "role"}
        if not _visible(delta) and not choice.get("logprobs"):
            return None
        if self._gap and isinstance(delta.get("content"), str) and delta["content"]:
            self._gap = False
            delta["content"] = "\n\n" + delta["content"]
        return {**choice, "index": self._main, "delta": delta}

    def _end(self, event: Event, ends: list[Tree], *, whole: bool) -> None:
        if whole and self._round == 1:
            self._tail.append((event.tree, event.raw))
            return
        tree = {**event.tree, "choices": ends}
        if self._round > 1:
            for choice in ends:
                choice["index"] = self._main
            tree |= self._envelope or {}
        self._tail.append((tree, b""))

    # Calls ----------------------------------------------------------------------------

    def _fragments(
        self,
        index: int,
        choice: Tree,
        event: Event,
        fragments: Sequence[Tree],
        legacy: Tree,
        *,
        single: bool,
    ) -> None:
        for fragment in fragments:
            call, first = self._find(index, fragment)
            self._add(call, fragment, choice, event, first=first, single=single)
        if legacy:
            known = self._calls.get((index, None))
            call = known or self._open(index, None, legacy)
            self._add(call, legacy, choice, event, first=known is None, single=single)

    def _find(self, index: int, fragment: Tree) -> tuple[ChatCall, bool]:
        """The call a fragment belongs to. Some providers number all their calls 0."""
        key = fragment.get("index")
        call_id = fragment.get("id")
        if not isinstance(key, int):
            key = len(self._order) if call_id or not self._order else self._order[-1].key or 0
        call = self._calls.get((index, key))
        other = call is not None and call_id and call.entry.get("id") not in (None, "", call_id)
        if call is None or other or call.state != "open":
            return self._open(index, key, fragment), True
        return call, False

    def _open(self, index: int, key: int | None, entry: Tree) -> ChatCall:
        call = ChatCall(index, key, dict(entry))
        self._calls[index, key] = call
        self._order.append(call)
        return call

    def _add(
        self,
        call: ChatCall,
        fragment: Tree,
        choice: Tree,
        event: Event,
        *,
        first: bool,
        single: bool,
    ) -> None:
        if call.member:
            # Told in two kinds, one would be decided and the other assembled.
            check_kind({call.member: {}, **fragment})
        inner = mapping(fragment, call.member) if call.member else fragment
        if not first:
            name = inner.get("name")
            if isinstance(name, str) and name and not (fragment.get("id") or name == call.named):
                call.named += name
        text = inner.get(call.text_name)
        if text is not None and not isinstance(text, str):
            text = dumps(text).decode()
        piece = escape(text or "")
        call.pieces.append(piece)
        if single:
            data = event.raw
        else:
            delta = {"tool_calls": [fragment]} if call.member else {"function_call": fragment}
            alone = {**choice, "delta": delta, "finish_reason": None}
            data = frame(_with_choices(event.tree, [alone]))
        plain = fragment.keys() == {"index", call.member} and inner.keys() == {call.text_name}
        plain = plain and not first and fragment["index"] == call.key
        if not plain:
            call.rich.add(len(call.events))
        call.events.append(data)
        self._keep(len(data) + len(piece))
        if single and plain and text and mapping(choice, "delta").keys() == {"tool_calls"}:
            self._learn(event, call.text_name, call)

    def _complete(self, index: int | None) -> None:
        """Everything held for a choice (None: for all) can be decided."""
        for call in self._order:
            if call.state != "open" or index not in (None, call.choice):
                continue
            call.state = "held"
            whole = call.whole()
            call.id = self._ids.claim(whole.get("id") or (None if call.member else call.named))
            name, arguments = chat_call(whole if call.member else {"function": whole})
            found = ToolCall(id=call.id, name=name, arguments=arguments)
            self._hold(found, partial(self._release, call))
        self._forget()

    def _release(self, call: ChatCall, our_id: str, arguments: str | None = None) -> bytes:
        if call.state != "held":
            return b""
        call.state = "released"
        choice = self._client_choice(call.choice)
        index = self._released.get(choice, 0)
        self._released[choice] = index + 1
        self._opened.add(choice)
        if arguments is not None:
            call.rewrite(arguments)
        envelope = None if self._round == 1 else {**(self._envelope or {})}
        return call.told(our_id, index, choice=choice, envelope=envelope)

    def drop(self, call: ToolCall) -> None:
        """See `StreamRelay.drop`."""
        for held in self._order:
            if held.id == call.id and held.state == "held":
                held.state = "dropped"
                held.events = []

    # Ends -----------------------------------------------------------------------------

    def _done(self) -> None:
        self._complete(None)
        self._ended()

    def _at_eof(self) -> None:
        """Some providers never say `[DONE]`: a finish reason is enough."""
        if not self._finished or any(call.state == "open" for call in self._order):
            super()._at_eof()
            return
        self._ended()

    def _ended(self) -> None:
        reasons = [self._finished[i] for i in sorted(self._finished)]
        called = [r for r in reasons if CHAT_STOPS.get(r) is StopReason.TOOL_CALLS]
        reason = (called or reasons or ["stop"])[0]
        stop = CHAT_STOPS.get(reason, StopReason.END)
        if stop is StopReason.ERROR:
            self._fail(Fault(code="upstream_error", message="the upstream's model failed"))
            return
        self._step(
            Ended(stop=stop, usage=self._usage, model=self._own_model, response_id=self._own_id)
        )

    def output(self) -> Tree | None:
        """The assistant message of the last round that called, for the next request."""
        if not self._order:
            return self._previous
        index = self._order[0].choice
        message: Tree = {}
        for name in _TEXTS:
            pieces = self._texts.get((index, name))
            if pieces and self._recording:
                message[name] = unescape(pieces)
        calls = []
        for call in self._order:
            if call.choice != index:
                continue
            if call.member:
                calls.append({**call.whole(), "id": call.id})
            else:
                message["function_call"] = call.whole()
        if calls:
            message["tool_calls"] = calls
        return assistant_message(message)

    def next_round(self) -> None:
        """See `StreamRelay.next_round`."""
        self._previous = self.output()
        if self._order:
            self._main = self._order[0].choice if self._round == 1 else self._main
        if self._round == 1:
            for tree, _ in self._tail:
                others = [c for c in array(tree, "choices") if c.get("index", 0) != self._main]
                if others:
                    self._kept.append(({**tree, "choices": others}, b""))
        self._round += 1
        self._gap = self._main in self._said
        self._over = False
        self._buffer.clear()
        self._held = 0
        self._forget()
        self._begin_round()

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
        out: list[bytes] = []
        if extra_text:
            out.append(self._saying(extra_text))
        told_usage = False
        ended = False
        for tree, data in [*self._kept, *self._tail]:
            new = self._settled(tree, stop)
            if new.get("usage"):
                told_usage = True
                new = self._counted(new, usage)
            ended = ended or any(c.get("index", 0) == self._main for c in array(new, "choices"))
            out.append(data if data and new is tree else frame(new))
        if not ended:
            reason = chat_stop(stop or StopReason.END)
            end = {"index": self._main, "delta": {}, "finish_reason": reason}
            out.insert(1 if extra_text else 0, frame({**self._chunk(), "choices": [end]}))
        if self._wants_usage and usage is not None and not told_usage:
            counts = write_chat(None, usage)
            out.append(frame({**self._chunk(), "choices": [], "usage": counts}))
        out.append(_DONE)
        return b"".join(out)

    def _chunk(self) -> Tree:
        tree: Tree = {"id": "chatcmpl", "object": "chat.completion.chunk", "created": 0}
        return {**tree, "model": self._model, **(self._envelope or {})}

    def _saying(self, text: str) -> bytes:
        delta: Tree = {} if self._main in self._opened else {"role": "assistant"}
        delta["content"] = f"\n\n{text}" if self._main in self._said else text
        choice = {"index": self._main, "delta": delta, "finish_reason": None}
        self._opened.add(self._main)
        return frame({**self._chunk(), "choices": [choice]})

    def _settled(self, tree: Tree, stop: StopReason | None) -> Tree:
        """A last chunk with the reasons that are true for what the client got."""
        choices = []
        for told in array(tree, "choices"):
            choice = told
            index = choice.get("index", 0)
            meant = CHAT_STOPS.get(str(choice.get("finish_reason")))
            if not self._released.get(index):
                if stop is not None and meant is not stop:
                    choice = {**choice, "finish_reason": chat_stop(stop)}
                elif stop is None and meant is StopReason.TOOL_CALLS:
                    choice = {**choice, "finish_reason": "stop"}
            choices.append(choice)
        same = all(new is old for new, old in zip(choices, array(tree, "choices"), strict=True))
        return tree if same else {**tree, "choices": choices}

    def _counted(self, tree: Tree, usage: Usage | None) -> Tree:
        if self._hide_usage:
            return {name: value for name, value in tree.items() if name != "usage"}
        if usage is None or (self._round == 1 and usage == self._usage):
            return tree if self._round == 1 else {**tree, **(self._envelope or {})}
        return {**tree, **(self._envelope or {}), "usage": write_chat(tree["usage"], usage)}

    def fail(self, fault: Fault) -> bytes:
        """See `StreamRelay.fail`: the official SDK raises on this, and no `[DONE]` follows."""
        if self._closed:
            return b""
        self._closed = True
        error = {"message": fault.message, "type": "api_error", "param": None, "code": fault.code}
        return frame({"error": error})

    def result(self) -> None:
        """See `StreamRelay.result`."""
        return


def _visible(delta: Tree) -> bool:
    """Whether a delta says something, beyond opening the message."""
    return any(value for name, value in delta.items() if name != "role")
