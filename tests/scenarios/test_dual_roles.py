"""What the models of a turn are asked, what is told of their thoughts, and what they cost."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.support.demo_server import demo_server
from tests.support.dual_talk import DualTalk, Tools, function, plan
from tests.support.gateway import Gateway, running_gateway
from tests.support.role_faults import RoleFaults

pytestmark = pytest.mark.anyio

PATH = "/control/chat/roles/v1/"


@dataclass(slots=True, kw_only=True)
class Site:
    """A gateway, and a model whose answers are given by role."""

    gateway: Gateway
    upstream: RoleFaults

    def talk(self, config: dict[str, Any], **given: Any) -> DualTalk:
        return DualTalk(
            http=self.gateway.http,
            key=self.gateway.key,
            path=f"{PATH}chat/completions",
            headers={"x-config": json.dumps(config), **given.pop("headers", {})},
            **given,
        )

    def asked(self, role: str) -> list[dict[str, Any]]:
        """The bodies a role was asked with."""
        return [json.loads(body) for name, body in self.upstream.asked if name == role]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for the module, because the server lives in it."""
    return "asyncio"


@pytest.fixture(scope="module")
async def running(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    upstream = RoleFaults()
    with demo_server(upstream) as origin:
        toml = f'[providers.roles]\nbase_url = "{origin}/v1"\napi_key = "sk-roles-0001"\n'
        async with running_gateway(tmp_path_factory.mktemp("roles"), toml=toml) as gateway:
            yield Site(gateway=gateway, upstream=upstream)


@pytest.fixture
def site(running: Site) -> Site:
    """The site with a model that has been asked nothing."""
    running.upstream.says, running.upstream.asked = {}, []
    return running


def program(code: str, thought: str = "") -> str:
    """A planner's answer."""
    return f"{thought}\n```python\n{code}\n```"


# Thoughts


def told(text: str) -> tuple[list[str], str]:
    """Thoughts and content of a streamed chat answer, whose first event must open it."""
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    deltas = [event["choices"][0]["delta"] for event in events if event["choices"]]
    assert deltas[0]["role"] == "assistant"
    thoughts = [delta["reasoning_content"] for delta in deltas if "reasoning_content" in delta]
    return thoughts, "".join(delta.get("content", "") for delta in deltas)


async def test_thoughts_are_streamed_before_the_bare_answer(site: Site) -> None:
    wanted = {"stream_thoughts": True, "strip_response_content": True}
    site.upstream.says["pllm"] = program("final_return_value = 'x' * 100", "I count.")
    asked = site.talk({"response_format": wanted}, body={"stream": True})

    answer = await asked.say("Go")

    assert told(answer.text) == (["I count."], "x" * 100)


async def test_thoughts_stay_away_when_nobody_asked_for_them(site: Site) -> None:
    site.upstream.says["pllm"] = program("final_return_value = 1", "I count.")

    answer = await site.talk({}, body={"stream": True}).say("Go")

    assert told(answer.text)[0] == []


async def test_a_turn_that_ends_with_thoughts_before_the_next_begins_is_one_stream(
    site: Site,
) -> None:
    site.upstream.says["pllm"] = [
        program("get_doc()\n1 / 0"),
        program("final_return_value = 1", "Again."),
        program("final_return_value = 2", "The next."),
    ]
    config = {"response_format": {"stream_thoughts": True}}
    asked = site.talk(config, tools={"get_doc": lambda: ""})
    await asked.say("Go")
    asked.messages.append(
        {"role": "tool", "tool_call_id": asked.calls[0]["id"], "content": "a document"}
    )
    asked.body["stream"] = True

    answer = await asked.say("And more")

    thoughts, content = told(answer.text)
    assert "".join(thoughts) == "Again.\nThe next."
    assert json.loads(content)["final_return_value"]["value"] == 2


async def test_no_turn_begins_after_the_last_one_however_it_is_asked_for(site: Site) -> None:
    site.upstream.says["pllm"] = program("get_doc()\nfinal_return_value = 1")
    asked = site.talk({"fsm": {"max_n_turns": 1}}, tools={"get_doc": lambda: ""})
    await asked.say("Go")
    result = {"role": "tool", "tool_call_id": asked.calls[0]["id"], "content": "a document"}
    asked.messages.append(result)
    asked.body["stream"] = True

    refused = await asked.say("And more")
    asked.messages.pop()
    goes_on = await asked.post()

    assert refused.status_code == 404
    assert json.loads(told(goes_on.text)[1])["final_return_value"]["value"] == 1


# Sampling


@pytest.mark.parametrize(
    ("role_seed", "body_seed", "seeds"),
    [(None, None, [None, 1, 2]), (None, 1, [1, 2, 3]), (7, 1, [7, 8, 9])],
)
async def test_every_repeat_of_a_planner_has_another_seed(
    site: Site, role_seed: int | None, body_seed: int | None, seeds: list[int | None]
) -> None:
    config = {"fsm": {"n_pllm_plans": 3}, "llm": {"pllm": {"seed": role_seed}}}

    await site.talk(config, body={"seed": body_seed}).run(plan("final_return_value = 1"))

    assert sorted((one.get("seed") for one in site.asked("pllm")), key=lambda x: x or 0) == seeds


# Plans that are not whole


async def test_half_a_plan_is_not_run(site: Site) -> None:
    whole = "\n".join(["# of many words", *(f"send(body='{n}')" for n in range(40))])
    asked = site.talk({"fsm": {"max_pllm_steps": 2}}, tools={"send": lambda body: "sent"})
    asked.body["max_tokens"] = 60

    found = await asked.run(plan(whole))

    assert found["error"] == {
        "code": "planner_error",
        "message": "the planner's answer was cut off at its token limit",
    }
    assert asked.ran == []
    first, second = site.asked("pllm")
    assert len(second["messages"]) == len(first["messages"]) + 2
    assert "cut off at its token limit" in second["messages"][-1]["content"]


async def test_half_a_generated_policy_is_dropped(site: Site) -> None:
    asking = "\n".join(["Never call send.", plan("final_return_value = send(body='x')")])
    tools: Tools = {"send": lambda body: "sent"}
    generated = {"x-policy": json.dumps({"auto_gen": True})}
    short = {"llm": {"policy_llm": {"max_completion_tokens": 30}}}

    obeyed = await site.talk({}, tools=tools, headers=generated).run(asking)
    cut = await site.talk(short, tools=tools, headers=generated).run(asking)

    assert obeyed["error"]["code"] == "policy_violation"
    assert cut["final_return_value"]["value"] == "sent"
    assert len(site.asked("policy_llm")) == 1 + 4
    assert "cut off at its token limit" in site.upstream.asked[-2][1]


# Usage


async def test_every_model_asked_counts_in_the_usage(site: Site) -> None:
    guard = {"name": "finance_topic_guardrail", "threshold": 0.9}
    features = {"agent_arch": "dual-llm", "content_classifiers": [guard]}
    headers = {"x-features": json.dumps(features)}
    site.upstream.says = {
        "pllm": program("final_return_value = send(body='my bank account and a loan')"),
        "tllm": '{"tools": ["send"]}',
        "tagllm": '{"score": 0.0}',
    }
    asked = site.talk(
        {"fsm": {"min_num_tools_for_filtering": 2}},
        definitions=[function("send", "body"), function("get_doc")],
        headers=headers,
    )

    answer = await asked.say("Go")

    roles = [role for role, _ in site.upstream.asked]
    assert roles[:2] == ["tllm", "pllm"]
    assert set(roles[2:]) == {"tagllm"}
    assert answer.json()["usage"]["total_tokens"] == 2 * len(roles)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_tool_filter_of_single_llm_counts_too_and_is_the_one_model(
    site: Site, stream: bool
) -> None:
    body = {
        "model": "one, other",
        "messages": [{"role": "user", "content": "Hello"}],
        "tools": [function("send"), function("get_doc")],
        **({"stream": True, "stream_options": {"include_usage": True}} if stream else {}),
    }
    config = json.dumps({"fsm": {"min_num_tools_for_filtering": 2}})
    site.upstream.says["tllm"] = '{"tools": ["send"]}'

    plain = await site.gateway.post(f"{PATH}chat/completions", body)
    filtered = await site.gateway.post(f"{PATH}chat/completions", body, x_config=config)

    assert [one["model"] for one in site.asked("tllm")] == ["one"]
    without_tool = _tokens(filtered.text) - 2
    assert 0 < without_tool < _tokens(plain.text)


def _tokens(text: str) -> int:
    lines = [line.removeprefix("data: ") for line in text.splitlines()]
    objects = [json.loads(line) for line in lines if line.startswith("{")]
    total: int = next(one["usage"]["total_tokens"] for one in objects if one.get("usage"))
    return total
