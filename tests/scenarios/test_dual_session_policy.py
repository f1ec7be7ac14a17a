"""Policy a planner adds to its own session (`set_policy`): it may restrict, never loosen.

Source: gateway.md section 10.6.
"""

import json
from collections.abc import AsyncIterator

import pytest
from tests.support.dual_talk import DualTalk, Tools, plan, policy
from tests.support.gateway import Gateway, running_gateway

pytestmark = pytest.mark.anyio

POLICY = """
tool "get_doc" -> @tags |= {"secret"};
tool "send" { should deny when body.tags overlaps {"secret"}; }
"""
CONFIG = json.dumps({"fsm": {"enabled_internal_tools": ["set_policy"], "max_pllm_steps": 1}})


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for the module, because the server lives in it."""
    return "asyncio"


@pytest.fixture(scope="module")
async def gateway(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    async with running_gateway(tmp_path_factory.mktemp("session-policy")) as running:
        yield running


def talk(gateway: Gateway) -> DualTalk:
    tools: Tools = {"get_doc": lambda: "numbers", "send": lambda body: "sent"}
    headers = {**policy(POLICY), "x-config": CONFIG}
    return DualTalk(http=gateway.http, key=gateway.key, tools=tools, headers=headers)


def adding(code: str, then: str) -> str:
    """A program that adds policy code, remembers what came of it, and goes on."""
    return plan(
        f"said = 'added'\ntry:\n    set_policy(code={code!r})\n"
        f"except ValueError as error:\n    said = str(error)\n{then}\nfinal_return_value = said"
    )


@pytest.mark.parametrize(
    "code",
    [
        'tool "send" { must allow always; }',
        'tool "send" { priority 9; should allow always; }',
        'tool "get_doc" -> @tags -= {"secret"};',
        'tool "get_doc" { result { @tags = {}; } }',
        'tool "get_doc" { session after { @tags -= {"secret"}; } }',
    ],
)
async def test_what_would_loosen_the_policy_is_a_value_error(gateway: Gateway, code: str) -> None:
    asked = talk(gateway)

    told = await asked.run(adding(code, ""))
    found = await asked.run(adding(code, "send(body=get_doc())"))

    assert "can loosen the policy" in told["final_return_value"]["value"]
    assert found["error"]["code"] == "policy_violation"
    assert asked.ran == [("get_doc", {})]


async def test_what_is_no_policy_is_a_value_error(gateway: Gateway) -> None:
    found = await talk(gateway).run(adding("nonsense", ""))

    assert found["final_return_value"]["value"].startswith("set_policy: ")


async def test_a_rule_that_restricts_holds_for_the_rest_of_the_session(gateway: Gateway) -> None:
    asked = talk(gateway)
    rule = 'tool "send" { must deny when body.value == "x"; }'

    added = await asked.run(adding(rule, ""))
    asked.headers["x-session-id"] = asked.session
    denied = await asked.run(plan("send(body='x')"))
    allowed = await asked.run(plan("final_return_value = send(body='y')"))

    assert added["final_return_value"]["value"] == "added"
    assert "'send' is denied" in denied["error"]["message"]
    assert allowed["final_return_value"]["value"] == "sent"
