"""The published clients' own requests, in their order."""

import json
from collections.abc import Callable

import pytest
from tests.support.chat_client import ChatClient, Sse
from tests.support.requirements import requirement
from tests.support.talk_site import TalkSite, person

from interlock.conversations.replying import Ending

pytestmark = pytest.mark.anyio
Make = Callable[[str], ChatClient]
NINE = {
    "thread.new",
    "thread.activity",
    "message.delta",
    "message.done",
    "presence.update",
    "typing.update",
    "unread.update",
    "membership.changed",
    "error",
}


def text_of(frames: list[Sse], message_id: str) -> str:
    """The text a client that appends blindly has of a message."""
    return "".join(
        choice["delta"]["content"]
        for frame in frames
        if frame.event == "message.delta" and frame.data["payload"]["message_id"] == message_id
        for choice in frame.data["payload"]["choices"]
    )


async def _started(ann: ChatClient) -> tuple[str, str, str]:
    """A conversation, a root and the reply it will get."""
    made = (await ann.post("/api/conversations", {"title": "Deploy"})).json
    root = (await ann.post(f"/api/threads/{made['conversation_id']}/root", {"content": "go"})).json
    return made["conversation_id"], root["root_id"], root["assistant_message_ids"][0]


@requirement("chat.cli.follow")
async def test_the_cli_follows_over_a_broken_connection_without_a_double_token(
    client: Make, site: TalkSite
) -> None:
    ann = client("ann")
    conversation, root, reply = await _started(ann)

    tree = (await ann.get(f"/api/threads/{root}/tree?limit=10")).json
    assert tree["messages"][0]["conversation_id"] == conversation
    threads = (await ann.get(f"/api/conversations/{conversation}/threads")).json["threads"]
    assert threads[0]["root_excerpt"] == "go"

    path = f"/api/stream/conversations/{conversation}"
    first = ann.stream(path)
    status, headers = await first.start()
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    assert await first.chunk() == b"retry: 3000\n: open\n\n"
    await site.talks.writer.write(reply, ["Hel"])
    await site.talks.writer.write(reply, ["lo"])
    seen = await first.until("message.delta", 2)
    await first.close()
    await site.talks.writer.write(reply, [" wor"])

    last = seen[-1].id or ""
    second = ann.stream(f"{path}?since={last.rpartition(':')[2]}", {"last-event-id": last})
    seen += await second.until("message.delta")
    await site.talks.writer.write(reply, ["ld"])
    await site.talks.writer.end(reply, Ending(status="complete", finish_reason="stop"))
    seen += await second.until("thread.activity")

    assert text_of(seen, reply) == "Hello world"
    assert {frame.event for frame in seen} <= NINE
    assert all(frame.data["type"] == frame.event for frame in seen)
    ids = [frame.id for frame in seen]
    assert len(set(ids)) == len(ids)


@requirement("chat.web.thread")
async def test_the_web_client_posts_streams_and_fetches_again(client: Make, site: TalkSite) -> None:
    ann = client("ann")
    conversation = (await ann.post("/api/conversations", {"title": "Web"})).json["conversation_id"]
    stream = ann.stream(f"/api/stream/conversations/{conversation}")
    await stream.start()
    await stream.chunk()

    root = (await ann.post(f"/api/threads/{conversation}/root", {"content": "hi"})).json
    reply = root["assistant_message_ids"][0]
    await site.answer(reply, "a", "b")
    frames = await stream.until("message.done")
    after = await stream.until("thread.activity")
    types = [frame.event for frame in frames]

    assert types[:5] == [
        "thread.new",
        "thread.activity",
        "presence.update",
        "typing.update",
        "unread.update",
    ]
    assert [frame.event for frame in after] == ["thread.activity"]
    first = next(frame for frame in frames if frame.event == "message.delta")
    assert first.data["payload"]["id"] == f"{reply}:0"
    assert first.data["payload"]["choices"] == [
        {"index": 0, "delta": {"role": "assistant", "content": "a"}}
    ]
    done = frames[-1].data["payload"]
    assert set(done["usage"]) >= {"prompt_tokens", "completion_tokens", "total_tokens"}
    tree = (await ann.get(f"/api/threads/{root['root_id']}/tree")).json
    assert [one["content"] for one in tree["messages"]] == ["hi", "ab"]
    assert text_of(frames, reply) == "ab"
    unread = (await ann.get(f"/api/conversations/{conversation}/unread")).json
    assert unread == {"threads": [{"root_id": root["root_id"], "unread": 1}]}
    assert (await ann.post(f"/api/threads/{root['root_id']}/read")).status == 204
    told = await stream.until("unread.update", 2)
    assert told[-1].data["payload"]["unread"] == 0
    answer = await ann.post(f"/api/messages/{reply}/reply", {"content": "thanks"})
    assert (answer.status, answer.json["depth"]) == (201, 3)


