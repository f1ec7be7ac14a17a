"""What is sent, and the upstream that answers it."""

import json
import re
from pathlib import Path

from benchmarks.rig import upstream
from benchmarks.rig.load import _lua, lua_request
from benchmarks.rig.policy import RULES, policy_header, policy_text
from benchmarks.rig.upstream import ENDPOINTS, nginx_configuration
from benchmarks.rig.workloads import WORKLOADS, Target
from hypothesis import given
from hypothesis import strategies as st


def test_the_policy_has_as_many_check_rules_as_it_says() -> None:
    rules = re.findall(r"\b(?:hard|must|should|soft) (?:allow|deny)\b", policy_text())

    assert len(rules) == RULES == 50


def test_the_policy_header_is_one_ascii_line_of_json() -> None:
    value = policy_header()["X-Policy"]

    assert value.isascii()
    assert "\n" not in value
    assert json.loads(value)["codes"] == {"code": policy_text(), "language": "sqrt"}


def test_every_body_names_the_model_and_streams_only_when_asked() -> None:
    for workload in WORKLOADS.values():
        body = json.loads(workload.body("m"))
        assert body["model"] == "m"
        assert body.get("stream", False) is workload.stream
        assert bool(body.get("tools")) is workload.tools
        assert ("system" in body) is (workload.dialect == "messages")


def test_every_endpoint_has_its_own_port_and_is_in_the_configuration() -> None:
    text = nginx_configuration(Path("/scratch"), Path("/echo.so"))

    assert len({endpoint.port for endpoint in ENDPOINTS}) == len(ENDPOINTS)
    for endpoint in ENDPOINTS:
        assert f"listen 127.0.0.1:{endpoint.port} " in text
    assert text.count("{") == text.count("}")


def test_the_tool_stream_spells_the_arguments_in_fragments() -> None:
    events = [json.loads(event) for event in upstream._tool_events("m", upstream.BURST_EVENTS)]
    pieces = [
        call["function"]["arguments"]
        for event in events
        for call in event["choices"][0]["delta"].get("tool_calls", [])
    ]

    assert len(events) == upstream.BURST_EVENTS
    assert "".join(pieces) == upstream.TOOL_ARGUMENTS
    assert sum(1 for piece in pieces if piece) > 20


def test_the_request_reaches_wrk_as_a_table() -> None:
    target = Target(base="http://x", path="/p", model="m", headers={"X-Policy": '{"a":"b"}'})
    text = lua_request(WORKLOADS["json"], target)

    assert text.startswith("return {")
    assert '["X-Policy"] = "{\\"a\\":\\"b\\"}",' in text


@given(st.text())
def test_a_lua_literal_is_ascii_without_bare_quotes_or_line_ends(text: str) -> None:
    literal = _lua(text)

    assert literal.isascii()
    assert literal.isprintable()
    decoded = re.sub(
        r"\\(\d{3}|.)",
        lambda m: chr(int(m[1])) if m[1].isdigit() else m[1],
        literal[1:-1],
    )
    assert decoded.encode("latin-1").decode() == text
