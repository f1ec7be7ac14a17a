"""Ids of sessions and calls."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.gateway.ids import SessionIds, new_call_id, parse_call_id, upstream_alias

IDS = SessionIds(b"secret of the installation")


@given(st.text(max_size=40), st.integers(0, 2**32 - 1))
def test_an_id_tells_its_owner_when_it_was_made(owner: str, second: int) -> None:
    made = IDS.new(owner, second + 0.25)

    assert IDS.made_at(made, owner) == float(second)
    assert IDS.made_at(made.upper(), owner) == float(second)
    assert uuid.UUID(made).version == 8
    assert uuid.UUID(made).variant == uuid.RFC_4122


def test_an_id_means_nothing_to_another_owner_or_installation() -> None:
    made = IDS.new("a:1", 1_790_000_000)

    assert IDS.made_at(made, "a:2") is None
    assert SessionIds(b"another secret").made_at(made, "a:1") is None


@given(st.integers(0, 35), st.sampled_from("0123456789abcdef"))
def test_an_altered_id_is_not_recognised(position: int, digit: str) -> None:
    made = IDS.new("a:1", 1_790_000_000)
    altered = made[:position] + digit + made[position + 1 :]

    if altered != made:
        assert IDS.made_at(altered, "a:1") is None


@pytest.mark.parametrize(
    "text", ["", "x", "not-a-uuid", "f" * 36, str(uuid.UUID(int=0)), "\u0660" * 32]
)
def test_what_is_no_id_of_ours_is_not_recognised(text: str) -> None:
    assert IDS.made_at(text, "a:1") is None


def test_the_long_form_carries_the_session_at_its_place() -> None:
    session = IDS.new("a:1", 1_790_000_000)
    call = new_call_id(session, "long", 7)

    parsed = parse_call_id(call)

    assert len(call) == 76
    assert call[3:39] == session
    assert parsed is not None
    assert (parsed.canonical, parsed.session, parsed.suffix) == (call, session, session[-12:])


def test_the_long_form_is_recognised_without_dashes() -> None:
    call = new_call_id(IDS.new("a:1", 1_790_000_000), "long", 0)

    parsed = parse_call_id(call.replace("-", ""))

    assert parsed is not None
    assert parsed.canonical == call


def test_the_compact_form_has_eighteen_characters_and_the_suffix() -> None:
    session = IDS.new("a:1", 1_790_000_000)
    call = new_call_id(session, "compact", 0xABCD)

    parsed = parse_call_id(call)

    assert len(call) == 18
    assert call.isalnum()
    assert call.endswith("abcd")
    assert parsed is not None
    assert (parsed.session, parsed.suffix) == (None, session[-12:])


@given(st.text())
def test_any_text_is_either_ours_or_not(text: str) -> None:
    parsed = parse_call_id(text)

    assert parsed is None or text.startswith("tc")


def test_an_alias_fits_the_strictest_provider_and_is_stable() -> None:
    call = new_call_id(IDS.new("a:1", 1_790_000_000), "long", 0)

    assert upstream_alias(call) == upstream_alias(call)
    assert len(upstream_alias(call)) <= 40
