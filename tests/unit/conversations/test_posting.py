"""Posting: what is stored, what is told in which order, who may."""

import asyncio

import pytest
from tests.support.talk_site import AGENTS, TalkSite, context, person

from interlock.conversations.errors import (
    ConversationConflictError,
    ForbiddenError,
    InvalidFieldError,
    MessageDeletedError,
    NotFoundError,
    PostingTooFastError,
)
from interlock.conversations.ports import Ask
from interlock.conversations.posting import Draft
from interlock.conversations.service import NewConversation
from interlock.idempotency.service import IdempotencyKeyReusedError

pytestmark = pytest.mark.anyio

ANN, BOB, CLEO = context("ann"), context("bob"), context("cleo")


async def _group(site: TalkSite, **changes: object) -> str:
    made = await site.talks.conversations.create(
        ANN,
        NewConversation(
            title="Plan",
            is_group=True,
            participants=((person("bob").id, "member"),),
            **changes,  # type: ignore[arg-type]
        ),
    )
    return str(made["id"])


async def test_a_root_is_told_in_the_published_order(site: TalkSite) -> None:
    group = await _group(site, assistant_mode="off")
    before = len(await site.told(group))

    posted = await site.talks.posting.root(ANN, group, Draft(content="hello"))

    assert (await site.told(group))[before:] == [
        ("thread.new", None),
        ("message.new", None),
        ("thread.activity", None),
        ("presence.update", None),
        ("typing.update", None),
        ("unread.update", person("bob").id),
        ("unread.update", person("ann").id),
    ]
    assert (posted.root_id, posted.depth, posted.parent_id) == (posted.message_id, 1, None)


async def test_a_reply_is_told_without_a_new_thread(site: TalkSite) -> None:
    group = await _group(site, assistant_mode="off")
    root = await site.talks.posting.root(ANN, group, Draft(content="hello"))
    before = len(await site.told(group))

    reply = await site.talks.posting.reply(BOB, root.message_id, Draft(content="hi"))

    types = [one for one, _ in (await site.told(group))[before:]]
    assert types == [
        "message.new",
        "thread.activity",
        "presence.update",
        "typing.update",
        "unread.update",
        "unread.update",
    ]
    assert (reply.root_id, reply.parent_id, reply.depth) == (root.root_id, root.message_id, 2)


async def test_unread_counts_are_per_person_and_by_number(site: TalkSite) -> None:
    group = await _group(site, assistant_mode="off")
    root = await site.talks.posting.root(ANN, group, Draft(content="one"))
    early = await site.talks.posting.reply(ANN, root.message_id, Draft(content="two"))
    await site.talks.posting.reply(ANN, root.message_id, Draft(content="three"))

    assert await site.talks.attendance.unread(BOB, group) == {root.root_id: 3}
    assert await site.talks.attendance.unread(ANN, group) == {root.root_id: 0}

    await site.talks.attendance.read(BOB, root.root_id, None)
    # A late reply in an early branch sorts before what was read, and counts all the same.
    await site.talks.posting.reply(ANN, early.message_id, Draft(content="four"))
    assert await site.talks.attendance.unread(BOB, group) == {root.root_id: 1}


async def test_a_read_mark_never_moves_back(site: TalkSite) -> None:
    group = await _group(site, assistant_mode="off")
    root = await site.talks.posting.root(ANN, group, Draft(content="one"))
    await site.talks.posting.reply(ANN, root.message_id, Draft(content="two"))
    tree, _ = await site.talks.reading.tree(BOB, root.root_id, after=None, limit=9, pending=False)

    await site.talks.attendance.read(BOB, root.root_id, None)
    await site.talks.attendance.read(BOB, root.root_id, str(tree[0]["path"]))

    assert await site.talks.attendance.unread(BOB, group) == {root.root_id: 0}


async def test_what_was_there_before_one_joined_is_not_unread(site: TalkSite) -> None:
    group = await _group(site, assistant_mode="off")
    root = await site.talks.posting.root(ANN, group, Draft(content="one"))
    await site.talks.membership.put(ANN, group, person("cleo").id, "viewer")
    await site.talks.posting.reply(ANN, root.message_id, Draft(content="two"))

    assert await site.talks.attendance.unread(CLEO, group) == {root.root_id: 1}


async def test_mentioned_agents_answer_as_siblings(site: TalkSite) -> None:
    group = await _group(site)

    posted = await site.talks.posting.root(ANN, group, Draft(content="@helper and @poet?"))

    assert len(posted.assistant_message_ids) == 2
    views = [await site.talks.reading.message(ANN, one) for one in posted.assistant_message_ids]
    assert [view["author_agent"]["handle"] for view in views] == ["helper", "poet"]
    assert {view["parent_id"] for view in views} == {posted.message_id}
    assert {view["status"] for view in views} == {"queued"}


