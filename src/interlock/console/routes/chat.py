"""Chat: talk to agents, and see what they were allowed to do. Source: console.md, 5.2."""

from typing import Any

from starlette.responses import Response

from interlock.console.errors import NothingHereError
from interlock.console.page import Call, Page
from interlock.conversations.build import Talks
from interlock.conversations.ports import Ask
from interlock.conversations.posting import Draft
from interlock.identity.context import Context
from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = ["PAGES"]

_MESSAGES = 100
_CONVERSATIONS = 50
_FRAGMENTS = {"thread": "chat_thread.html", "talks": "chat_list.html"}
_SAMPLES = (
    ("Allowed", "Count the words of a text", 'CALL text_stats {"text": "One fish. Two fish."}'),
    ("A sum", "Work something out exactly", 'CALL math_evaluate {"expression": "0.1 + 0.2"}'),
    ("Streamed", "See an answer arrive", "TOKENS 120"),
)
"""Prompts that the scripted demo model understands; any model may be asked anything."""


async def empty(call: Call) -> Response:
    """The conversations, and a prompt for a new one."""
    return await _page(call, None)


async def begin(call: Call) -> Response:
    """A new conversation with its first message."""
    talks, ctx = await _talks(call)
    try:
        posted = await talks.posting.prompt(ctx, Draft(content=call.field("content")))
    except InterlockError as error:
        return await _page(call, None, problem=error)
    return call.redirect(f"/console/chat/{posted.conversation_id}")


async def alone(call: Call) -> Response:
    """One conversation."""
    return await _page(call, call.path("id"))


async def post(call: Call) -> Response:
    """A message; agents answer by the rules of the conversation."""
    talks, ctx = await _talks(call)
    conversation_id = call.path("id")
    try:
        await talks.posting.reply_in(
            ctx,
            conversation_id,
            Draft(content=call.field("content")),
            parent_id=call.field("parent_id") or None,
        )
    except InterlockError as error:
        return await _page(call, conversation_id, problem=error)
    if call.fragment == "thread":
        return await _page(call, conversation_id)
    return call.redirect(f"/console/chat/{conversation_id}#newest")


async def act(call: Call) -> Response:
    """Stops, repeats or takes away one message."""
    talks, ctx = await _talks(call)
    conversation_id, message_id = call.path("id"), call.path("message")
    try:
        match call.path("what"):
            case "stop":
                await talks.editing.cancel(ctx, message_id)
            case "regenerate":
                await talks.posting.regenerate(ctx, message_id, Ask())
            case "delete":
                await talks.editing.delete(ctx, message_id, None)
            case "restore":
                await talks.editing.restore(ctx, message_id)
            case _:
                raise NothingHereError(message_id)
    except InterlockError as error:
        if error.error_kind in {ErrorKind.NOT_FOUND, ErrorKind.FORBIDDEN}:
            raise NothingHereError(message_id) from None
        return await _page(call, conversation_id, problem=error)
    if call.fragment == "thread":
        return await _page(call, conversation_id)
    return call.redirect(f"/console/chat/{conversation_id}#m-{message_id}")


async def _page(
    call: Call, conversation_id: str | None, *, problem: InterlockError | None = None
) -> Response:
    talks, ctx = await _talks(call)
    rows, _ = await talks.conversations.listed(
        ctx, title=None, archived=False, below=None, limit=_CONVERSATIONS
    )
    values: dict[str, Any] = {"talk": None, "messages": [], "steps": {}, "may_post": True}
    if conversation_id is not None:
        values = await _conversation(call, talks, ctx, conversation_id)
    return call.render(
        "chat.html",
        status=200 if problem is None else 400,
        fragments=_FRAGMENTS,
        rows=rows,
        problem=problem,
        kept_text=call.field("content") if problem is not None else "",
        samples=_SAMPLES,
        **values,
    )


async def _conversation(
    call: Call, talks: Talks, ctx: Context, conversation_id: str
) -> dict[str, Any]:
    try:
        found = await talks.conversations.detail(
            ctx, conversation_id[:64], before=None, after=None, root_id=None, limit=_MESSAGES
        )
    except InterlockError as error:
        if error.error_kind in {ErrorKind.NOT_FOUND, ErrorKind.FORBIDDEN, ErrorKind.INVALID}:
            raise NothingHereError(conversation_id) from None
        raise
    views = await talks.reading.views(found.messages)
    replies = [str(one["id"]) for one in views if one["role"] == "assistant"]
    trails = await call.services.trails(replies)
    people = {str(one["user_id"]): one for one in found.view.get("participants", ())}
    role = str(found.view.get("my_role", "viewer"))
    return {
        "talk": found.view,
        "messages": views,
        "more_before": found.has_more,
        "steps": {
            message: [one for one in trail["nodes"] if one["kind"] == "tool"]
            for message, trail in trails.items()
        },
        "people": people,
        "may_post": role != "viewer" and ctx.global_role != "read_only",
        "may_manage": role in {"owner", "admin"},
        "me": ctx.user_id,
    }


async def _talks(call: Call) -> tuple[Talks, Context]:
    services = call.services
    if services.talks is None or services.context is None:
        raise NothingHereError("chat")
    return services.talks, await services.context(call.request)


PAGES = (
    Page(path="/console/chat", handler=empty),
    Page(path="/console/chat", handler=begin, methods=("POST",)),
    Page(path="/console/chat/{id}", handler=alone),
    Page(path="/console/chat/{id}", handler=post, methods=("POST",)),
    Page(path="/console/chat/{id}/messages/{message}/{what}", handler=act, methods=("POST",)),
)
