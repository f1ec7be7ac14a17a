"""Framing of event streams: cuts, line ends, comments, bounds."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.stream_corpus import SCENARIOS, reframe

from interlock.providers.wire.errors import StreamOverflowError
from interlock.providers.wire.sse import SseEvent, SseParser, frame

STREAM = SCENARIOS["unicode"].messages.sse


def parsed(chunks: list[bytes]) -> list[SseEvent]:
    parser = SseParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("bom", [False, True])
@pytest.mark.parametrize("comments", [False, True])
def test_framing_and_cuts_change_nothing(newline: bytes, bom: bool, comments: bool) -> None:
    whole = parsed([STREAM])
    data = reframe(STREAM, newline, bom=bom, comments=comments)

    assert [name for name, _ in whole][:2] == [b"message_start", b"content_block_start"]
    assert all(parsed([data[:i], data[i:]]) == whole for i in range(len(data) + 1))
    assert parsed([data[i : i + 1] for i in range(len(data))]) == whole


def test_data_lines_of_one_event_are_joined_by_line_feeds() -> None:
    events = parsed([b"data: a\ndata:b\ndata\ndata:  c\n\n"])

    assert events == [(b"", b"a\nb\n\n c")]


def test_other_fields_and_events_without_data_are_ignored() -> None:
    events = parsed([b"id: 7\nretry: 10\nevent: x\n\nfoo: bar\nevent: y\ndata: 1\n\ndata: 2\n\n"])

    assert events == [(b"y", b"1"), (b"", b"2")]


def test_an_event_that_is_not_ended_is_pending() -> None:
    parser = SseParser()

    assert parser.feed(b"data: 1\n") == []
    assert parser.pending


@pytest.mark.parametrize(
    "piece", [b"x" * 10, b"data: xxxx\n", b": comment comment", b"event: xxxxxxxxx"]
)
def test_an_endless_event_is_refused(piece: bytes) -> None:
    parser = SseParser(max_event_bytes=1000)

    with pytest.raises(StreamOverflowError):
        [parser.feed(piece) for _ in range(300)]


def test_a_large_event_in_one_piece_is_refused() -> None:
    with pytest.raises(StreamOverflowError):
        SseParser(max_event_bytes=100).feed(b"data: " + b"x" * 200 + b"\n\n")


def test_many_small_events_are_not_an_endless_one() -> None:
    parser = SseParser(max_event_bytes=100)

    assert len(parser.feed(b"event: e\ndata: 123\n\n" * 1000)) == 1000


def test_what_the_writer_frames_the_parser_reads() -> None:
    assert parsed([frame(b'{"a":1}', b"delta"), frame(b"[DONE]")]) == [
        (b"delta", b'{"a":1}'),
        (b"", b"[DONE]"),
    ]


def slow(data: bytes) -> list[SseEvent]:
    """The standard's algorithm, line by line."""
    text = data.removeprefix(b"\xef\xbb\xbf")
    lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    events: list[SseEvent] = []
    name, values = b"", []
    for line in lines[:-1]:
        if not line:
            if values:
                events.append((name, b"\n".join(values)))
            name, values = b"", []
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            name = value
        elif field == b"data":
            values.append(value)
    return events


@given(
    st.lists(
        st.sampled_from(
            [b"data", b"event", b":", b" ", b"\r", b"\n", b"x", b"\xef\xbb\xbf", b"\xff", b"id:"]
        ),
        max_size=40,
    ),
    st.data(),
)
def test_any_bytes_cut_anywhere_read_as_the_standard_says(
    pieces: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(pieces)
    edges = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    edges = [0, *edges, len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    if stream.endswith(b"\r"):
        chunks.append(b"")

    assert parsed(chunks) == slow(stream)
