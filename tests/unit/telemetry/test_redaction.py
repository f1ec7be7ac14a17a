import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.telemetry.redaction import MASK, mask_members, mask_text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Authorization: Bearer abcdefgh12345", f"Authorization: Bearer {MASK}"),
        ("key sq-" + "a" * 40, f"key {MASK}"),
        ("sk-proj-abcdef0123456789 was refused", f"{MASK} was refused"),
        ("sk-ant-api03-abcdef0123456789", MASK),
        ("postgresql://bob:hunter2@db/app", f"postgresql://bob:{MASK}@db/app"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-def", MASK),
        ("AKIAIOSFODNN7EXAMPLE", MASK),
        ("a bearer of good news", "a bearer of good news"),
        ("task-force and risk-management", "task-force and risk-management"),
        ("http://127.0.0.1:8080/path", "http://127.0.0.1:8080/path"),
    ],
)
def test_what_looks_like_a_secret_is_masked_and_nothing_else(text: str, masked: str) -> None:
    assert mask_text(text) == masked


def test_members_are_masked_by_name_at_any_depth() -> None:
    value = {
        "password": "p",
        "api_key": "k",
        "X-Api-Key": "k",
        "nested": [{"client_secret": "s", "name": "n"}],
        "provider_credentials": {"openai": "k"},
        "input_tokens": 5,
        "max_tokens": 7,
        "token": None,
        "key_id": "key_1",
    }

    assert mask_members(value) == {
        "password": MASK,
        "api_key": MASK,
        "X-Api-Key": MASK,
        "nested": [{"client_secret": MASK, "name": "n"}],
        "provider_credentials": MASK,
        "input_tokens": 5,
        "max_tokens": 7,
        "token": None,
        "key_id": "key_1",
    }


@given(
    st.recursive(
        st.text() | st.integers() | st.none(),
        lambda v: st.lists(v) | st.dictionaries(st.text(), v),
        max_leaves=20,
    )
)
def test_masking_twice_is_masking_once(value: object) -> None:
    once = mask_members(value)

    assert mask_members(once) == once


def test_a_very_deep_value_is_cut_and_not_followed() -> None:
    deep: object = "sq-" + "a" * 40
    for _ in range(5000):
        deep = [deep]

    assert "sq-" not in str(mask_members(deep))
