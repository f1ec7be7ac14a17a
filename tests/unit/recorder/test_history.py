import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.support.records import make_decision, make_response, make_session, make_usage

from interlock.gateway.history import (
    DecisionFilter,
    DecisionNotFoundError,
    History,
    InvalidPageError,
    Purged,
)
from interlock.gateway.recorder import BatchRecorder
from interlock.gateway.records import DecisionRecord, UsageRecord
from interlock.gateway.repository import ToolPin, ToolPinRepository
from interlock.storage.engine import Database

pytestmark = pytest.mark.anyio

DAY = 86_400.0
T0 = datetime(2026, 1, 10, tzinfo=UTC).timestamp()


async def store(database: Database, folder: Path, *records: DecisionRecord | UsageRecord) -> None:
    recorder = BatchRecorder(database, spool_dir=folder)
    recorder.start()
    for record in records:
        if isinstance(record, DecisionRecord):
            recorder.decision(record)
        else:
            recorder.usage(record)
    assert await recorder.flush(wait_s=10)
    await recorder.stop()


def some_decisions() -> list[DecisionRecord]:
    return [
        make_decision(id="d1", at=T0 + 1, tool="send_email", verdict="hard_denied"),
        make_decision(id="d2", at=T0 + 2, tool="send_sms", verdict="soft_allowed", labels={}),
        make_decision(id="d3", at=T0 + 3, tool="read_file", rule="read_file#2", key_id="key_2"),
        make_decision(id="d4", at=T0 + 4, session_id="other", account_id="acc_2", rule="send#0"),
        make_decision(
            id="d5", at=T0 + 5, request_id="req_9", labels={"tags": ["web"]}, rule="send_email#1"
        ),
    ]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, "d5 d4 d3 d2 d1"),
        ({"verdicts": ("soft_allowed", "hard_allowed")}, "d2"),
        ({"tool": "send_email"}, "d5 d4 d1"),
        ({"tool": "send_*"}, "d5 d4 d2 d1"),
        ({"tool": "send%"}, ""),
        ({"rule": "send_email#1"}, "d5"),
        ({"rule": "send_email"}, "d5 d2 d1"),
        ({"rule": "send"}, "d4"),
        ({"label": "pii"}, "d4 d3 d1"),
        ({"label": "web"}, "d5 d4 d3 d1"),
        ({"label": "tag:web"}, "d5"),
        ({"label": "producer:web", "account_id": "acc_2"}, "d4"),
        ({"label": "nothing"}, ""),
        ({"key_id": "key_2"}, "d3"),
        ({"session_id": "other"}, "d4"),
        ({"request_id": "req_9"}, "d5"),
        ({"since": T0 + 2, "until": T0 + 4}, "d3 d2"),
    ],
)
async def test_filters_find_exactly_what_they_say(
    database: Database, tmp_path: Path, wanted: dict[str, Any], found: str
) -> None:
    await store(database, tmp_path, *some_decisions())

    page = await History(database).decisions(DecisionFilter(**wanted))
    assert " ".join(record.id for record in page.decisions) == found
    assert page.next is None


async def test_pages_join_up_even_when_instants_are_equal_and_rows_are_added(
    database: Database, tmp_path: Path
) -> None:
    history = History(database)
    await store(database, tmp_path, *(make_decision(id=f"d{n:02}", at=T0) for n in range(10)))
    first = await history.decisions(DecisionFilter(), limit=4)
    await store(database, tmp_path, make_decision(id="new", at=T0 + 9))
    second = await history.decisions(DecisionFilter(), limit=4, page=first.next)
    third = await history.decisions(DecisionFilter(), limit=4, page=second.next)

    ids = [record.id for page in (first, second, third) for record in page.decisions]
    assert ids == [f"d{n:02}" for n in reversed(range(10))]
    assert third.next is None


@pytest.mark.parametrize("page", ["", "x", "1.0", "1.0:", ":d1", "x:d1"])
async def test_a_page_token_of_nobody_is_refused(database: Database, page: str) -> None:
    with pytest.raises(InvalidPageError):
        await History(database).decisions(DecisionFilter(), page=page)


async def test_a_decision_of_another_account_does_not_exist(
    database: Database, tmp_path: Path
) -> None:
    await store(database, tmp_path, make_decision())
    history = History(database)

    assert await history.decision("dec_1", account_id="acc_1") == make_decision()
    for wanted in ({"account_id": "acc_2"}, {"account_id": None}):
        with pytest.raises(DecisionNotFoundError):
            await history.decision("dec_1" if wanted["account_id"] else "dec_2", **wanted)


async def test_following_shows_the_last_ones_then_new_ones_each_once(
    database: Database, tmp_path: Path
) -> None:
    await store(database, tmp_path, *some_decisions())
    seen: list[str] = []
    shown = asyncio.Event()

    async def follow() -> None:
        async for record in History(database).follow(
            DecisionFilter(tool="send_*"), last=2, poll_s=0.01
        ):
            seen.append(record.id)
            shown.set()

    async def until(count: int) -> None:
        async with asyncio.timeout(10):
            while len(seen) < count:
                shown.clear()
                await shown.wait()

    following = asyncio.create_task(follow())
    await until(2)
    # One that was stored late: its instant is before the newest one shown.
    await store(database, tmp_path, make_decision(id="late", at=T0 + 4.5))
    await until(3)
    await store(
        database, tmp_path, make_decision(id="other", tool="x"), make_decision(id="d6", at=T0 + 60)
    )
    await until(4)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)

    assert seen == ["d4", "d5", "late", "d6"]


