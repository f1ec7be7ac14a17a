"""Answers of Responses in memory: the newest, and no more bytes than allowed."""

from datetime import UTC, datetime

import pytest

from interlock.gateway.records import StoredResponse
from interlock.gateway.responses import ResponseNotFoundError, ResponseStore

pytestmark = pytest.mark.anyio


class Clock:
    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


class Store:
    """A store that says what it was asked for."""

    def __init__(self, *responses: StoredResponse) -> None:
        self.held = {response.id: response for response in responses}
        self.asked: list[str] = []

    async def load_response(self, response_id: str) -> StoredResponse | None:
        self.asked.append(response_id)
        return self.held.get(response_id)

    async def delete_response(self, response_id: str) -> None:
        del self.held[response_id]


def stored(name: str, size: int) -> StoredResponse:
    return StoredResponse(
        id=name,
        session_id="s",
        key_id="k",
        account_id="a",
        created_at=0.0,
        expires_at=1e12,
        retrievable=True,
        body=b"x" * size,
        items=b"[]",
        tools=b"[]",
        previous_id=None,
        provider="p",
    )


async def test_the_oldest_answers_make_room_for_large_ones() -> None:
    store = Store(stored("one", 100), stored("two", 100), stored("big", 150))
    responses = ResponseStore(
        recorder=store,  # type: ignore[arg-type] - only what is read
        clock=Clock(),
        lifetime_s=1.0,
        cached_bytes=300,
    )
    for name in ("one", "two", "one", "big", "one", "two"):
        await responses.find("a", name)

    assert store.asked == ["one", "two", "big", "two"]


async def test_a_deleted_answer_leaves_no_weight_behind() -> None:
    store = Store(stored("one", 200), stored("two", 90))
    responses = ResponseStore(
        recorder=store,  # type: ignore[arg-type] - only what is read
        clock=Clock(),
        lifetime_s=1.0,
        cached_bytes=250,
    )
    await responses.find("a", "one")
    await responses.delete("a", "one")
    with pytest.raises(ResponseNotFoundError):
        await responses.find("a", "one")
    await responses.find("a", "two")
    await responses.find("a", "two")

    assert store.asked == ["one", "one", "two"]
