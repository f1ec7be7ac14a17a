"""Resuming a stream, wherever it was cut. Source: conversations.md, 11.4."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.chat_client import ChatClient
from tests.support.requirements import requirement
from tests.support.talk_site import TalkSite, context, person

from interlock.conversations.posting import Draft
from interlock.conversations.replying import Ending
from interlock.conversations.service import NewConversation
from interlock.conversations.streaming.cursor import read_cursor
from interlock.conversations.streaming.frames import Frame
from interlock.conversations.streaming.reader import Streams
from interlock.storage.engine import Database

pytestmark = pytest.mark.anyio
ANN, BOB = context("ann"), context("bob")


async def _opening(site: TalkSite, ctx: Any, conversation: str, **cursor: Any) -> list[Frame]:
    """What a stream sends before anything new happens."""
    streams: Streams = site.talks.streams
    extended = cursor.pop("extended", True)
    place = read_cursor(cursor.get("header"), cursor.get("query"), cursor.get("since"))
    reader = await streams.one(ctx, conversation, place, extended=extended)
    try:
        return [
            frame
            async for frame in reader.opening()
            if frame.payload.get("title") != "opening ends here"
        ]
    finally:
        reader.close()


def _flat(frames: list[Frame]) -> list[Any]:
    """Frames with every delta cut into letters, so that merged and unmerged ones are equal."""
    flat: list[Any] = []
    for frame in frames:
        if frame.type == "message.delta":
            payload = frame.payload
            text = payload["choices"][0]["delta"]["content"]
            flat += [(payload["message_id"], letter) for letter in text]
        else:
            flat.append((frame.type, frame.id, dict(frame.payload)))
    return flat


async def _busy(site: TalkSite) -> str:
    """A conversation in which two agents wrote at the same time, among other things."""
    made = await site.talks.conversations.create(
        ANN,
        NewConversation(title="Busy", is_group=True, participants=((person("bob").id, "member"),)),
    )
    conversation = str(made["id"])
    posted = await site.talks.posting.root(ANN, conversation, Draft(content="@helper @poet"))
    helper, poet = posted.assistant_message_ids
    await site.talks.writer.write(helper, ["a", "b"])
    await site.talks.writer.write(poet, ["1"])
    await site.talks.posting.reply(BOB, posted.message_id, Draft(content="@ann wait"))
    site.clock.move(1)
    await site.talks.writer.write(helper, ["c"])
    await site.talks.writer.write(poet, ["2", "3"])
    await site.talks.writer.end(helper, Ending(status="complete", finish_reason="stop"))
    await site.talks.membership.put(ANN, conversation, person("cleo").id, "viewer")
    await site.talks.writer.write(poet, ["4"])
    await site.talks.writer.end(
        poet, Ending(status="error", finish_reason="error", error=("provider_error", "gone"))
    )
    return conversation


async def _cut_off(site: TalkSite, conversation: str) -> None:
    """Something that ends an opening for the reader above."""
    await site.talks.conversations.change(ANN, conversation, {"title": "opening ends here"})


@requirement("chat.resume.every-cut")
async def test_resuming_after_any_event_gives_exactly_the_rest(database: Database) -> None:
    site = TalkSite(database)
    conversation = await _busy(site)
    await _cut_off(site, conversation)
    whole = await site.log.read([f"conversation:{conversation}"], limit=1000, reader=BOB.user_id)
    whole = [one for one in whole if one.type != "conversation.created"][:-1]
    events = [Frame(type=one.type, payload=one.payload, id=one.id) for one in whole]

    for cut, event in enumerate(whole):
        rest = _flat(events[cut + 1 :])
        assert _flat(await _opening(site, BOB, conversation, header=event.id)) == rest
        assert _flat(await _opening(site, BOB, conversation, query=event.id)) == rest
        assert _flat(await _opening(site, BOB, conversation, since=str(event.at_ms))) == rest
        unknown = f"{event.id.rpartition(':')[0]}:{event.at_ms}".replace(event.id[:8], "0" * 8)
        assert _flat(await _opening(site, BOB, conversation, header=unknown)) == rest
    merged = await _opening(site, BOB, conversation, header=whole[0].id)
    assert len(merged) < len(events) - 1


@requirement("chat.resume.every-cut")
async def test_a_resumed_resume_gives_the_rest_too(database: Database) -> None:
    site = TalkSite(database)
    conversation = await _busy(site)
    await _cut_off(site, conversation)
    first = await _opening(site, BOB, conversation, since="0")

    for cut, frame in enumerate(first):
        again = await _opening(site, BOB, conversation, header=frame.id)
        assert _flat(first[: cut + 1]) + _flat(again) == _flat(first)


@requirement("chat.resume.fresh")
async def test_without_a_cursor_a_growing_reply_comes_whole(database: Database) -> None:
    site = TalkSite(database)
    made = await site.talks.conversations.create(ANN, NewConversation(title="x"))
    conversation = str(made["id"])
    posted = await site.talks.posting.root(ANN, conversation, Draft(content="go"))
    reply = posted.assistant_message_ids[0]
    await site.talks.writer.write(reply, ["a", "b"])
    site.clock.move(60)
    await site.talks.writer.write(reply, ["c"])

    frames = await _opening(site, ANN, conversation, extended=False)
    deltas = [one for one in frames if one.type == "message.delta"]

    assert [one.payload["choices"][0]["delta"] for one in deltas] == [
        {"role": "assistant", "content": "abc"}
    ]
    assert deltas[0].payload["id"] == f"{reply}:2"
    await site.talks.writer.write(reply, ["d"])
    await site.talks.writer.end(reply, Ending(status="complete", finish_reason="stop"))
    more = await _opening(site, ANN, conversation, header=deltas[0].id, extended=False)
    assert [one for one in _flat(more) if one[0] == reply] == [(reply, "d")]
    assert [one.type for one in more if one.type == "message.done"] == ["message.done"]


@requirement("chat.resume.fresh")
async def test_without_a_cursor_a_reply_that_just_ended_comes_whole(database: Database) -> None:
    site = TalkSite(database)
    made = await site.talks.conversations.create(ANN, NewConversation(title="x"))
    conversation = str(made["id"])
    posted = await site.talks.posting.root(ANN, conversation, Draft(content="go"))
    reply = posted.assistant_message_ids[0]
    await site.talks.writer.write(reply, ["a"])
    site.clock.move(60)
    await site.talks.writer.write(reply, ["b"])
    await site.talks.writer.end(reply, Ending(status="complete", finish_reason="stop"))

    frames = await _opening(site, ANN, conversation, extended=False)

    assert [one for one in _flat(frames) if one[0] == reply] == [(reply, "a"), (reply, "b")]
    types = [one.type for one in frames]
    assert types.index("message.delta") < types.index("message.done")


@requirement("chat.resume.gap")
async def test_too_much_to_replay_is_told_as_the_present_state(database: Database) -> None:
    site = TalkSite(database, max_backfill_events=3)
    conversation = await _busy(site)
    posted = await site.talks.posting.root(ANN, conversation, Draft(content="@helper"))
    reply = posted.assistant_message_ids[0]
    await site.talks.writer.write(reply, ["x", "y"])

    frames = await _opening(site, BOB, conversation, since="0")

    assert frames[0].type == "stream.reset"
    assert frames[0].payload == {"reason": "limit"}
    types = [one.type for one in frames]
    assert types.count("thread.activity") == 2
    assert types.count("unread.update") == 2
    assert types.count("presence.update") == 2
    assert _flat(frames)[-2:] == [(reply, "x"), (reply, "y")]
    assert "stream.reset" not in [
        one.type for one in await _opening(site, BOB, conversation, since="0", extended=False)
    ]


@requirement("chat.resume.rebuilt")
async def test_a_cursor_inside_a_reply_whose_log_is_gone_gets_the_rest_of_it(
    database: Database,
) -> None:
    site = TalkSite(database)
    made = await site.talks.conversations.create(ANN, NewConversation(title="x"))
    conversation = str(made["id"])
    posted = await site.talks.posting.root(ANN, conversation, Draft(content="go"))
    reply = posted.assistant_message_ids[0]
    await site.talks.writer.write(reply, ["a", "b", "c"])
    stream = f"conversation:{conversation}"
    events = await site.log.read([stream], limit=100)
    cut = next(one for one in events if one.type == "message.delta")
    await site.talks.writer.end(reply, Ending(status="complete", finish_reason="stop"))
    async with database.transaction() as connection:
        await site.log.forget(connection, stream)
    site.clock.move(3600)
    await site.talks.posting.root(ANN, conversation, Draft(content="later"))

    frames = await _opening(site, ANN, conversation, header=cut.id)

    assert [one for one in _flat(frames) if one[0] == reply] == [(reply, "b"), (reply, "c")]
    assert [one.type for one in frames if one.type == "message.done"] == ["message.done"]


@requirement("chat.resume.bad-cursor")
async def test_a_bad_cursor_is_ignored(client: Callable[[str], ChatClient], site: TalkSite) -> None:
    ann = client("ann")
    made = await site.talks.conversations.create(ANN, NewConversation(title="x"))
    stream = ann.stream(
        f"/api/stream/conversations/{made['id']}?since=soon", {"last-event-id": "x:y"}
    )

    assert (await stream.start())[0] == 200


@requirement("chat.resume.every-cut")
@pytest.mark.parametrize("seed", range(4))
async def test_resuming_is_exact_whatever_happened_in_whatever_order(
    database: Database, seed: int
) -> None:
    site = TalkSite(database)
    chance = random.Random(seed)
    made = await site.talks.conversations.create(
        ANN, NewConversation(title="x", is_group=True, participants=((BOB.user_id or "", "admin"),))
    )
    conversation = str(made["id"])
    growing: list[str] = []
    texts: dict[str, str] = {}
    for _ in range(40):
        what = chance.random()
        if what < 0.2 or not growing:
            site.clock.move(3)
            author = chance.choice((ANN, BOB))
            posted = await site.talks.posting.root(
                author, conversation, Draft(content=chance.choice(("@helper", "@poet @helper")))
            )
            growing += posted.assistant_message_ids
        elif what < 0.8:
            reply = chance.choice(growing)
            pieces = [chance.choice("abcdef") * chance.randint(1, 3) for _ in range(2)]
            texts[reply] = texts.get(reply, "") + "".join(pieces)
            await site.talks.writer.write(reply, pieces)
        else:
            reply = growing.pop(chance.randrange(len(growing)))
            await site.talks.writer.end(reply, Ending(status="complete", finish_reason="stop"))
    logged = await site.log.read([f"conversation:{conversation}"], limit=1000, reader=BOB.user_id)
    logged = [one for one in logged if one.type != "conversation.created"]
    events = [Frame(type=one.type, payload=one.payload, id=one.id) for one in logged]

    for cut in chance.sample(range(len(events)), 25):
        rest = await _opening(site, BOB, conversation, header=events[cut].id)
        assert _flat(events[: cut + 1]) + _flat(rest) == _flat(events)
        for text_cut, frame in enumerate(rest[:3]):
            again = await _opening(site, BOB, conversation, header=frame.id)
            assert _flat(rest[: text_cut + 1]) + _flat(again) == _flat(rest)
    whole = _flat(events)
    for reply, text in texts.items():
        assert "".join(one[1] for one in whole if one[0] == reply) == text


@requirement("chat.resume.every-cut")
async def test_a_new_conversation_does_not_overtake_what_happened_before_in_others(
    database: Database,
) -> None:
    site = TalkSite(database)
    old = await site.talks.conversations.create(ANN, NewConversation(title="old"))
    asked = await site.talks.posting.root(ANN, str(old["id"]), Draft(content="go"))
    reply = asked.assistant_message_ids[0]
    reader = await site.talks.streams.every(ANN, None, extended=True)
    told = [frame.id async for frame in reader.opening()]
    try:
        await site.talks.writer.write(reply, ["a"])
        site.clock.move(1)
        new = await site.talks.conversations.create(ANN, NewConversation(title="new"))
        await site.talks.writer.write(reply, ["b"])
        await site.talks.posting.root(ANN, str(new["id"]), Draft(content="go"))
        await site.talks.writer.write(reply, ["c"])
        await site.talks.writer.end(reply, Ending(status="complete", finish_reason="stop"))
        streams = [f"conversation:{one['id']}" for one in (old, new)]
        logged = await site.log.read(streams, limit=1000, reader=ANN.user_id)
        wanted = [
            one.id for one in logged if one.id not in told and one.type != "conversation.created"
        ]
        heard: list[str | None] = []
        async with asyncio.timeout(5):
            while len(heard) < len(wanted):
                heard += [one.id for one in await reader.batch()]
    finally:
        reader.close()

    assert heard == wanted


@requirement("chat.resume.every-cut")
async def test_a_conversation_that_begins_while_a_stream_is_opened_is_in_it(
    database: Database,
) -> None:
    site = TalkSite(database)
    await site.talks.conversations.create(ANN, NewConversation(title="old"))
    reader = await site.talks.streams.every(ANN, None, extended=True)
    new = await site.talks.conversations.create(ANN, NewConversation(title="new"))
    posted = await site.talks.posting.root(ANN, str(new["id"]), Draft(content="go"))
    try:
        frames = [frame async for frame in reader.opening()]
        await site.talks.writer.write(posted.assistant_message_ids[0], ["a"])
        async with asyncio.timeout(5):
            more = await reader.batch()
    finally:
        reader.close()

    assert "thread.new" in [one.type for one in frames]
    assert "message.delta" in [one.type for one in more]
