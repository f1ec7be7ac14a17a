import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from interlock.telemetry.logs import bind_request, configure_logs
from interlock.telemetry.settings import TelemetrySettings


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    found = io.StringIO()
    configure_logs(TelemetrySettings(), stream=found)
    yield found
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_the_request_it_belongs_to(stream: io.StringIO) -> None:
    log = structlog.get_logger("interlock.test")
    with bind_request("req_1"):
        log.info("answered", status=200)
    log.info("idle")

    first, second = lines(stream)
    first.pop("timestamp")
    assert first == {
        "event": "answered",
        "level": "info",
        "logger": "interlock.test",
        "request_id": "req_1",
        "status": 200,
    }
    assert "request_id" not in second


def test_secrets_are_masked_in_members_texts_and_tracebacks(stream: io.StringIO) -> None:
    secret = "sq-" + "s3cret" * 7
    try:
        raise ValueError(f"bad key {secret}")
    except ValueError:
        structlog.get_logger("t").exception("failed", api_key="plain", url=f"x?key={secret}")

    text = stream.getvalue()
    assert "ValueError" in text
    assert secret not in text
    assert "plain" not in text


def test_lines_of_libraries_have_the_same_form_and_are_masked(stream: io.StringIO) -> None:
    logging.getLogger("some.library").warning("using Bearer %s", "abcdefgh12345")

    (line,) = lines(stream)
    assert (line["logger"], line["level"]) == ("some.library", "warning")
    assert line["event"] == "using Bearer [secret]"


def test_lines_below_the_level_cost_nothing_and_are_not_written(stream: io.StringIO) -> None:
    structlog.get_logger("t").debug("noise")
    logging.getLogger("sqlalchemy.engine").info("SELECT 1")

    assert stream.getvalue() == ""
