"""A whole Chat Completions answer."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from interlock.providers.wire.model import StopReason, ToolCall, Usage
from interlock.providers.wire.relay.answers import (
    Tree,
    Verdicts,
    array,
    clear,
    mapping,
    mentions,
    open_tree,
    reject_error,
)
from interlock.providers.wire.relay.calls import CallIds, chat_call, check_kind, with_chat_arguments
from interlock.providers.wire.relay.exact import JSON_ERRORS, dumps, text_of
from interlock.providers.wire.relay.usage import CHAT_STOPS, chat_stop, chat_usage, write_chat

__all__ = ["ChatAnswer", "assistant_message", "may_hide_calls", "open_chat", "strip_calls"]

_MARKERS = (b"tool_calls", b"function_call")
_CALLED = ("tool_calls", "function_call")
_DEEP = (dict, list)
_KEPT = ("content", "refusal", "reasoning_content", "reasoning", "reasoning_details")


class _Message(Struct):
    """Any object: nothing in it matters where nothing is called."""


class _Choice(Struct):
    finish_reason: str | None = None
    message: _Message | None = None


class _Details(Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Counts(Struct):
    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Quick(Struct):
    """The usual answer. One that differs, if only in a type, is opened slowly."""

    choices: list[_Choice]
    id: str | None = None
    model: str | None = None
    usage: _Counts | None = None


_quick = msgspec.json.Decoder(_Quick)


def open_chat(body: bytes) -> "ChatAnswer":
    """Opens an answer, no deeper than it must. Raises `MalformedAnswerError`."""
    if clear(body, _MARKERS):
        try:
            if not body.isascii():
                body.decode()
            quick = _quick.decode(body)
        except JSON_ERRORS:
            pass
        else:
            reason = quick.choices[0].finish_reason if quick.choices else None
            return ChatAnswer(
                body=body,
                tree=None,
                calls=(),
                stop=CHAT_STOPS.get(reason or "", StopReason.END),
                usage=_usage(quick.usage) if quick.usage is not None else None,
                model=quick.model or "",
                response_id=quick.id or "",
            )
    return _open_slowly(body)


def _usage(counts: _Counts) -> Usage:
    prompt, completion = counts.prompt_tokens_details, counts.completion_tokens_details
    usage = Usage(input=max(counts.prompt_tokens, 0), output=max(counts.completion_tokens, 0))
    if prompt is None and completion is None:
        return usage
    read, write = (prompt.cached_tokens, prompt.cache_write_tokens) if prompt else (0, 0)
    return replace(
        usage,
        cache_read=max(read or 0, 0),
        cache_write=max(write or 0, 0),
        reasoning=max((completion.reasoning_tokens if completion else 0) or 0, 0),
    )


def _open_slowly(body: bytes) -> "ChatAnswer":
    tree, faithful = open_tree(body)
    if not isinstance(tree.get("choices"), list):
        raise reject_error(tree, "choices")
    ids = CallIds()
    calls: list[ToolCall] = []
    reason = None
    changed = not faithful
    choices = array(tree, "choices")
    hidden = may_hide_calls(body, choices, "message")
    for choice in choices:
        message = mapping(choice, "message")
        if not calls:
            reason = choice.get("finish_reason")
        for call in array(message, "tool_calls"):
            check_kind(call)
            call["id"] = ids.claim(call.get("id"))
            name, arguments = chat_call(call)
            calls.append(ToolCall(id=call["id"], name=name, arguments=arguments))
        legacy = mapping(message, "function_call")
        if legacy:
            call_id = ids.claim(legacy.get("name"))
            name, arguments = chat_call({"function": legacy})
            calls.append(ToolCall(id=call_id, name=name, arguments=arguments))
        if hidden:
            changed |= strip_calls(choice, keep=message)
    rest = {name: value for name, value in tree.items() if name != "choices"}
    if hidden and strip_calls(rest):
        changed = True
        tree = {**rest, "choices": tree["choices"]}
    return ChatAnswer(
        body=dumps(tree) if changed else body,
        tree=tree,
        calls=calls,
        stop=CHAT_STOPS.get(text_of(reason), StopReason.END),
        usage=chat_usage(tree.get("usage")),
        model=text_of(tree.get("model")),
        response_id=text_of(tree.get("id")),
    )


def may_hide_calls(body: bytes, choices: Sequence[Tree], place: str) -> bool:
    """Whether `body` may name calls anywhere but in the `place` of its `choices`.

    Every mention there is one member or the reason to finish; when the bytes hold no
    others, nothing else can be a call, and nobody has to look.
    """
    found = mentions(body, _MARKERS)
    if not found:
        return found is None
    known = 0
    for choice in choices:
        said = mapping(choice, place)
        known += sum([name in said for name in _CALLED])
        known += choice.get("finish_reason") in _CALLED
    return found != known


def strip_calls(tree: Tree, *, keep: Tree | None = None) -> bool:
    """Removes calls from places no client should look for them; `keep` is their place.

    Whether anything was removed. What we do not decide must not leave.
    """
    found = False
    stack: list[Any] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack += [v for v in node if isinstance(v, _DEEP)]
            continue
        for name in _CALLED:
            if node.get(name) and node is not keep:
                del node[name]
                found = True
        stack += [
            v
            for k, v in node.items()
            if isinstance(v, _DEEP) and (node is not keep or k not in _CALLED)
        ]
    return found


def assistant_message(message: Mapping[str, Any]) -> Tree:
    """The message as the model wants it back in the next request."""
    tree: Tree = {"role": "assistant", "content": None}
    tree |= {name: message[name] for name in _KEPT if message.get(name) is not None}
    tree |= {name: message[name] for name in _CALLED if message.get(name)}
    return tree


class ChatAnswer:
    """See `Answer`."""

    __slots__ = ("_body", "_tree", "calls", "earlier", "model", "response_id", "stop", "usage")

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
    ) -> None:
        self.calls = calls
        self.stop = stop
        self.usage = usage
        self.model = model
        self.response_id = response_id
        self._body = body
        self._tree = tree
        self.earlier: Sequence[list[Tree]] = ()
        """What `said` gave for the rounds before this one."""

    def said(self) -> list[Tree]:
        """The choices without their calls, the one that called first at the front."""
        choices = array(self._tree or {}, "choices")
        calls = iter(self.calls)
        denied = Verdicts({}, denied=frozenset(), arguments=None, text=None, usage=None, stop=None)
        called = [any(mapping(one, "message").get(name) for name in _CALLED) for one in choices]
        told = [_finished(choice, calls, denied) for choice in choices]
        main = called.index(True) if True in called else 0
        return [*told[main : main + 1], *told[:main], *told[main + 1 :]]

    def output(self) -> Tree | None:
        """The first message that calls something, for the next request."""
        for choice in (self._tree or {}).get("choices", ()):
            message = mapping(choice, "message")
            if any(message.get(name) for name in _CALLED):
                return assistant_message(message)
        return None

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
        if not (self.calls or extra_text or usage or stop or self.earlier):
            return self._body
        verdicts = Verdicts(
            ids, denied=denied, arguments=arguments, text=extra_text, usage=usage, stop=stop
        )
        if not (self.earlier or verdicts.changes(self.calls, self.stop, self.usage)):
            return self._body
        tree = dict(open_tree(self._body)[0] if self._tree is None else self._tree)
        calls = iter(self.calls)
        choices = [_finished(choice, calls, verdicts) for choice in array(tree, "choices")]
        if not choices and (extra_text or self.earlier):
            choices = [{"index": 0, "message": {"role": "assistant"}, "finish_reason": "stop"}]
        for said in reversed(self.earlier):
            choices[0] = _continuing(said[0], choices[0])
        if extra_text:
            choices[0]["message"] = _saying(mapping(choices[0], "message"), extra_text)
        if self.earlier:
            others = self.earlier[0][1:]
            choices = sorted([choices[0], *others], key=lambda one: int(one.get("index", 0)))
        tree["choices"] = choices
        if usage is not None and usage != self.usage:
            tree["usage"] = write_chat(tree.get("usage"), usage)
        return dumps(tree)


def _finished(choice: Tree, calls: Iterator[ToolCall], verdicts: Verdicts) -> Tree:
    """`choice` with the verdicts done; takes its calls from the front of `calls`."""
    choice = dict(choice)
    message = dict(mapping(choice, "message"))
    called = array(message, "tool_calls")
    left = []
    for told in called:
        entry = told
        call = next(calls)
        our_id = verdicts.our_id(call)
        if our_id is None:
            continue
        arguments = verdicts.arguments.get(call.id)
        if arguments is not None:
            entry = with_chat_arguments(entry, arguments)
        left.append({**entry, "id": our_id})
    if called:
        message["tool_calls"] = left
        if not left:
            del message["tool_calls"]
    legacy = bool(message.get("function_call"))
    if legacy:
        call = next(calls)
        arguments = verdicts.arguments.get(call.id)
        if verdicts.our_id(call) is None:
            del message["function_call"]
        elif arguments is not None:
            message["function_call"] = {**message["function_call"], "arguments": arguments}
    gone = not left and not message.get("function_call")
    if gone and (called or legacy) and message.get("content") is None:
        message["content"] = ""
    choice["message"] = message
    reason = str(choice.get("finish_reason"))
    if gone and verdicts.stop is not None:
        if CHAT_STOPS.get(reason) is not verdicts.stop:
            choice["finish_reason"] = chat_stop(verdicts.stop)
    elif gone and (called or legacy) and CHAT_STOPS.get(reason) is StopReason.TOOL_CALLS:
        choice["finish_reason"] = "stop"
    return choice


def _continuing(earlier: Tree, choice: Tree) -> Tree:
    """`choice` as the continuation of what an earlier round said; texts are two lines apart."""
    before, message = mapping(earlier, "message"), mapping(choice, "message")
    merged = {**before, **{name: value for name, value in message.items() if value is not None}}
    for name in ("refusal", "reasoning_content", "reasoning"):
        if isinstance(before.get(name), str) and isinstance(message.get(name), str):
            merged[name] = before[name] + message[name]
    for name in ("reasoning_details", "annotations"):
        if isinstance(before.get(name), list) and isinstance(message.get(name), list):
            merged[name] = [*before[name], *message[name]]
    said, more = before.get("content"), message.get("content")
    if said and isinstance(more, list):
        said = said if isinstance(said, list) else [{"type": "text", "text": said}]
        merged["content"] = [*said, *more]
    elif said and more:
        merged = _saying({**merged, "content": said}, more)
    elif said:
        merged["content"] = said
    index = {"index": earlier["index"]} if "index" in earlier else {}
    return {**choice, **index, "message": merged}


def _saying(message: Tree, text: str) -> Tree:
    """`message` that also says `text`, after what it said."""
    said = message.get("content")
    if isinstance(said, list):
        return {**message, "content": [*said, {"type": "text", "text": text}]}
    return {**message, "content": f"{said}\n\n{text}" if said else text}