async def test_usage_is_summed_by_group_with_a_total(database: Database, tmp_path: Path) -> None:
    await store(
        database,
        tmp_path,
        make_usage(request_id="a", at=T0, model="m1", cost=1.0),
        make_usage(request_id="a", at=T0, model="m1", role="tagllm", cost=0.5),
        make_usage(request_id="b", at=T0 + DAY - 1, model="m2", cost=None, status=500),
        make_usage(request_id="c", at=T0 + DAY, model="m2", key_id="key_2", estimated=True),
        make_usage(request_id="d", at=T0 + DAY, input_tokens=0, output_tokens=0, cost=None),
    )
    history = History(database)

    def short(rows: list[Any]) -> list[tuple[Any, ...]]:
        return [(*row.group.values(), row.requests, row.input_tokens, row.cost) for row in rows]

    assert short(await history.usage(by=("day",))) == [
        ("2026-01-10", 2, 300, 1.5),
        ("2026-01-11", 2, 100, 0.25),
    ]
    assert short(await history.usage(by=("model", "key"))) == [
        ("demo", "key_1", 1, 0, 0.0),
        ("m1", "key_1", 1, 200, 1.5),
        ("m2", "key_1", 1, 100, 0.0),
        ("m2", "key_2", 1, 100, 0.25),
    ]
    (total,) = await history.usage(by=())
    assert (total.requests, total.errors, total.unpriced, total.estimated) == (4, 1, 1, 1)
    assert short(await history.usage(by=("provider",), key_id="key_2")) == [("demo", 1, 100, 0.25)]
    assert short(await history.usage(by=("day",), since=T0 + DAY, model="m2")) == [
        ("2026-01-11", 1, 100, 0.25)
    ]
    assert await history.spent("key_1", T0) == 1.5
    assert await history.spent("nobody", T0) == 0.0
    assert await history.usage(by=("day",), since=T0 + 9 * DAY) == []


async def test_cleaning_up_removes_what_is_old_enough_and_nothing_else(
    database: Database, tmp_path: Path
) -> None:
    now = T0 + 100 * DAY
    await store(
        database,
        tmp_path,
        *(make_decision(id=f"old{n}", at=T0) for n in range(2001)),
        make_decision(id="young", at=now - DAY),
        make_usage(at=T0),
        make_usage(at=now - DAY),
    )
    recorder = BatchRecorder(database, spool_dir=tmp_path)
    recorder.start()
    recorder.session(make_session(expires_at=now - 1))
    recorder.session(make_session(id="young", expires_at=now + 1))
    recorder.response(make_response(expires_at=now - 1))
    await recorder.flush(wait_s=10)
    await recorder.stop()
    history = History(database)

    purged = await history.purge(now=now, decision_days=30, usage_days=30)

    assert purged == Purged(decisions=2001, values=0, usage=1, sessions=2)
    page = await history.decisions(DecisionFilter(label="pii"))
    assert [record.id for record in page.decisions] == ["young"]


async def test_values_go_before_their_decisions_and_everything_else_stays(
    database: Database, tmp_path: Path
) -> None:
    now = T0 + 100 * DAY
    read = {"id": "r", "kind": "tool_result", "ref": "c", "tool": "t", "preview": "from outside"}
    lineage = {"nodes": [read], "edges": [], "path": ["r"]}
    basis = {"values": "full", "policies": ["p@1"]}
    old = make_decision(id="old", at=T0, args={"to": "ann"}, lineage=lineage, basis=basis)
    bare = make_decision(id="bare", at=T0, args=None, basis={"values": "none"})
    young = make_decision(id="young", at=now - DAY, args={"to": "ben"}, lineage=lineage)
    await store(database, tmp_path, old, bare, young)
    history = History(database)
    kept: dict[str, Any] = {"decision_days": 365, "usage_days": 365, "value_days": 30}

    first = await history.purge(now=now, **kept)
    again = await history.purge(now=now + 1, **kept)
    later = await history.purge(now=now + 29.5 * DAY, **kept)

    assert [first.values, again.values, later.values] == [1, 0, 1]
    assert await history.decision("bare") == bare
    gone = await history.decision("old")
    assert gone == structs.replace(
        old,
        args=None,
        lineage={**lineage, "nodes": [{k: v for k, v in read.items() if k != "preview"}]},
        basis={**basis, "values": "removed", "values_removed_at": now},
    )


async def test_a_changed_tool_waits_until_it_is_approved(database: Database) -> None:
    pins = ToolPinRepository(database)
    pin = ToolPin(
        scope="key_1", tool="t", digest="a", definition="{}", first_seen_at=1, last_seen_at=1
    )
    changed = ToolPin(
        scope="key_1",
        tool="t",
        digest="a",
        definition="{}",
        first_seen_at=1,
        last_seen_at=2,
        pending_digest="b",
        pending_definition="[]",
        pending_since=2,
    )
    await pins.save([pin])
    await pins.save([changed])
    assert await pins.pins(pending=True) == [changed]

    async with database.transaction() as connection:
        waiting = {"scope": "key_1", "tool": "t", "by": "ann"}
        assert not await pins.approve(connection, **waiting, digest="other", at=3)
        assert await pins.approve(connection, **waiting, digest="b", at=3)
        assert not await pins.approve(connection, **waiting, digest="b", at=4)
    (found,) = await pins.pins("key_1")
    assert (found.digest, found.definition, found.approved_by) == ("b", "[]", "ann")
    assert await pins.pins("key_1", pending=True) == []