@requirement("chat.post.csrf-free-shape")
async def test_posts_answer_as_both_clients_parse(client: Make) -> None:
    ann = client("ann")
    made = await ann.post("/api/conversations", {"title": " T ", "is_group": True, "new": 1})
    conversation = made.json["conversation_id"]
    path = f"/api/threads/{conversation}/root"

    root = await ann.post(path, {"content": "x"}, headers={"idempotency-key": "k"})
    again = await ann.post(path, {"content": "x"}, headers={"idempotency-key": "k"})
    body = await ann.post(path, {"content": "y", "client_message_id": "k2"})
    other = await ann.post(path, {"content": "z", "client_message_id": "k2"})

    assert (made.status, made.json["conversation"]["title"]) == (201, "T")
    assert root.status == again.status == 201
    assert root.json.keys() >= {"message_id", "root_id", "conversation_id", "depth"}
    assert again.json == root.json
    assert again.headers["Idempotent-Replayed".lower()] == "true"
    assert "idempotent-replayed" not in root.headers
    assert (body.status, other.status) == (201, 422)
    tree = (await ann.get(f"/api/threads/{root.json['root_id']}/tree")).json
    assert len(tree["messages"]) == 1


@requirement("chat.turn.stream")
async def test_a_prompt_is_answered_at_once_streamed_or_waited_for(
    client: Make, site: TalkSite
) -> None:
    ann = client("ann")
    accepted = await ann.post("/api/chat", {"message": "one"})

    assert accepted.status == 202
    assert accepted.json["status"] == "queued"
    assert accepted.json["stream_url"].endswith(accepted.json["conversation_id"])
    stream = ann.stream(
        f"{accepted.json['stream_url']}&last_event_id={accepted.json['last_event_id']}"
    )
    await site.answer(accepted.json["assistant_message_id"], "x", "y")
    frames = await stream.until("message.done")
    assert text_of(frames, accepted.json["assistant_message_id"]) == "xy"
    assert frames[0].event == "thread.new"

    for bad in ({}, {"message": "a", "prompt": "b"}, {"message": " "}):
        refused = await ann.post("/api/chat", bad)
        assert (refused.status, refused.json["code"]) == (400, "validation_failed")


