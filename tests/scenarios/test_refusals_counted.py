"""Refused requests and open streams show in the metrics."""

from pathlib import Path

import pytest
from tests.support.gateway import running_gateway

pytestmark = pytest.mark.anyio


async def test_requests_that_are_refused_are_counted_by_their_code(tmp_path: Path) -> None:
    async with running_gateway(tmp_path) as gateway:
        path = "/control/chat/demo/v1/chat/completions"
        body = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}

        refused = await gateway.post(path, body, authorization="Bearer sq-unknown-key-000000")
        wrong = await gateway.post(path, body, x_policy="{")
        streamed = {
            "model": "demo",
            "stream": True,
            "messages": [{"role": "user", "content": "hello"}],
        }
        answered = await gateway.post(path, streamed)
        metrics = (await gateway.http.get("/metrics")).text

    assert (refused.status_code, wrong.status_code, answered.status_code) == (401, 400, 200)
    assert 'interlock_rejected_requests_total{code="invalid_api_key"} 1.0' in metrics
    assert 'interlock_rejected_requests_total{code="invalid_header"} 1.0' in metrics
    assert "\ninterlock_open_streams 0.0" in metrics
