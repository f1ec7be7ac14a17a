"""What becomes of events for a reader that does not keep up."""

import asyncio
import dataclasses
import logging

import pytest

from interlock.events.dispatcher import Dispatcher
from interlock.events.model import Event
from interlock.events.subscription import Backpressure, Kind, Strategy, Subscription

pytestmark = pytest.mark.anyio


def event(seq: int, kind: str = "delta", key: str | None = None, text: str = "") -> Event:
    """An event of one stream."""
    return Event(
        seq=seq,
        stream="s",
        id=str(seq),
        type=kind,
        payload={"text": text},
        audience=None,
        at_ms=seq,
        key=key,
    )


def joined(older: Event, newer: Event) -> Event | None:
    """Merges texts."""
    if older.type != "delta":
        return None
    text = older.payload["text"] + newer.payload["text"]
    return dataclasses.replace(newer, payload={"text": text})


def kind(found: Event) -> Kind:
    """Deltas are tokens, typing is of the system."""
    return {"delta": "token", "typing": "system"}.get(found.type, "kept")  # type: ignore[return-value]


def reader(hub: Dispatcher, capacity: int, strategy: Strategy = "coalesce") -> Subscription:
    """A subscription with the rules above."""
    backpressure = Backpressure(strategy=strategy, merge=joined, kind=kind)
    return hub.subscribe(capacity=capacity, wanted=["s"], reader=None, backpressure=backpressure)


def seen(subscription: Subscription) -> list[tuple[int, str]]:
    """What waits, as numbers and texts."""
    return [(one.seq, one.payload["text"]) for one in subscription.waiting(999)]


def test_coalescing_loses_no_text_and_keeps_the_order_of_numbers() -> None:
    hub = Dispatcher()
    slow = reader(hub, 8)
    for seq in range(1, 101):
        hub.offer([event(seq, key=f"m{seq % 2}", text=f"{seq},")])

    found = slow.waiting(999)

    assert len(found) <= 8
    assert [one.seq for one in found] == sorted(one.seq for one in found)
    for rest in (0, 1):
        text = "".join(one.payload["text"] for one in found if one.key == f"m{rest}")
        assert text == "".join(f"{seq}," for seq in range(1, 101) if seq % 2 == rest)
    assert slow.ended is None
    assert not slow.lost


def test_a_full_queue_makes_room_for_what_cannot_be_merged() -> None:
    hub = Dispatcher()
    slow = reader(hub, 4)
    hub.offer([event(1, key="m", text="a"), event(2, key="m", text="b"), event(3, "done")])
    hub.offer([event(4, "done"), event(5, "done")])

    assert seen(slow) == [(2, "ab"), (3, ""), (4, ""), (5, "")]


def test_a_queue_full_of_what_cannot_be_merged_ends_that_reader_only() -> None:
    hub = Dispatcher()
    slow, other = reader(hub, 2), reader(hub, 9)
    hub.offer([event(seq, "done") for seq in range(1, 5)])

    assert slow.ended == "slow"
    assert seen(slow) == []
    assert [seq for seq, _ in seen(other)] == [1, 2, 3, 4]
    assert len(hub) == 1


def test_dropping_tokens_marks_their_message_and_keeps_everything_else() -> None:
    hub = Dispatcher()
    slow = reader(hub, 3, "drop_tokens")
    hub.offer([event(1, key="m"), event(2, key="n"), event(3, "typing", key="t")])
    hub.offer([event(4, key="m"), event(5, "done")])

    assert slow.lost == {"m"}
    assert [seq for seq, _ in seen(slow)] == [2, 3, 5]
    hub.offer([event(6, key="m"), event(7, key="n")])
    assert [seq for seq, _ in seen(slow)] == [7]  # a text with a hole is worse
    assert slow.take_lost("m")
    assert not slow.take_lost("m")
    hub.offer([event(8, key="m")])
    assert [seq for seq, _ in seen(slow)] == [8]


def test_a_queue_full_of_what_may_not_be_dropped_ends_the_reader() -> None:
    hub = Dispatcher()
    slow = reader(hub, 2, "drop_tokens")
    hub.offer([event(1, "typing"), event(2, "typing"), event(3, "typing")])

    assert slow.ended == "slow"


def test_presence_and_typing_are_dropped_only_when_asked_and_never_marked_lost() -> None:
    hub = Dispatcher()
    slow = reader(hub, 2, "drop_tokens_and_system")
    hub.offer([event(1, "typing"), event(2, "typing"), event(3, "done"), event(4, "done")])
    hub.offer([event(5, "typing")])

    assert [seq for seq, _ in seen(slow)] == [3, 4]
    assert not slow.lost


def test_events_that_arrive_out_of_order_or_twice_leave_in_order_and_once() -> None:
    hub = Dispatcher()
    hub.start_at(0)
    one = reader(hub, 99)
    hub.offer([event(3, "done"), event(2, "done")])
    assert hub.missing() == (0, 1)
    hub.offer([event(1, "done"), event(2, "done"), event(5, "done")])
    assert [seq for seq, _ in seen(one)] == [1, 2, 3]

    hub.advance([event(4, "done")], 4)

    assert [seq for seq, _ in seen(one)] == [4, 5]
    assert hub.missing() is None


def test_numbers_that_are_gone_from_the_log_hold_nothing_back() -> None:
    hub = Dispatcher()
    hub.start_at(0)
    one = reader(hub, 99)
    hub.offer([event(9, "done")])

    hub.advance([event(7, "done")], 8)

    assert [seq for seq, _ in seen(one)] == [7, 9]


def test_a_slow_reader_is_told_to_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    hub = Dispatcher()
    reader(hub, 8)
    with caplog.at_level(logging.WARNING, "interlock.events"):
        hub.offer([event(seq, "done") for seq in range(1, 9)])

    assert [record.getMessage() for record in caplog.records] == [
        "a reader of events is slow: 6 of 8 wait"
    ]


def test_streams_can_be_joined_and_left_while_listening() -> None:
    hub = Dispatcher()
    one = hub.subscribe(capacity=9, wanted=[], reader=None, backpressure=Backpressure())
    hub.offer([event(1)])
    one.add("s")
    hub.offer([event(2), event(3, key="k")])
    assert [seq for seq, _ in seen(one)] == [2, 3]
    hub.offer([event(4)])
    one.drop("s")
    hub.offer([event(5)])

    assert seen(one) == []


async def test_iteration_goes_on_with_what_comes_and_ends_with_the_subscription() -> None:
    hub = Dispatcher()
    one = reader(hub, 9)
    numbers: list[int] = []

    async def listen() -> None:
        async for found in one:
            numbers.append(found.seq)
            if found.seq == 3:
                one.close()

    async with asyncio.timeout(5):
        listening = asyncio.create_task(listen())
        hub.offer([event(1, "done")])
        await asyncio.sleep(0)
        hub.offer([event(2, "done"), event(3, "done")])
        await listening

    assert numbers == [1, 2, 3]
    assert await one.batch() == []