@requirement("chat.replies.ends")
async def test_every_ending_is_told_once_in_order_with_the_text_kept(
    client: Make, site: TalkSite
) -> None:
    ann = client("ann")
    endings = (
        Ending(status="timeout", finish_reason="timeout", error=("assistant_timeout", "late")),
        Ending(status="error", finish_reason="error", error=("assistant_stream_error", "bad")),
    )
    for ending in endings:
        conversation, _, reply = await _started(ann)
        stream = ann.stream(f"/api/stream/conversations/{conversation}")
        await site.talks.writer.write(reply, ["part"])
        await stream.until("message.delta")
        assert await site.talks.writer.end(reply, ending)
        assert not await site.talks.writer.end(reply, ending)
        frames = await stream.until("thread.activity")
        assert [frame.event for frame in frames] == ["message.done", "error", "thread.activity"]
        assert frames[0].data["payload"]["finish_reason"] == ending.finish_reason
        assert frames[1].data["payload"]["message_id"] == reply
        message = (await ann.get(f"/api/messages/{reply}")).json
        assert (message["content"], message["status"]) == ("part", ending.status)
        assert message["error"]["code"] == frames[1].data["payload"]["code"]

    conversation, _, reply = await _started(ann)
    await site.talks.writer.write(reply, ["part"])
    for _ in range(2):
        cancelled = await ann.post(f"/api/messages/{reply}/cancel")
        assert (cancelled.status, cancelled.json["status"]) == (202, "cancelled")
    told = [one for one, _ in await site.told(conversation)]
    assert told.count("message.done") == 1


@requirement("chat.group.rules")
async def test_a_group_of_two_people_and_two_agents(client: Make, site: TalkSite) -> None:
    ann, bob, cleo = client("ann"), client("bob"), client("cleo")
    group = (await ann.post("/api/conversations", {"title": "G", "is_group": True})).json[
        "conversation_id"
    ]
    members = f"/api/conversations/{group}/participants"
    assert (await ann.post(members, {"user_id": person("bob").id, "role": "member"})).status == 204
    assert (await ann.post(members, {"user_id": person("cleo").id, "role": "viewer"})).status == 204
    stream = bob.stream(f"/api/stream/conversations/{group}")
    every = bob.stream("/api/chat/stream")
    await stream.start()
    await every.start()

    root = (await ann.post(f"/api/threads/{group}/root", {"content": "@helper @poet go"})).json
    assert len(root["assistant_message_ids"]) == 2
    assert (await ann.get(f"/api/messages/{root['message_id']}")).json["mentions"] == [
        {"kind": "agent", "id": one.id, "handle": one.handle}
        for one in site.replies.triggers[-1].agents
    ]
    people = await bob.post(f"/api/messages/{root['message_id']}/reply", {"content": "@ann see"})
    assert people.json["assistant_message_ids"] == []
    unread = (await cleo.get(f"/api/conversations/{group}/unread")).json["threads"]
    assert unread == [{"root_id": root["root_id"], "unread": 2}]
    refused = await cleo.post(f"/api/threads/{group}/root", {"content": "x"})
    assert (refused.status, refused.json["code"]) == (403, "forbidden")
    typing = {"conversation_id": group, "root_id": root["root_id"], "seconds": 99}
    assert (await ann.post("/api/typing", typing)).status == 204
    beat = await ann.post("/api/presence/heartbeat", {"status": "away"})
    assert beat.status == 204

    frames = await stream.until("presence.update", 3)
    mine = [one.data["payload"]["unread"] for one in frames if one.event == "unread.update"]
    assert mine == [1, 0]
    assert frames[-1].data["payload"]["status"] == "away"

    gone = await ann.send("DELETE", f"{members}/{person('bob').id}")
    assert gone.status == 204
    assert not [one for one in await stream.rest() if one.event != "unread.update"]
    assert (await bob.get(f"/api/conversations/{group}")).status == 403
    back = await ann.post(members, {"user_id": person("bob").id, "role": "member"})
    assert back.status == 204
    again = await every.until("membership.changed")
    assert again[-1].data["payload"] == {
        "conversation_id": group,
        "user_id": person("bob").id,
        "role": "member",
        "action": "added",
    }


