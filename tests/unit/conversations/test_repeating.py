"""Requests that create something and are sent again, other than posts."""

import asyncio

import pytest
from tests.support.talk_site import TalkSite, context, person

from interlock.conversations.ports import Ask
from interlock.conversations.posting import Draft
from interlock.conversations.service import NewConversation
from interlock.idempotency.service import IdempotencyKeyReusedError

pytestmark = pytest.mark.anyio

ANN = context("ann")
BOB = person("bob").id


async def test_a_conversation_asked_for_twice_at_once_is_made_once(site: TalkSite) -> None:
    new = NewConversation(title="plan")

    made = await asyncio.gather(
        *(site.talks.conversations.create_once(ANN, new, "k") for _ in range(3))
    )
    listed, _ = await site.talks.conversations.listed(
        ANN, title=None, archived=None, below=None, limit=9
    )

    assert [one["id"] for one in listed] == [made[0][0]["id"]]
    assert {one["id"] for one, _ in made} == {made[0][0]["id"]}
    assert sorted(again for _, again in made) == [False, True, True]
    with pytest.raises(IdempotencyKeyReusedError):
        await site.talks.conversations.create_once(ANN, NewConversation(title="other"), "k")


async def test_a_repeated_invitation_into_a_group_does_not_undo_a_removal(site: TalkSite) -> None:
    group = str((await site.talks.conversations.create(ANN, NewConversation(title="g")))["id"])
    put = site.talks.membership.put

    first = await put(ANN, group, BOB, "member", repeat_key="k")
    await site.talks.membership.remove(ANN, group, BOB)
    again = await put(ANN, group, BOB, "member", repeat_key="k")
    there = await site.talks.membership.participants(ANN, group)

    assert (first, again) == (False, True)
    assert [one["user_id"] for one in there] == [person("ann").id]


async def test_a_repeated_wish_for_another_reply_makes_one(site: TalkSite) -> None:
    posted = await site.talks.posting.prompt(ANN, Draft(content="hello"))
    reply = posted.assistant_message_ids[0]
    await site.answer(reply, "hi")

    first = await site.talks.posting.regenerate(ANN, reply, Ask(), repeat_key="k")
    again = await site.talks.posting.regenerate(ANN, reply, Ask(), repeat_key="k")

    assert again.assistant_message_ids == first.assistant_message_ids
    assert (first.replayed, again.replayed) == (False, True)
    assert len(site.replies.triggers) == 2
