"""The text of a reply that grows: chunks at once, the row now and then, never lost."""

import pytest
from sqlalchemy import select
from tests.support.talk_site import TalkSite, context

from interlock.conversations.posting import Draft
from interlock.conversations.replies.repository import ReplyRepository
from interlock.conversations.replying import Ending
from interlock.conversations.tables import messages

pytestmark = pytest.mark.anyio

ANN = context("ann")


async def _queued(site: TalkSite) -> str:
    posted = await site.talks.posting.prompt(ANN, Draft(content="hello"))
    return posted.assistant_message_ids[0]


async def _row(site: TalkSite, reply: str) -> str:
    async with site.database.read() as connection:
        query = select(messages.c.content).where(messages.c.id == reply)
        return str((await connection.execute(query)).scalar_one())


async def test_the_row_of_a_growing_reply_is_written_twice_a_second_and_at_the_end(
    site: TalkSite,
) -> None:
    reply = await _queued(site)
    rows = []
    for piece, wait_s in (("a", 0.0), ("b", 0.1), ("c", 0.3), ("d", 0.1), ("e", 0.1)):
        site.clock.move(wait_s)
        await site.talks.writer.write(reply, [piece])
        rows.append(await _row(site, reply))
    chunks = await site.talks.reading.chunks(ANN, reply, start=0, limit=9)

    await site.talks.writer.end(reply, Ending(status="complete", finish_reason="stop"))

    assert rows == ["a", "a", "a", "abcd", "abcd"]
    assert [(one.idx, one.content) for one in chunks] == list(enumerate("abcde"))
    assert await _row(site, reply) == "abcde"


async def test_a_text_that_pauses_is_all_in_its_row(site: TalkSite) -> None:
    reply = await _queued(site)
    await site.talks.writer.write(reply, ["a"])
    await site.talks.writer.write(reply, ["b"])

    await site.talks.writer.settle(reply)
    await site.talks.writer.settle(reply)

    assert await _row(site, reply) == "ab"


async def test_another_process_goes_on_with_every_chunk_the_first_one_wrote(
    site: TalkSite,
) -> None:
    reply = await _queued(site)
    for piece in ("a", "b", "c"):
        await site.talks.writer.write(reply, [piece])
    second = TalkSite(site.database)
    second.clock.move(1)

    following = await second.talks.writer.write(reply, ["d"])

    assert following == 4
    assert await _row(site, reply) == "abcd"
    await site.talks.writer.write(reply, ["e"])
    await second.talks.writer.end(reply, Ending(status="cancelled", finish_reason="cancelled"))
    assert await _row(site, reply) == "abcde"


async def test_whoever_lost_a_reply_to_another_process_writes_and_ends_nothing(
    site: TalkSite,
) -> None:
    reply = await _queued(site)
    for process in ("first", "second"):
        async with site.database.transaction() as connection:
            await ReplyRepository(connection).take(reply, process)
    done = Ending(status="complete", finish_reason="stop")

    lost = await site.talks.writer.write(reply, ["lost"], by="first")
    kept = await site.talks.writer.write(reply, ["kept"], by="second")

    assert (lost, kept) == (0, 1)
    assert not await site.talks.writer.end(reply, done, by="first")
    assert await site.talks.writer.end(reply, done, by="second")
    assert await _row(site, reply) == "kept"
