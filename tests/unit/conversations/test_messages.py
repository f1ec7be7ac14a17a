"""Changing, finding and taking along messages; presence over time."""

import pytest
from tests.support.talk_site import TalkSite, context, person

from interlock.conversations.errors import (
    ConversationConflictError,
    ForbiddenError,
    InvalidFieldError,
    MessageDeletedError,
)
from interlock.conversations.posting import Draft
from interlock.conversations.reading import as_document, as_markdown
from interlock.conversations.service import NewConversation

pytestmark = pytest.mark.anyio
ANN, BOB, CLEO = (context(name) for name in ("ann", "bob", "cleo"))


async def _group(site: TalkSite, title: str = "G") -> str:
    made = await site.talks.conversations.create(
        ANN,
        NewConversation(title=title, is_group=True, participants=((person("bob").id, "member"),)),
    )
    return str(made["id"])


async def test_an_edit_is_told_and_only_the_author_or_a_manager_makes_one(site: TalkSite) -> None:
    group = await _group(site)
    mine = await site.talks.posting.root(ANN, group, Draft(content="@bob teh"))
    with pytest.raises(ForbiddenError):
        await site.talks.editing.edit(BOB, mine.message_id, "x", None)

    await site.talks.editing.edit(ANN, mine.message_id, "the", "typo")

    view = await site.talks.reading.message(BOB, mine.message_id)
    assert (view["content"], view["edited_by"]) == ("the", person("ann").id)
    assert [one for one, _ in (await site.told(group))[-2:]] == [
        "message.edited",
        "thread.activity",
    ]


async def test_a_deleted_message_keeps_its_place_and_comes_back(site: TalkSite) -> None:
    group = await _group(site)
    root = await site.talks.posting.root(ANN, group, Draft(content="@bob secret"))
    reply = await site.talks.posting.reply(BOB, root.message_id, Draft(content="@ann answer"))

    for _ in range(2):
        await site.talks.editing.delete(BOB, reply.message_id, "oops")
    tree, _ = await site.talks.reading.tree(ANN, root.root_id, after=None, limit=9, pending=False)
    assert [one["content"] for one in tree] == ["@bob secret", ""]
    assert await site.talks.attendance.unread(ANN, group) == {root.root_id: 0}
    with pytest.raises(MessageDeletedError):
        await site.talks.editing.edit(BOB, reply.message_id, "x", None)
    for _ in range(2):
        await site.talks.editing.restore(BOB, reply.message_id)
    view = await site.talks.reading.message(ANN, reply.message_id)
    assert view["content"] == "@ann answer"
    assert await site.talks.attendance.unread(ANN, group) == {root.root_id: 1}


async def test_the_author_cannot_bring_back_what_a_manager_deleted(site: TalkSite) -> None:
    group = await _group(site)
    theirs = await site.talks.posting.root(BOB, group, Draft(content="@ann x"))
    await site.talks.editing.delete(ANN, theirs.message_id, None)

    with pytest.raises(ForbiddenError):
        await site.talks.editing.restore(BOB, theirs.message_id)


async def test_a_growing_reply_cannot_be_edited_or_deleted(site: TalkSite) -> None:
    group = await _group(site)
    posted = await site.talks.posting.root(ANN, group, Draft(content="@helper"))
    reply = posted.assistant_message_ids[0]

    with pytest.raises(ConversationConflictError):
        await site.talks.editing.edit(ANN, reply, "x", None)
    with pytest.raises(ConversationConflictError):
        await site.talks.editing.delete(ANN, reply, None)


async def test_search_finds_all_words_in_readable_messages_only(site: TalkSite) -> None:
    group, private = await _group(site), await _group(site)
    await site.talks.membership.remove(ANN, private, person("bob").id)
    first = await site.talks.posting.root(ANN, group, Draft(content='The "red" lorry, urgent'))
    await site.talks.posting.root(ANN, group, Draft(content="a red car"))
    await site.talks.posting.root(ANN, private, Draft(content="red lorry hidden"))

    found, _ = await site.talks.reading.search(
        BOB, 'lorry "red', conversation_id=None, below=None, limit=9
    )
    assert [one.message["id"] for one in found] == [first.message_id]
    assert "lorry" in found[0].snippet
    for words in ("(", "red AND NOT car*", "😀", "'; --"):
        await site.talks.reading.search(BOB, words, conversation_id=None, below=None, limit=9)
    with pytest.raises(InvalidFieldError):
        await site.talks.reading.search(BOB, " ", conversation_id=None, below=None, limit=9)

    await site.talks.editing.delete(ANN, first.message_id, None)
    gone, _ = await site.talks.reading.search(
        BOB, "lorry", conversation_id=None, below=None, limit=9
    )
    assert gone == []


async def test_search_goes_on_where_a_page_ended(site: TalkSite) -> None:
    group = await _group(site)
    for number in range(5):
        await site.talks.posting.root(ANN, group, Draft(content=f"word {number}"))

    seen: list[str] = []
    below = None
    while True:
        found, below = await site.talks.reading.search(
            ANN, "word", conversation_id=group, below=below, limit=2
        )
        seen += [str(one.message["content"]) for one in found]
        if below is None:
            break
    assert seen == [f"word {number}" for number in (4, 3, 2, 1, 0)]


async def test_an_agents_finished_words_are_found(site: TalkSite) -> None:
    group = await _group(site)
    posted = await site.talks.posting.root(ANN, group, Draft(content="@helper"))
    await site.answer(posted.assistant_message_ids[0], "xyl", "ophone")

    found, _ = await site.talks.reading.search(
        BOB, "xylophone", conversation_id=None, below=None, limit=9
    )
    assert len(found) == 1


