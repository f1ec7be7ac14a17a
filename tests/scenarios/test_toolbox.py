"""Deterministic tools run only when the policy allows it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.gateway import Gateway, running_gateway

from interlock.gateway.history import DecisionFilter
from interlock.gateway.toolbox import Toolbox, ToolDeniedError
from interlock.identity.model import KeyInfo
from interlock.tools.running import ToolArgumentsError, ToolRunner

pytestmark = pytest.mark.anyio

_POLICY = """
tool "json_query" { result { @tags |= {"untrusted"}; } session after { @tags |= {"untrusted"}; } }
tool "text_template" { hard deny when "untrusted" in @session.tags; }
"""
_ANN = KeyInfo(
    id="00000000-0000-4000-8000-000000000001",
    account_id="00000000-0000-4000-8000-0000000000aa",
    user_id="00000000-0000-4000-8000-000000000001",
    user_email="ann@example.com",
    label="chat",
    surface="chat",
)
_QUERY = {"document": {"a": 1}, "query": "a"}
_FILL = {"template": "x", "values": {}}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    policy = tmp_path / "tools.sqrt"
    policy.write_text(_POLICY)
    toml = f'[gateway]\npolicy_files = ["{policy}"]\n'
    async with running_gateway(tmp_path / "data", toml=toml) as running:
        yield running


async def test_a_denied_tool_does_not_run_and_the_log_says_why(gateway: Gateway) -> None:
    toolbox = gateway.app.toolbox
    before = await toolbox.invoke(_ANN, "place", "text_template", _FILL)
    await toolbox.invoke(_ANN, "place", "json_query", _QUERY)

    with pytest.raises(ToolDeniedError) as caught:
        await toolbox.invoke(_ANN, "place", "text_template", _FILL)

    assert before.output == {"text": "x", "used": []}
    stored = await gateway.app.store.history.decision(caught.value.decision_id)
    assert stored is not None
    assert (stored.tool, stored.verdict, stored.surface) == ("text_template", "hard_denied", "chat")


async def test_arguments_are_checked_before_anything_is_decided(gateway: Gateway) -> None:
    with pytest.raises(ToolArgumentsError):
        await gateway.app.toolbox.invoke(_ANN, "place", "json_query", {"query": 1})

    await gateway.app.store.recorder.flush(wait_s=5)
    assert await gateway.app.store.history.count(DecisionFilter()) == 0


async def test_a_call_allowed_to_a_model_gives_text_whatever_happens(gateway: Gateway) -> None:
    toolbox: Toolbox = gateway.app.toolbox

    assert await toolbox.run_allowed("math_evaluate", '{"expression":"1+1"}') == (
        '{"result":"2"}',
        False,
    )
    for name, arguments in (
        ("math_evaluate", '{"expression":"1/0"}'),
        ("math_evaluate", "{"),
        ("math_evaluate", "[]"),
        ("shell", "{}"),
    ):
        text, failed = await toolbox.run_allowed(name, arguments)
        assert failed
        assert '"error"' in text


def test_tools_are_offered_as_functions() -> None:
    toolbox = Toolbox(None, ToolRunner())  # type: ignore[arg-type] # asks nobody

    offered = toolbox.offered("math_evaluate")

    assert offered["function"]["parameters"]["required"] == ["expression"]
    assert [one.name for one in toolbox] == sorted(one.name for one in toolbox)