async def test_queued_replies_are_in_no_tree_and_no_count(site: TalkSite) -> None:
    group = await _group(site)
    posted = await site.talks.posting.root(ANN, group, Draft(content="@helper"))

    tree, _ = await site.talks.reading.tree(ANN, posted.root_id, after=None, limit=9, pending=False)
    whole, _ = await site.talks.reading.tree(ANN, posted.root_id, after=None, limit=9, pending=True)
    threads, _ = await site.talks.reading.threads(ANN, group, below=None, limit=9)

    assert (len(tree), len(whole)) == (1, 2)
    assert threads[0].message_count == 1
    assert (await site.talks.attendance.unread(BOB, group))[posted.root_id] == 1


async def test_a_reply_grows_and_ends_in_the_published_order(site: TalkSite) -> None:
    group = await _group(site)
    posted = await site.talks.posting.root(ANN, group, Draft(content="@helper"))
    before = len(await site.told(group))

    await site.answer(posted.assistant_message_ids[0], "Hel", "lo")

    assert [one for one, _ in (await site.told(group))[before:]] == [
        "typing.update",
        "message.delta",
        "message.delta",
        "message.done",
        "thread.activity",
        "unread.update",
        "unread.update",
    ]
    view = await site.talks.reading.message(ANN, posted.assistant_message_ids[0])
    assert (view["content"], view["status"], view["finish_reason"]) == ("Hello", "complete", "stop")
    assert view["usage"]["estimated"] is True
    chunks = await site.talks.reading.chunks(BOB, posted.assistant_message_ids[0], start=0, limit=9)
    assert [(one.idx, one.content) for one in chunks] == [(0, "Hel"), (1, "lo")]


async def test_a_cancelled_reply_keeps_its_text_and_grows_no_more(site: TalkSite) -> None:
    group = await _group(site)
    posted = await site.talks.posting.root(ANN, group, Draft(content="@helper"))
    reply = posted.assistant_message_ids[0]
    await site.talks.writer.write(reply, ["partly"])

    assert await site.talks.editing.cancel(ANN, reply) == "cancelled"
    await site.talks.writer.write(reply, [" more"])
    assert await site.talks.editing.cancel(ANN, reply) == "cancelled"

    view = await site.talks.reading.message(ANN, reply)
    assert (view["content"], view["finish_reason"]) == ("partly", "cancelled")
    types = [one for one, _ in await site.told(group)]
    assert types.count("message.done") == 1
    assert types.count("message.delta") == 1


async def test_only_who_asked_or_a_manager_cancels(site: TalkSite) -> None:
    group = await _group(site)
    await site.talks.membership.put(ANN, group, person("cleo").id, "member")
    posted = await site.talks.posting.root(BOB, group, Draft(content="@helper"))
    reply = posted.assistant_message_ids[0]

    with pytest.raises(ForbiddenError):
        await site.talks.editing.cancel(CLEO, reply)
    with pytest.raises(InvalidFieldError):
        await site.talks.editing.cancel(BOB, posted.message_id)
    assert await site.talks.editing.cancel(BOB, reply) == "cancelled"


async def test_a_prompt_makes_a_private_conversation_and_is_always_answered(
    site: TalkSite,
) -> None:
    posted = await site.talks.posting.prompt(ANN, Draft(content="Summarise\nthe state"))

    detail = await site.talks.conversations.detail(
        ANN, posted.conversation_id, before=None, after=None, root_id=None, limit=9
    )
    assert detail.view["title"] == "Summarise the state"
    assert detail.view["my_role"] == "owner"
    assert len(posted.assistant_message_ids) == 1
    with pytest.raises(ForbiddenError):
        await site.talks.posting.prompt(
            BOB, Draft(content="x"), conversation_id=posted.conversation_id
        )


async def test_a_reply_without_a_parent_goes_below_the_newest_message(site: TalkSite) -> None:
    group = await _group(site, assistant_mode="off")
    first = await site.talks.posting.reply_in(ANN, group, Draft(content="a"))
    second = await site.talks.posting.reply_in(BOB, group, Draft(content="b"))
    other = await site.talks.posting.root(ANN, group, Draft(content="other"))
    third = await site.talks.posting.reply_in(ANN, group, Draft(content="c"), root_id=first.root_id)

    assert first.parent_id is None
    assert second.parent_id == first.message_id
    assert third.parent_id == second.message_id
    with pytest.raises(InvalidFieldError):
        await site.talks.posting.reply_in(
            ANN, group, Draft(content="d"), parent_id=other.message_id, root_id=first.root_id
        )


async def test_a_repeated_post_creates_nothing_and_answers_the_same(site: TalkSite) -> None:
    group = await _group(site, assistant_mode="off")
    draft = Draft(content="once", repeat_key="k1")

    first = await site.talks.posting.root(ANN, group, draft)
    again = await site.talks.posting.root(ANN, group, draft)
    other = await site.talks.posting.root(BOB, group, draft)

    assert (again.message_id, again.replayed) == (first.message_id, True)
    assert other.message_id != first.message_id
    with pytest.raises(IdempotencyKeyReusedError):
        await site.talks.posting.root(ANN, group, Draft(content="twice", repeat_key="k1"))
    site.clock.move(86_401)
    later = await site.talks.posting.root(ANN, group, draft)
    assert later.message_id != first.message_id