async def test_an_export_has_everything_in_tree_order(site: TalkSite) -> None:
    group = await _group(site, "Plan")
    root = await site.talks.posting.root(ANN, group, Draft(content="@bob a"))
    other = await site.talks.posting.root(BOB, group, Draft(content="@ann c\nd"))
    await site.talks.posting.reply(BOB, root.message_id, Draft(content="@ann b"))

    exported = await site.talks.reading.export(BOB, group)

    contents = [one["content"] for one in as_document(exported)["messages"]]
    assert contents == ["@bob a", "@ann b", "@ann c\nd"]
    text = as_markdown(exported)
    assert text.startswith("# Plan\n")
    assert "> **Bob**" in text
    assert other.depth == 1


async def test_threads_page_by_activity_without_a_gap(site: TalkSite) -> None:
    group = await _group(site)
    roots = []
    for number in range(7):
        posted = await site.talks.posting.root(ANN, group, Draft(content=f"@bob {number}"))
        roots.append(posted.root_id)

    seen: list[str] = []
    below = None
    while True:
        found, below = await site.talks.reading.threads(ANN, group, below=below, limit=2)
        seen += [one.root_id for one in found]
        if below is None:
            break
    assert seen == roots[::-1]


async def test_a_tree_pages_by_path_without_a_gap(site: TalkSite) -> None:
    group = await _group(site)
    root = await site.talks.posting.root(ANN, group, Draft(content="@bob 0"))
    first = await site.talks.posting.reply(ANN, root.message_id, Draft(content="@bob 1"))
    await site.talks.posting.reply(ANN, root.message_id, Draft(content="@bob 3"))
    await site.talks.posting.reply(ANN, first.message_id, Draft(content="@bob 2"))

    seen: list[str] = []
    after = None
    while True:
        found, after = await site.talks.reading.tree(
            BOB, root.root_id, after=after, limit=1, pending=False
        )
        seen += [str(one["content"]) for one in found]
        if after is None:
            break
    assert seen == ["@bob 0", "@bob 1", "@bob 2", "@bob 3"]
    with pytest.raises(InvalidFieldError):
        await site.talks.reading.tree(BOB, root.root_id, after="x", limit=1, pending=False)


async def test_conversations_page_by_activity_and_by_title(site: TalkSite) -> None:
    made = [await _group(site, f"Title {number}%") for number in range(4)]

    seen: list[str] = []
    below = None
    while True:
        found, below = await site.talks.conversations.listed(
            BOB, title=None, archived=False, below=below, limit=3
        )
        seen += [str(one["id"]) for one in found]
        if below is None:
            break
    assert sorted(seen) == sorted(made)
    named, _ = await site.talks.conversations.listed(
        BOB, title="tItLe 2%", archived=None, below=None, limit=9
    )
    assert [one["id"] for one in named] == [made[2]]
    await site.talks.conversations.change(ANN, made[0], {"archived": True})
    away, _ = await site.talks.conversations.listed(
        BOB, title=None, archived=True, below=None, limit=9
    )
    assert [one["id"] for one in away] == [made[0]]


async def test_deleting_a_conversation_leaves_nothing(site: TalkSite) -> None:
    group = await _group(site)
    await site.talks.posting.root(ANN, group, Draft(content="@bob unique"))
    with pytest.raises(ForbiddenError):
        await site.talks.conversations.delete(BOB, group)

    await site.talks.conversations.delete(ANN, group)

    assert await site.told(group) == []
    found, _ = await site.talks.reading.search(
        ANN, "unique", conversation_id=None, below=None, limit=9
    )
    assert found == []


async def test_who_is_not_heard_of_is_away_and_then_offline(site: TalkSite) -> None:
    group = await _group(site)
    await site.talks.attendance.beat(ANN, "online")
    await site.talks.attendance.beat(BOB, "online")
    before = len(await site.told(group))

    site.clock.move(91)
    await site.talks.attendance.sweep([person("bob").id])
    present = {one.user_id: one.status for one in await site.talks.attendance.present(ANN, group)}
    assert present == {person("ann").id: "away", person("bob").id: "online"}
    site.clock.move(210)
    await site.talks.attendance.sweep([person("bob").id])
    present = {one.user_id: one.status for one in await site.talks.attendance.present(ANN, group)}
    assert present == {person("ann").id: "offline", person("bob").id: "online"}
    events = await site.log.read([f"conversation:{group}"], limit=99, reader="*")
    told = [one.payload["status"] for one in events[before:]]
    assert told == ["away", "offline"]


async def test_beats_are_told_once_a_minute_and_on_every_change(site: TalkSite) -> None:
    group = await _group(site)
    before = len(await site.told(group))

    for status, wait_s in (("online", 30), ("online", 31), ("online", 1), ("away", 1)):
        await site.talks.attendance.beat(ANN, status)  # type: ignore[arg-type]
        site.clock.move(wait_s)

    assert len(await site.told(group)) - before == 3


async def test_typing_is_clamped_and_cleared(site: TalkSite) -> None:
    group = await _group(site)
    root = await site.talks.posting.root(ANN, group, Draft(content="@bob x"))
    now = round(site.clock.seconds, 3)

    for seconds in (99, -1):
        await site.talks.attendance.typing(BOB, group, root.root_id, seconds)

    events = await site.log.read([f"conversation:{group}"], limit=99, reader="*")
    until = [one.payload["expires_at"] for one in events[-2:]]
    assert until == ["2026-03-08T14:30:30.000Z", "2026-03-08T14:30:00.000Z"]
    assert now == 1_772_980_200.0
    with pytest.raises(InvalidFieldError):
        await site.talks.attendance.typing(BOB, group, group, 1)
