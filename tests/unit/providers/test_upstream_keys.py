"""Key pools, hints about limits, and keeping keys out of texts."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.providers.http import BadHeaderError
from interlock.providers.keys import KeyPool, KeyState
from interlock.providers.ratelimit import Headroom, headroom, retry_after
from interlock.providers.redaction import MAX_SHOWN_BYTES, redact

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def pool(*names: str) -> KeyPool:
    return KeyPool([KeyState(name, f"key-{name}", "authorization") for name in names])


def picked(subject: KeyPool, now: float, draw: float = 0.0, only: str | None = None) -> str | None:
    key = subject.pick(now, draw, only=only)
    return None if key is None else key.name


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("authorization", b"authorization: Bearer k\r\n"),
        ("x-api-key", b"x-api-key: k\r\n"),
        ("api-key", b"api-key: k\r\n"),
    ],
)
def test_a_key_is_written_the_way_its_provider_wants(header: str, line: bytes) -> None:
    assert KeyState("a", "k", header).line == line


def test_no_key_is_no_line() -> None:
    assert KeyState("none", "", "authorization").line == b""


def test_a_key_that_would_inject_is_refused() -> None:
    with pytest.raises(BadHeaderError):
        KeyState("a", "k\r\nx: y", "x-api-key")


def test_a_key_shows_in_no_representation() -> None:
    subject = KeyState("a", "sk-hidden", "x-api-key")

    assert "hidden" not in repr(subject) + str(subject) + repr(KeyPool([subject]))


def test_a_resting_key_is_skipped_until_its_time() -> None:
    subject = pool("a", "b")
    subject.keys[0].rest(0.0, 5.0)

    assert [picked(subject, now) for now in (0.0, 4.9, 5.0)] == ["b", "b", "a"]


def test_the_only_key_rests_too() -> None:
    subject = pool("a")
    subject.keys[0].rest(0.0, 5.0)

    assert (picked(subject, 1.0), subject.wait_s(1.0), picked(subject, 5.0)) == (None, 4.0, "a")


def test_rests_without_a_hint_double_until_the_key_serves() -> None:
    key = pool("a").keys[0]

    assert [key.rest(t * 100.0, None) for t in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    key.served()
    assert key.rest(900.0, None) == 1


def test_refusals_that_come_together_count_once() -> None:
    key = pool("a").keys[0]

    assert [key.rest(0.0, None) for _ in range(8)] == [1] * 8


def test_a_pinned_key_is_never_replaced_by_another() -> None:
    subject = pool("a", "b")
    subject.keys[1].rest(0.0, 9.0)

    assert picked(subject, 0.0, only="b") is None
    assert subject.wait_s(0.0, only="b") == 9.0
    assert picked(subject, 9.0, only="b") == "b"


def test_more_headroom_means_more_traffic() -> None:
    subject = pool("a", "b")
    subject.keys[0].headroom = 0.25

    names = [picked(subject, 0.0, draw / 100) for draw in range(100)]
    assert (names.count("a"), names.count("b")) == (20, 80)


HINTS = [
    ({"retry-after": "7"}, 7.0),
    ({"retry-after": "0.5"}, 0.5),
    ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
    ({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, 30.0),
    ({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, 0.0),
    ({"retry-after": "99999999"}, 3600.0),
    ({"retry-after": "soon"}, None),
    ({"retry-after": "-5"}, None),
    ({"retry-after": "nan"}, None),
    ({"retry-after": ""}, None),
    ({}, None),
]


@pytest.mark.parametrize(("headers", "wait_s"), HINTS)
def test_a_retry_hint_is_read_in_every_spelling(
    headers: dict[str, str], wait_s: float | None
) -> None:
    assert retry_after(headers, NOW) == wait_s


ROOMS = [
    (
        {
            "x-ratelimit-limit-requests": "100",
            "x-ratelimit-remaining-requests": "50",
            "x-ratelimit-reset-requests": "6m0s",
            "x-ratelimit-limit-tokens": "1000",
            "x-ratelimit-remaining-tokens": "100",
            "x-ratelimit-reset-tokens": "250ms",
        },
        Headroom(0.1, 0.25),
    ),
    (
        {
            "anthropic-ratelimit-requests-limit": "10",
            "anthropic-ratelimit-requests-remaining": "0",
            "anthropic-ratelimit-requests-reset": "2026-01-01T12:00:10Z",
        },
        Headroom(0.0, 10.0),
    ),
    (
        {
            "x-ratelimit-limit": "20",
            "x-ratelimit-remaining": "5",
            "x-ratelimit-reset": str(int((NOW.timestamp() + 60) * 1000)),
        },
        Headroom(0.25, 60.0),
    ),
    ({"x-ratelimit-remaining-requests": "12"}, Headroom(1.0, None)),
    ({"x-ratelimit-remaining-requests": "many"}, None),
    ({}, None),
]


@pytest.mark.parametrize(("headers", "seen"), ROOMS)
def test_headroom_is_the_scarcest_allowance(headers: dict[str, str], seen: Headroom | None) -> None:
    assert headroom(headers, NOW) == seen


@given(st.text(), st.text(), st.text())
def test_no_header_text_breaks_the_reading(limit: str, left: str, reset: str) -> None:
    names = {
        "x-ratelimit-limit-requests": limit,
        "x-ratelimit-remaining-requests": left,
        "x-ratelimit-reset-requests": reset,
        "retry-after": reset,
    }
    seen = headroom(names, NOW)
    wait_s = retry_after(names, NOW)

    assert seen is None or 0.0 <= seen.share <= 1.0
    assert wait_s is None or 0.0 <= wait_s <= 3600.0


KEY = "mykey/+0123456789"


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_secret_survives_nowhere(before: bytes, after: bytes) -> None:
    shown = redact(before + KEY.encode() + after + KEY.encode(), [KEY])

    assert KEY.encode() not in shown


@pytest.mark.parametrize("spelled", ["mykey\\/+0123456789", "mykey%2F%2B0123456789"])
def test_a_secret_is_found_in_other_spellings(spelled: str) -> None:
    assert redact(f"<{spelled}>".encode(), [KEY]) == b"<[redacted]>"


@pytest.mark.parametrize("length", [5, 10, len(KEY) - 1])
def test_a_secret_cut_at_the_end_of_a_text_is_removed(length: int) -> None:
    shown = redact(b"bad key: " + KEY[:length].encode(), [KEY])

    assert KEY[:length].encode() not in shown


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-ab***********wxyz.",
        "header was Authorization: Bearer abcdef0123456789",
        "sk-ant-api03-aaaaaaaaaaaaaaaa",
        "sq-0123456789012345678901234567890123456789",
    ],
)
def test_what_looks_like_a_key_is_removed(text: str) -> None:
    shown = redact(text.encode(), []).decode()

    assert "[redacted]" in shown
    assert not any(part in shown for part in ("wxyz", "abcdef", "aaaa", "0123"))


def test_ordinary_text_is_left_alone_and_cut() -> None:
    text = b"the task-force asked for a risk-adjusted bearer bond " * 2000

    assert redact(text, []) == text[:MAX_SHOWN_BYTES]
