"""What passes is passed as it came, whatever the cuts, line ends and decisions."""

import json
from typing import Any

import pytest
from relay_driving import FORMATS, Client, bytewise, events, none, ours, relayed
from tests.support.stream_corpus import FAILURES, SCENARIOS, Failure, Scenario, reframe

from interlock.providers.wire.exchange import Failed, FormatName, Forward

PAIRS = [(name, s) for name in FORMATS for s in SCENARIOS.values()]
IDS = [f"{name}-{s.name}" for name, s in PAIRS]
SILENT = [(name, s) for name, s in PAIRS if not s.calls and s.name != "unicode"]


def without_pings(found: list[Any]) -> list[Any]:
    """Pings do not wait behind a held call, so their place may differ."""
    return [event for event in found if event == "[DONE]" or event.get("type") != "ping"]


@pytest.mark.parametrize(("name", "scenario"), SILENT, ids=[f"{n}-{s.name}" for n, s in SILENT])
def test_a_stream_without_calls_goes_out_byte_for_byte(
    name: FormatName, scenario: Scenario
) -> None:
    sse = scenario.recorded(name).sse

    assert relayed(name, [sse]) == sse


@pytest.mark.parametrize(("name", "scenario"), PAIRS, ids=IDS)
def test_cutting_a_stream_into_single_bytes_changes_nothing(
    name: FormatName, scenario: Scenario
) -> None:
    sse = scenario.recorded(name).sse

    assert relayed(name, bytewise(sse)) == relayed(name, [sse])


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("scenario", ["unicode", "reasoning_and_calls"])
def test_every_single_cut_gives_the_same_bytes(
    name: FormatName, scenario: str, native: bool
) -> None:
    sse = SCENARIOS[scenario].recorded(name).sse
    whole = relayed(name, [sse], native=native)

    for at in range(0, len(sse), 1 if scenario == "unicode" else 3):
        assert relayed(name, [sse[:at], sse[at:]], native=native) == whole, at


@pytest.mark.parametrize("newline", [b"\r\n", b"\r"])
@pytest.mark.parametrize(("name", "scenario"), PAIRS, ids=IDS)
def test_line_ends_marks_and_comments_of_the_upstream_do_not_matter(
    name: FormatName, scenario: Scenario, newline: bytes
) -> None:
    sse = scenario.recorded(name).sse
    odd = reframe(sse, newline, bom=True, comments=True)

    assert events(relayed(name, [odd])) == events(relayed(name, [sse]))
    assert events(relayed(name, bytewise(odd))) == events(relayed(name, [sse]))


@pytest.mark.parametrize(("name", "scenario"), PAIRS, ids=IDS)
def test_allowed_calls_change_nothing_but_their_ids(name: FormatName, scenario: Scenario) -> None:
    sse = scenario.recorded(name).sse
    expected = events(sse)
    text = json.dumps(expected)
    for call in scenario.calls:
        text = text.replace(f'"{call.id}"', f'"tc-{call.id}"')

    got = events(relayed(name, [sse]))

    # Chat holds calls per choice, so alternating fragments come out call by call.
    def order(event: Any) -> str:
        return json.dumps(event, sort_keys=True)

    if name == "chat" and scenario.interleaved:
        assert sorted(map(order, got)) == sorted(map(order, json.loads(text)))
    else:
        assert without_pings(got) == without_pings(json.loads(text))


@pytest.mark.parametrize(("name", "scenario"), PAIRS, ids=IDS)
def test_every_call_is_held_whole_with_its_name_and_arguments(
    name: FormatName, scenario: Scenario
) -> None:
    reader = Client(name).read([scenario.recorded(name).sse])

    assert [(c.id, c.name, json.loads(c.arguments)) for c in reader.calls] == [
        (c.id, c.name, json.loads(c.arguments)) for c in scenario.calls
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_no_byte_of_a_call_leaves_before_it_is_decided(name: FormatName) -> None:
    sse = SCENARIOS["parallel_calls"].recorded(name).sse
    reader = Client(name).read(bytewise(sse), none)

    for trace in (b"call_w1", b"get_weather", b"call_m2", b"send_email", b"a@x.org"):
        assert trace not in reader.out
        assert trace not in reader.close()


@pytest.mark.parametrize("failure", FAILURES, ids=lambda f: f"{f.format}-{f.name}")
def test_a_broken_stream_fails_once_and_never_looks_finished(failure: Failure) -> None:
    for chunks in ([failure.sse], bytewise(failure.sse)):
        reader = Client(failure.format).read(chunks)

        assert isinstance(reader.end, Failed)
        expected = "upstream_truncated" if failure.name == "cut_inside" else failure.code
        assert reader.end.fault.code == expected
        reader.close()
        assert b"[DONE]" not in reader.out
        assert b'"message_stop"' not in reader.out
        assert b'"response.completed"' not in reader.out
        assert reader.relay.feed(b"data: {}\n\n") == []


@pytest.mark.parametrize("name", FORMATS)
def test_id_and_retry_lines_are_left_out(name: FormatName) -> None:
    sse = SCENARIOS["text_and_call"].recorded(name).sse
    odd = sse.replace(b"data: ", b"id: 7\nretry: 9\ndata: ")

    assert events(relayed(name, [odd])) == events(relayed(name, [sse]))


@pytest.mark.parametrize("name", FORMATS)
def test_text_leaves_in_the_same_call_it_came_in(name: FormatName) -> None:
    sse = SCENARIOS["long"].recorded(name).sse
    blocks = [block + b"\n\n" for block in sse.split(b"\n\n") if block]
    relay = Client(name).relay
    for block in blocks:
        steps = relay.feed(block)
        if b"word" in block and b"word1 word2" not in block:
            assert steps == [Forward(data=block)]


def test_text_after_a_held_call_waits_for_its_number() -> None:
    sse = SCENARIOS["text_and_call"].messages.sse
    call = sse[
        sse.index(b'event: content_block_start\ndata: {"type": "content_block_start", "index": 1') :
    ]
    call = call[: call.index(b"event: message_delta")]
    text = call.replace(b'"index": 1', b'"index": 2')
    first = events(text)[0]
    first["content_block"] = {"type": "text", "text": ""}
    late = (
        f"event: content_block_start\ndata: {json.dumps(first)}\n\n"
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":2,'
        '"delta":{"type":"text_delta","text":"late"}}\n\n'
        'event: content_block_stop\ndata: {"type":"content_block_stop","index":2}\n\n'
    ).encode()
    whole = sse.replace(b"event: message_delta", late + b"event: message_delta")

    kept = events(relayed("messages", [whole], ours))
    dropped = events(relayed("messages", [whole], none))

    assert [e["index"] for e in kept if "index" in e][-3:] == [2, 2, 2]
    assert [e["index"] for e in dropped if "index" in e][-3:] == [1, 1, 1]
    assert [e["delta"]["text"] for e in dropped if e["type"] == "content_block_delta"][-1] == "late"
