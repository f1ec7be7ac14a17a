"""Ids of events survive the way to a client and back; anything else is no cursor."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from interlock.conversations.cursors import NIL, EventId, parse_since

ROOT = "0199a1b2-0000-7000-8000-000000000001"
IDS = st.none() | st.uuids().map(str).filter(lambda text: text != NIL)


def test_an_id_is_root_message_index_and_milliseconds() -> None:
    made = EventId(root_id=ROOT, message_id=ROOT, index=7, ms=1772980200123)

    assert str(made) == f"{ROOT}:{ROOT}:7:1772980200123"


def test_a_missing_root_and_message_are_the_nil_uuid() -> None:
    assert str(EventId(root_id=None, message_id=None, index=-1, ms=5)) == f"{NIL}:{NIL}:-1:5"


@given(IDS, IDS, st.integers(-1, 999_999_999), st.integers(0, 10**15 - 1))
def test_parsing_an_id_gives_back_what_it_was_made_of(
    root: str | None, message: str | None, index: int, ms: int
) -> None:
    made = EventId(root_id=root, message_id=message, index=index, ms=ms)

    assert EventId.parse(str(made)) == made


@given(st.text(max_size=200))
def test_no_text_makes_parsing_fail(text: str) -> None:
    EventId.parse(text)
    parse_since(text)


def test_texts_that_are_no_cursor_are_none() -> None:
    good = f"{uuid.UUID(int=1)}:{NIL}:-1:12"
    for bad in ("", "x", good + ":1", good[:-2], good.replace("-1", "-2"), good + "x", "1:2:3:4"):
        assert EventId.parse(bad) is None
    assert parse_since("-1") is None
    assert parse_since("soon") is None
    assert parse_since(" 12 ") == 12