async def test_the_same_post_at_the_same_time_is_posted_once(site: TalkSite) -> None:
    group = await _group(site, assistant_mode="off")
    draft = Draft(content="once", repeat_key="k1")

    posted = await asyncio.gather(*(site.talks.posting.root(ANN, group, draft) for _ in range(4)))

    assert len({one.message_id for one in posted}) == 1
    assert sum(not one.replayed for one in posted) == 1


async def test_posts_at_the_same_time_get_numbers_of_their_own(site: TalkSite) -> None:
    group = await _group(site, assistant_mode="off")
    await asyncio.gather(
        *(site.talks.posting.root(one, group, Draft(content="x")) for one in (ANN, BOB) * 4)
    )

    detail = await site.talks.conversations.detail(
        ANN, group, before=None, after=None, root_id=None, limit=99
    )
    assert [one.seq for one in detail.messages] == list(range(1, 9))
    assert len({one.created_at for one in detail.messages}) == 8


async def test_the_eleventh_post_at_once_waits(site: TalkSite) -> None:
    group = await _group(site, assistant_mode="off")
    for _ in range(10):
        await site.talks.posting.root(ANN, group, Draft(content="x"))

    with pytest.raises(PostingTooFastError) as told:
        await site.talks.posting.root(ANN, group, Draft(content="x"))
    assert told.value.retry_after_s == pytest.approx(0.2)
    await site.talks.posting.root(BOB, group, Draft(content="x"))
    site.clock.move(0.2)
    await site.talks.posting.root(ANN, group, Draft(content="x"))


async def test_who_may_not_post_is_refused(site: TalkSite) -> None:
    group = await _group(site, assistant_mode="off")
    await site.talks.membership.put(ANN, group, person("cleo").id, "viewer")
    root = await site.talks.posting.root(ANN, group, Draft(content="x"))

    for ctx in (CLEO, context("dan"), context("bob", global_role="read_only")):
        with pytest.raises(ForbiddenError):
            await site.talks.posting.root(ctx, group, Draft(content="x"))
        with pytest.raises(ForbiddenError):
            await site.talks.posting.reply(ctx, root.message_id, Draft(content="x"))
    with pytest.raises(NotFoundError):
        await site.talks.posting.root(ANN, person("ann").id, Draft(content="x"))
    with pytest.raises(ForbiddenError):
        await site.talks.posting.root(BOB, group, Draft(content="x", role="system"))
    with pytest.raises(ForbiddenError):
        await site.talks.posting.root(ANN, group, Draft(content="x", role="assistant"))
    system = await site.talks.posting.root(ANN, group, Draft(content="rules", role="system"))
    assert (await site.talks.reading.message(BOB, system.message_id))["author_user_id"] is None


async def test_what_cannot_be_posted_is_refused(site: TalkSite) -> None:
    group = await _group(site, assistant_mode="off")
    root = await site.talks.posting.root(ANN, group, Draft(content="x"))

    for bad in ("", "  \n", "a\x00b", "x" * 100_001):
        with pytest.raises(InvalidFieldError):
            await site.talks.posting.root(ANN, group, Draft(content=bad))
    await site.talks.editing.delete(ANN, root.message_id, None)
    with pytest.raises(MessageDeletedError):
        await site.talks.posting.reply(ANN, root.message_id, Draft(content="x"))
    await site.talks.conversations.change(ANN, group, {"archived": True})
    with pytest.raises(ConversationConflictError):
        await site.talks.posting.root(ANN, group, Draft(content="x"))


async def test_a_named_agent_answers_and_an_unknown_one_is_refused(site: TalkSite) -> None:
    group = await _group(site)

    posted = await site.talks.posting.root(ANN, group, Draft(content="x", ask=Ask(agent="poet")))

    assert site.replies.triggers[-1].agents[0].handle == "poet"
    assert len(posted.assistant_message_ids) == 1
    with pytest.raises(InvalidFieldError):
        await site.talks.posting.root(ANN, group, Draft(content="x", ask=Ask(agent="nobody")))


async def test_regenerating_asks_the_same_agent_again(site: TalkSite) -> None:
    group = await _group(site)
    posted = await site.talks.posting.root(ANN, group, Draft(content="@poet"))
    await site.answer(posted.assistant_message_ids[0], "roses")

    again = await site.talks.posting.regenerate(BOB, posted.assistant_message_ids[0], Ask())

    assert again.parent_id == posted.message_id
    assert site.replies.triggers[-1].agents == (AGENTS[2],)
    assert site.replies.triggers[-1].ctx == BOB