@requirement("chat.access.non-member")
async def test_who_is_no_member_gets_403_everywhere(client: Make, site: TalkSite) -> None:
    ann, bob = client("ann"), client("bob")
    conversation, root, reply = await _started(ann)
    nothing = "00000000-0000-4000-8000-000000000000"
    content = {"content": "x"}
    typing = {"conversation_id": conversation, "root_id": root, "seconds": 1}
    calls: list[tuple[str, str, object]] = [
        ("GET", f"/api/conversations/{conversation}", None),
        ("PATCH", f"/api/conversations/{conversation}", {"title": "x"}),
        ("DELETE", f"/api/conversations/{conversation}", None),
        ("GET", f"/api/conversations/{conversation}/threads", None),
        ("GET", f"/api/conversations/{conversation}/unread", None),
        ("GET", f"/api/conversations/{conversation}/participants", None),
        ("GET", f"/api/conversations/{conversation}/invites", None),
        ("GET", f"/api/conversations/{conversation}/presence", None),
        ("GET", f"/api/conversations/{conversation}/export", None),
        ("POST", f"/api/conversations/{conversation}/leave", None),
        ("POST", f"/api/conversations/{conversation}/reply", content),
        ("POST", f"/api/conversations/{conversation}/invites", {"email": "a@b.c"}),
        ("POST", f"/api/threads/{conversation}/root", content),
        ("GET", f"/api/threads/{root}/tree", None),
        ("POST", f"/api/threads/{root}/read", None),
        ("GET", f"/api/messages/{reply}", None),
        ("GET", f"/api/messages/{reply}/chunks", None),
        ("GET", f"/api/messages/{reply}/reasoning", None),
        ("POST", f"/api/messages/{root}/reply", content),
        ("POST", f"/api/messages/{root}/edit", content),
        ("POST", f"/api/messages/{root}/delete", None),
        ("POST", f"/api/messages/{root}/restore", None),
        ("POST", f"/api/messages/{reply}/cancel", None),
        ("POST", f"/api/messages/{reply}/regenerate", None),
        ("GET", f"/api/stream/conversations/{conversation}", None),
        ("GET", f"/api/chat/stream?conversation_id={conversation}", None),
        ("GET", f"/api/search?q=go&conversation_id={conversation}", None),
        ("GET", f"/api/users?conversation_id={conversation}", None),
        ("POST", "/api/typing", typing),
    ]
    for method, path, body in calls:
        answer = await bob.send(method, path, body)
        assert (answer.status, answer.json["code"]) == (403, "forbidden"), (method, path)
        unknown = path
        for one in (conversation, root, reply):
            unknown = unknown.replace(one, nothing)
        if body is typing:
            continue
        answer = await bob.send(method, unknown, body)
        assert (answer.status, answer.json["code"]) == (404, "not_found"), (method, unknown)
        answer = await ChatClient(bob.app).send(method, path, body)
        assert (answer.status, answer.json["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "session"
    assert (await bob.get("/api/conversations")).json == {"conversations": []}
    assert (await bob.get("/api/search?q=go")).json == {"results": []}


@requirement("chat.slow.reader")
async def test_a_reader_that_takes_nothing_delays_nobody(client: Make, site: TalkSite) -> None:
    ann = client("ann")
    conversation, _, reply = await _started(ann)
    path = f"/api/stream/conversations/{conversation}"
    slow, *quick = [ann.stream(path) for _ in range(20)]
    for one in (slow, *quick):
        await one.start()
        await one.chunk()
    seen = await slow.until("unread.update")
    slow.flowing.clear()

    pieces = [f"{number} " for number in range(300)]
    for piece in pieces:
        await site.talks.writer.write(reply, [piece])
    for one in quick:
        assert text_of(await one.until("message.delta", 300), reply) == "".join(pieces)
    slow.flowing.set()
    await site.talks.writer.end(reply, Ending(status="complete", finish_reason="stop"))
    seen += await slow.until("message.done")

    assert text_of(seen, reply) == "".join(pieces)
    deltas = [frame for frame in seen if frame.event == "message.delta"]
    assert len(deltas) < 300
    assert json.dumps(deltas[-1].data["payload"]["id"]) == json.dumps(f"{reply}:299")
