"""Who a text mentions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.conversations.mentions import handle_like, mentioned_handles


@pytest.mark.parametrize(
    ("text", "handles"),
    [
        ("@ann", ("ann",)),
        ("hello @Ann, and @BOB!", ("ann", "bob")),
        ("@ann @ann @ANN", ("ann",)),
        ("thanks @ann.", ("ann",)),
        ("@ann- yes", ("ann",)),
        ("@ann.-.", ("ann",)),
        ("@a.b-c_d", ("a.b-c_d",)),
        ("(@ann)", ("ann",)),
        ("a@example.com", ()),
        ("é@ann", ()),
        ("_@ann", ()),
        ("@@ann", ("ann",)),
        ("@-ann", ()),
        ("@", ()),
        ("@all please", ("all",)),
        ("@" + "a" * 32, ("a" * 32,)),
        ("@" + "a" * 33, ()),
        ("@9lives", ("9lives",)),
    ],
)
def test_a_mention_is_an_at_sign_before_a_handle(text: str, handles: tuple[str, ...]) -> None:
    assert mentioned_handles(text) == handles


@pytest.mark.parametrize(
    ("text", "handles"),
    [
        ("`@ann` @bob", ("bob",)),
        ("``a ` @ann`` @bob", ("bob",)),
        ("a ` lone tick @ann", ("ann",)),
        ("`a`` @ann` @bob", ("bob",)),
        ("`open\n\n@ann `", ("ann",)),
        ("`over\n@ann a line`", ()),
        ("```\n@ann\n```\n@bob", ("bob",)),
        ("```py\n@ann\n``\n@ann\n````\n@bob", ("bob",)),
        ("~~~\n@ann\n```\n@ann\n~~~\n@bob", ("bob",)),
        ("```\n@ann never closed", ()),
        ("text\n   ```\n@ann\n   ```", ()),
        ("``` `x` @ann", ("ann",)),
        ("``` @ann ``` @bob", ("bob",)),
    ],
)
def test_code_mentions_nobody(text: str, handles: tuple[str, ...]) -> None:
    assert mentioned_handles(text) == handles


@given(st.text(alphabet="@ab`~\n .-", max_size=60))
def test_every_mention_found_is_a_handle(text: str) -> None:
    assert all(map(handle_like, mentioned_handles(text)))


def test_many_ticks_take_linear_time() -> None:
    assert mentioned_handles("`` ` " * 20_000 + "@ann") is not None
