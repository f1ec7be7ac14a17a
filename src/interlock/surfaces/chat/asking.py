"""One question of the OpenAI-style endpoints: asked, answered whole or in pieces, kept or not.

Source: conversations.md section 16.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import anyio
import msgspec
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from interlock.conversations.build import Talks
from interlock.conversations.errors import InvalidFieldError
from interlock.conversations.ports import Ask
from interlock.conversations.posting import Draft, Posted
from interlock.conversations.replying import Ending
from interlock.gateway.door import Answer, Question
from interlock.identity.context import Context
from interlock.identity.model import KeyInfo
from interlock.kernel.errors import InterlockError
from interlock.kernel.ids import new_id
from interlock.surfaces.chat.envelope import json_answer, status_of
from interlock.surfaces.chat.openai_errors import error_body
from interlock.surfaces.chat.schemas.openai import KNOWN, CompletionIn

__all__ = ["Asked", "Asking", "Keeper", "Models", "ask"]


class Asking(Protocol):
    """Asks models: `gateway.door.Door`."""

    async def ask(
        self, key: KeyInfo, question: Question, *, told: Callable[[str], None] | None = None
    ) -> Answer:
        """Asks; `told` gets the text piece by piece."""
        ...


class Models:
    """The models as they are told."""

    def __init__(self, names: Callable[[], Sequence[str]], *, created: int, owner: str) -> None:
        self._names = names
        self._created = created
        self._owner = owner

    def all(self) -> list[dict[str, Any]]:
        """All of them, each once."""
        return [self._told(name) for name in dict.fromkeys(self._names())]

    def find(self, name: str) -> dict[str, Any] | None:
        """One by its id."""
        return self._told(name) if name in self._names() else None

    def _told(self, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "object": "model",
            "created": self._created,
            "owned_by": self._owner,
            "name": name,
            "model_type": "chat",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question, ready for the gateway."""

    key: KeyInfo
    question: Question
    warnings: tuple[str, ...]
    created: int
    """Seconds since the epoch."""

    @classmethod
    def of(
        cls, ctx: Context, key: KeyInfo, body: CompletionIn, *, place: str | None, created: int
    ) -> Self:
        """What a body asks; `key` says with whose rights, `place` which labels hold."""
        given = body.model_dump(exclude_none=True, include={*KNOWN, "tools"})
        messages = [one.model_dump(exclude_unset=True) for one in body.messages]
        ignored = sorted(body.model_extra or {})
        try:
            msgspec.json.encode([messages, given])
        except UnicodeEncodeError:
            raise InvalidFieldError("messages", "must be valid Unicode") from None
        return cls(
            key=key,
            question=Question(
                place=place or _beginning(ctx, messages),
                model=body.model,
                messages=messages,
                tools=given.pop("tools", ()),
                options=given,
                trace_id=ctx.trace_id or None,
            ),
            warnings=tuple(f"`{_shown(name)}` is ignored" for name in ignored[:20]),
            created=created,
        )


def _shown(name: str) -> str:
    return name[:64].encode("utf-8", "replace").decode()


def _beginning(ctx: Context, messages: Sequence[dict[str, Any]]) -> str:
    """The place of what this caller began the same way.

    A caller that sends a longer and longer history keeps the labels of its beginning.
    """
    first = next((at for at, one in enumerate(messages) if one["role"] == "user"), 0)
    digest = hashlib.blake2b(msgspec.json.encode(list(messages[: first + 1])), digest_size=16)
    return f"openai:{ctx.user_id or ctx.credential_id}:{digest.hexdigest()}"


class Keeper:
    """Keeps question and answer in a conversation, when that was asked for."""

    def __init__(self, talks: Talks, posted: Posted | None) -> None:
        self._talks = talks
        self._message_id: str | None = None
        self.place: str | None = None
        """Of the thread, for the gateway; None: nothing is kept."""
        if posted is not None:
            self._message_id = next(iter(posted.assistant_message_ids), None)
            self.place = f"conversation:{posted.conversation_id}:{posted.root_id}"

    @classmethod
    async def begin(cls, talks: Talks, ctx: Context, body: CompletionIn) -> Self:
        """Stores the last message of the body below its parent.

        Raises:
            InvalidFieldError: the parent is elsewhere, or the last message is no text of a user.
            ForbiddenError, NotFoundError: as for any reply.
        """
        kept = body.metadata.rustygpt if body.metadata is not None else None
        if kept is None:
            return cls(talks, None)
        last = body.messages[-1]
        if last.role != "user" or not isinstance(last.content, str):
            raise InvalidFieldError("messages", "must end with a text of the user to be kept")
        posted = await talks.brought.prompt(
            ctx,
            Draft(content=last.content, ask=Ask(model=body.model)),
            conversation_id=kept.conversation_id.lower(),
            parent_id=kept.parent_message_id.lower(),
        )
        return cls(talks, posted)

    async def write(self, piece: str) -> None:
        """Adds a piece of the answer."""
        if self._message_id is not None and piece:
            await self._talks.writer.write(self._message_id, [piece])

    async def end(self, answer: Answer) -> None:
        """The answer is complete."""
        if self._message_id is not None:
            reason = answer.finish_reason
            ending = Ending(status="complete", finish_reason=reason, usage=answer.usage)
            await self._talks.writer.end(self._message_id, ending)

    async def fail(self, exc: InterlockError) -> None:
        """There is no answer, or no more of it."""
        if self._message_id is not None:
            ending = Ending(
                status="error", finish_reason="error", error=(exc.error_code, exc.message)
            )
            await self._talks.writer.end(self._message_id, ending)

    async def leave(self) -> None:
        """Whoever asked went away in the middle."""
        if self._message_id is not None:
            ending = Ending(status="cancelled", finish_reason="cancelled")
            await self._talks.writer.end(self._message_id, ending)


