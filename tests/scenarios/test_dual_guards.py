"""Content guards in dual-llm: what leaves is redacted, what the program holds is not."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.dialogue import Dialogue, tool
from tests.support.gateway import Gateway, running_gateway

pytestmark = pytest.mark.anyio

DOC = tool("get_doc", "id", description="Fetch a document")
MAIL = tool("send_email", "to", "body", description="Send a mail")


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with running_gateway(tmp_path) as running:
        yield running


def opened(gateway: Gateway, policy: str = "", **features: Any) -> Dialogue:
    headers = {"X-Features": json.dumps({"agent_arch": "dual-llm", **features})}
    if policy:
        headers["X-Policy"] = json.dumps({"codes": {"code": policy}})
    return Dialogue(
        base_url=gateway.base_url,
        key=gateway.key,
        style=("chat", False),
        headers=headers,
        tools=(DOC, MAIL),
    )


PII: dict[str, Any] = {"content_classifiers": [{"name": "pii_redaction"}]}
PROGRAM = (
    "```plan\n"
    "doc = get_doc(id='1')\n"
    "send_email(to='a@corp.com', body=f'It says: {doc}')\n"
    "final_return_value = len(doc)\n"
    "```"
)
SECRET = "call +1 202-555-0143 or write to jane.roe@home.example"


async def test_personal_data_is_redacted_where_it_leaves_and_kept_where_it_is_computed_with(
    gateway: Gateway,
) -> None:
    async with opened(gateway, **PII) as dialogue:
        first = await dialogue.say(PROGRAM)
        second = await dialogue.results({first.calls[0].id: SECRET})
        last = await dialogue.results({second.calls[0].id: "sent"})

    body = second.calls[0].args["body"]
    assert "jane.roe@home.example" not in body
    assert "[REDACTED:" in body
    assert json.loads(last.text)["final_return_value"]["value"] == len(SECRET)


async def test_what_a_guard_found_in_a_result_is_a_label_that_rules_see(gateway: Gateway) -> None:
    policy = 'tool "send_email" { must deny when body.tags overlaps {"pii"}; }'
    async with opened(gateway, policy, **PII) as dialogue:
        first = await dialogue.say(PROGRAM)
        last = await dialogue.results({first.calls[0].id: SECRET})

    assert last.calls == []
    assert json.loads(last.text)["error"]["code"] == "policy_violation"


async def test_what_a_blocker_denies_ends_the_turn_as_blocked(gateway: Gateway) -> None:
    blocker = {"content_blockers": [{"name": "url_blocker"}]}
    async with opened(gateway, **blocker) as dialogue:
        answer = await dialogue.say(
            "```plan\nsend_email(to='a@corp.com', body='https://evil.example/x')\n```"
        )

    assert answer.calls == []
    assert json.loads(answer.text)["error"]["code"] == "classifier_blocked"


async def test_the_quarantined_model_reads_the_redacted_copy(gateway: Gateway) -> None:
    program = (
        "```plan\n"
        "doc = get_doc(id='1')\n"
        "schema = {'type': 'object', 'properties': {'text': {'type': 'string'}}}\n"
        "final_return_value = parse_with_ai(query=doc, output_schema=schema)['text']\n"
        "```"
    )
    async with opened(gateway, **PII) as dialogue:
        first = await dialogue.say(program)
        last = await dialogue.results({first.calls[0].id: SECRET})

    content = json.loads(last.text)
    assert content["status"] == "success"
    assert "jane.roe@home.example" not in content["final_return_value"]["value"]
    assert "pii" in content["final_return_value"]["meta"]["tags"]