async def ask(door: Asking, asked: Asked, keeper: Keeper, *, stream: bool) -> Response:
    """Asks and answers. What fails before the first piece is an error of its own status."""
    pieces = _pieces(door, asked, keeper)
    try:
        if not stream:
            return await _whole(asked, pieces)
        first = await anext(pieces)
    except BaseException:
        await pieces.aclose()
        raise
    return _Stream(asked, first, pieces)


class _Stream(StreamingResponse):
    """The pieces as events; whoever goes away stops the call."""

    def __init__(
        self, asked: Asked, first: str | Answer, pieces: AsyncGenerator[str | Answer, None]
    ) -> None:
        super().__init__(
            _events(asked, first, pieces),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"},
        )
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves the stream."""
        del scope
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_cancel_at_disconnect, receive, group.cancel_scope)
                await self.stream_response(send)
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._pieces.aclose()


async def _cancel_at_disconnect(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _pieces(door: Asking, asked: Asked, keeper: Keeper) -> AsyncGenerator[str | Answer, None]:
    """Pieces of text as they come, then the answer; keeps both. Closing it stops the call."""
    queue: asyncio.Queue[str | Answer | None] = asyncio.Queue()
    asking = asyncio.create_task(door.ask(asked.key, asked.question, told=queue.put_nowait))
    asking.add_done_callback(lambda _: queue.put_nowait(None))
    ended = False
    try:
        while (piece := await queue.get()) is not None:
            if isinstance(piece, str):
                await keeper.write(piece)
                yield piece
        answer = await asking
        await keeper.end(answer)
        ended = True
        yield answer
    except InterlockError as exc:
        await keeper.fail(exc)
        ended = True
        raise
    finally:
        # Shielded: what was begun in a conversation is ended, however this call ends.
        with anyio.CancelScope(shield=True):
            if not asking.done():
                asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            if not ended:
                await keeper.leave()


async def _whole(asked: Asked, pieces: AsyncIterator[str | Answer]) -> Response:
    answer: Answer | None = None
    async for piece in pieces:
        if not isinstance(piece, str):
            answer = piece
    assert answer is not None  # noqa: S101 - it is the last piece, or an error was raised
    message: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if answer.calls:
        message["tool_calls"] = _calls(answer)
    choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason}
    body: dict[str, Any] = {
        "id": new_id("chatcmpl"),
        "object": "chat.completion",
        "created": asked.created,
        "model": answer.model,
        "choices": [choice],
        "usage": answer.usage,
    }
    if asked.warnings:
        body["warnings"] = list(asked.warnings)
    return json_answer(body)


async def _events(
    asked: Asked, first: str | Answer, pieces: AsyncIterator[str | Answer]
) -> AsyncIterator[bytes]:
    name = new_id("chatcmpl")

    def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:  # noqa: ANN401 - members
        body = {
            "id": name,
            "object": "chat.completion.chunk",
            "created": asked.created,
            "model": asked.question.model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
            **more,
        }
        return b"data: " + msgspec.json.encode(body) + b"\n\n"

    opening: dict[str, Any] = {"warnings": list(asked.warnings)} if asked.warnings else {}
    yield chunk({"role": "assistant", "content": ""}, **opening)
    try:
        async for piece in _with(first, pieces):
            if isinstance(piece, str):
                yield chunk({"content": piece})
                continue
            if piece.calls:
                calls = [{"index": at, **one} for at, one in enumerate(_calls(piece))]
                yield chunk({"tool_calls": calls})
            yield chunk({}, piece.finish_reason, usage=piece.usage)
    except InterlockError as exc:
        status, code = status_of(exc)
        yield b"data: " + msgspec.json.encode(error_body(status, code, exc.message)) + b"\n\n"
    yield b"data: [DONE]\n\n"


async def _with(
    first: str | Answer, rest: AsyncIterator[str | Answer]
) -> AsyncIterator[str | Answer]:
    yield first
    async for piece in rest:
        yield piece


def _calls(answer: Answer) -> list[dict[str, Any]]:
    return [
        {
            "id": one.id,
            "type": "function",
            "function": {"name": one.name, "arguments": one.arguments},
        }
        for one in answer.calls
    ]
