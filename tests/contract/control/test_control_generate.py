"""Policy generation: the typed client, raw HTTP, and a model that needs several tries."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from sequrity import AsyncSequrityClient, SequrityAPIError, SequrityClient
from sequrity.control.types.policy_gen import (
    PolicyGenRequestAnthropicMessages,
    PolicyGenRequestOaiResponses,
    PolicyGenRequestOpenAiChatCompletion,
    PolicyGenRequestOpenRouterChatCompletion,
    PolicyGenRequestSequrityAzureChatCompletion,
    PolicyGenRequestSequrityAzureResponses,
)
from tests.support.control_site import SERVER_KEYS, Site
from tests.support.fault_site import all_records, records, running_fault_site
from tests.support.gateway import Gateway, running_gateway
from tests.support.raw_client import post, raw_client
from tests.support.requirements import requirement
from tests.support.scripted_upstream import Answer, ScriptedUpstream, answers, upstream

from interlock.identity.model import KeyLimits
from interlock.policy.compiled import compile_policy
from interlock.policy.model import Caller, PolicySource, Presets, Session, ToolCall

pytestmark = pytest.mark.anyio

PATH = "/control/policy-gen/v1/generate"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"to": {"type": "string"}, "body": {"type": "string"}},
    "required": ["to"],
}
CHAT: Any = {"type": "function", "function": {"name": "send_email", "parameters": SCHEMA}}
MESSAGES: Any = {"name": "send_email", "input_schema": SCHEMA}
RESPONSES: Any = {"type": "function", "name": "send_email", "parameters": SCHEMA}
ASKED: Any = "Only allow mail to addresses ending in @company.com."
REQUESTS: list[Any] = [
    PolicyGenRequestOpenAiChatCompletion(model="demo", description=ASKED, tools=[CHAT]),
    PolicyGenRequestOpenRouterChatCompletion(model="demo", description=ASKED, tools=[CHAT]),
    PolicyGenRequestAnthropicMessages(model="demo", description=ASKED, tools=[MESSAGES]),
    PolicyGenRequestSequrityAzureChatCompletion(model="demo", description=ASKED, tools=[CHAT]),
    PolicyGenRequestSequrityAzureResponses(model="demo", description=ASKED, tools=[RESPONSES]),
    PolicyGenRequestOaiResponses(model="demo", description=ASKED, tools=[RESPONSES]),
]
ROUTES = {
    "oai_chat_completion": "openai",
    "openrouter_chat_completion": "openrouter",
    "anthropic_messages": "anthropic",
    "sequrity_azure_chat_completion": "sequrity_azure",
    "sequrity_azure_responses": "sequrity_azure",
    "oai_responses": "openrouter",
}


def body(**more: Any) -> dict[str, Any]:
    return {
        "type": "oai_chat_completion",
        "model": "demo",
        "description": ASKED,
        "tools": [CHAT],
        **more,
    }


def allowed(code: str, tool: str, **args: Any) -> bool:
    compiled = compile_policy(
        [PolicySource(name="reply", text=code)], presets=Presets(), caller=Caller()
    )
    return compiled.decide(ToolCall(tool=tool, args=args), Session()).verdict.allowed


def is_the_policy(code: str) -> bool:
    return (
        allowed(code, "send_email", to="ann@company.com")
        and not allowed(code, "send_email", to="eve@evil.example")
        and "/// Only allow mail to addresses ending in @company.com" in code
    )


def chat_answer(text: str, *, usage: tuple[int, int] | None = (100, 10)) -> Answer:
    """What an OpenAI model says."""
    tree: dict[str, Any] = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
            }
        ],
    }
    if usage is not None:
        tree["usage"] = {
            "prompt_tokens": usage[0],
            "completion_tokens": usage[1],
            "total_tokens": sum(usage),
        }
    return answers(json.dumps(tree).encode())


# The typed client


@requirement("control.typed.generate", "control.generate.types", "control.generate.comments")
@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: str(request.type))
async def test_the_typed_client_gets_a_policy_for_every_type(site: Site, request_: Any) -> None:
    async with AsyncSequrityClient(api_key=site.key, base_url=site.base_url) as client:
        answer = await client.control.policy.generate(request_)

    def sync() -> Any:
        with SequrityClient(api_key=site.key, base_url=site.base_url) as other:
            return other.control.policy.generate(request_)

    same = await anyio.to_thread.run_sync(sync)

    assert is_the_policy(answer.policies)
    assert same == answer
    assert set(answer.usage) == {"prompt_tokens", "completion_tokens", "total_tokens"}
    assert answer.usage["prompt_tokens"] > 0 < answer.usage["completion_tokens"]
    keys = [dict(one.headers) for one in site.upstream.asked[-2:]]
    assert all(SERVER_KEYS[ROUTES[request_.type]] in str(headers) for headers in keys)


@requirement("control.typed.generate", "control.generate.access")
async def test_the_typed_client_may_send_a_dict_and_its_own_provider_key(site: Site) -> None:
    async with AsyncSequrityClient(api_key=site.key, base_url=site.base_url) as client:
        answer = await client.control.policy.generate(
            {
                "type": "anthropic_messages",
                "model": "any",
                "description": ASKED,
                "tools": [MESSAGES],
            },
            llm_api_key="sk-callers-own-0001",
            custom_headers={"X-Trace": "1"},
        )

    assert is_the_policy(answer.policies)
    assert "sk-callers-own-0001" in str(dict(site.upstream.last.headers))
    assert SERVER_KEYS["anthropic"] not in str(dict(site.upstream.last.headers))


@requirement("control.typed.generate", "control.generate.failed")
async def test_the_typed_client_reads_why_there_is_no_policy(site: Site) -> None:
    async with AsyncSequrityClient(api_key=site.key, base_url=site.base_url) as client:
        with pytest.raises(SequrityAPIError) as caught:
            await client.control.policy.generate(
                {"type": "oai_chat_completion", "model": "demo", "description": "Be nice."}
            )

    assert caught.value.status_code == 422
    assert "no usable policy after 4 tries: the policy has no rule" in caught.value.message


# The reply


@requirement("control.generate.reply")
async def test_the_reply_has_two_keys_and_no_session(site: Site) -> None:
    answer = await site.gateway.post(PATH, body(type="openrouter_chat_completion"))

    tree = answer.json()
    assert answer.status_code == 200
    assert list(tree) == ["policies", "usage"]
    assert list(tree["usage"]) == ["prompt_tokens", "completion_tokens", "total_tokens"]
    assert all(type(count) is int for count in tree["usage"].values())
    usage = tree["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert "x-session-id" not in answer.headers
    assert answer.headers["x-request-id"].startswith("req_")


@requirement("control.generate.types")
@pytest.mark.parametrize("provider", ["openai/", "anthropic/", "sequrity_azure/", "demo/", ""])
@pytest.mark.parametrize(
    ("type_", "tool"),
    [
        ("oai_chat_completion", CHAT),
        ("anthropic_messages", MESSAGES),
        ("oai_responses", RESPONSES),
    ],
)
async def test_the_type_says_nothing_about_the_provider(
    site: Site, provider: str, type_: str, tool: Any
) -> None:
    answer = await site.gateway.post(
        f"/control/policy-gen/{provider}v1/generate", body(type=type_, tools=[tool])
    )

    assert answer.status_code == 200, answer.text
    assert is_the_policy(answer.json()["policies"])


@requirement("control.generate.types")
async def test_tools_have_the_names_their_calls_are_decided_under(site: Site) -> None:
    group = {"type": "namespace", "name": "mail", "description": "Mail", "tools": [RESPONSES]}
    answer = await site.gateway.post(
        "/control/policy-gen/openai/v1/generate",
        body(
            type="oai_responses",
            tools=[group, {"type": "web_search"}],
            description="Never use mail.send_email. Block web_search.",
        ),
    )

    code = answer.json()["policies"]
    assert not allowed(code, "mail.send_email", to="x")
    assert not allowed(code, "web_search")
    assert allowed(code, "send_email")


@requirement("control.generate.compiles")
async def test_internal_tools_are_declared_when_they_are_named(site: Site) -> None:
    asked = body(tools=[], description="Never use parse_with_ai", n_retries=0)
    with_it = await site.gateway.post(PATH, {**asked, "internal_tool_names": ["parse_with_ai"]})
    without = await site.gateway.post(
        PATH, {**asked, "internal_tool_names": ["verify_hypothesis", "set_policy"]}
    )

    assert not allowed(with_it.json()["policies"], "parse_with_ai")
    assert without.status_code == 422


@requirement("control.generate.offline")
async def test_a_server_without_any_provider_still_writes_policies(tmp_path: Path) -> None:
    described = (
        "Mail goes only to @corp.example, never send mail after reading a page.\n"
        "- Payments above 1,000 need approval\n- forbid delete_file, allow read_page"
    )
    tools = [
        {"name": name, "input_schema": {"type": "object", "properties": properties}}
        for name, properties in {
            "send_email": {"to": {"type": "string"}},
            "read_page": {"url": {"type": "string"}},
            "pay": {"amount": {"type": "number"}},
            "delete_file": {"path": {"type": "string"}},
        }.items()
    ]
    async with running_gateway(tmp_path) as gateway:
        answer = await gateway.post(
            PATH, body(type="anthropic_messages", description=described, tools=tools)
        )

    code = answer.json()["policies"]
    assert allowed(code, "send_email", to="ann@corp.example")
    assert not allowed(code, "send_email", to="ann@evil.example")
    assert 'must deny when @session.tags overlaps {"after read_page"};' in code
    assert "should deny when amount.value in {float 1000<..};" in code
    assert not allowed(code, "delete_file", path="/tmp/x")
    assert allowed(code, "read_page", url="http://a.example")
    assert "// not covered" not in code


# Several tries


async def generated(
    folder: Path, script: Sequence[Answer], **more: Any
) -> tuple[Any, ScriptedUpstream, list[Any]]:
    """The answer, the model behind it, and what the ledger says."""
    async with upstream(*script) as model:
        toml = (
            f'[providers.openai]\nbase_url = "{model.origin}/v1"\napi_key = "sk-o-0000001"\n'
            'formats = ["chat"]\nretries = { attempts = 0 }\n'
        )
        async with running_gateway(folder, toml=toml) as gateway:
            answer = await gateway.post(
                "/control/policy-gen/openai/v1/generate", body(model="gpt-5", **more)
            )
            request_id = answer.headers["x-request-id"]
            rows = (await records(gateway, [request_id]))[request_id]
    return answer, model, rows


GOOD = 'tool "send_email" { must deny when not to.value in {str like w"*@company.com"}; }'
SYNTAX = 'tool "send_email" { must deny if to.value }'
UNKNOWN_TOOL = 'tool "send_mail" { must deny always; }'
UNKNOWN_ARGUMENT = (
    'let bad = recipient.value == "x"; tool r"send_.*" { must deny when bad or recipient.tags '
    'overlaps {"x"}; }'
)


@requirement("control.generate.retries", "control.generate.compiles", "control.generate.comments")
async def test_what_is_wrong_goes_back_to_the_model_until_it_compiles(tmp_path: Path) -> None:
    wrong = [SYNTAX, UNKNOWN_TOOL, UNKNOWN_ARGUMENT]
    script = [
        chat_answer(f"Sure!\n```sqrt\n{code}\n```\nHope it helps.", usage=(100 + i, 10 + i))
        for i, code in enumerate([*wrong, GOOD])
    ]
    answer, model, rows = await generated(tmp_path, script)

    tree = answer.json()
    assert answer.status_code == 200, answer.text
    assert is_the_policy(tree["policies"])
    assert tree["usage"] == {"prompt_tokens": 406, "completion_tokens": 46, "total_tokens": 452}
    asked = [json.loads(one.body)["messages"][-1]["content"] for one in model.seen]
    assert len(asked) == 4
    assert all(f"<description>\n{ASKED}" in text for text in asked)
    assert SYNTAX not in asked[0]
    assert SYNTAX in asked[1]
    assert "line 1" in asked[1]
    assert "no declared tool is called `send_mail`" in asked[2]
    assert "`send_.*` has no argument `recipient`" in asked[3]
    assert [(row["role"], row["status"], row["input_tokens"]) for row in rows] == [
        ("policy_llm", 200, 100),
        ("policy_llm", 200, 101),
        ("policy_llm", 200, 102),
        ("policy_llm", 200, 103),
    ]
    assert {row["endpoint"] for row in rows} == {"policy-gen/generate"}


@requirement("control.generate.failed", "control.generate.retries")
@pytest.mark.parametrize("retries", [0, 2])
async def test_without_a_usable_answer_the_last_compiler_error_is_told(
    tmp_path: Path, retries: int
) -> None:
    script = [chat_answer(f"```\n{SYNTAX}\n```")] * retries + [chat_answer(UNKNOWN_TOOL)]
    answer, model, rows = await generated(tmp_path, script, n_retries=retries)

    tree = answer.json()
    assert answer.status_code == 422
    assert tree["error"]["code"] == "policy_generation_failed"
    assert tree["error"]["type"] == "invalid_request_error"
    assert "no declared tool is called `send_mail`" in tree["detail"]
    assert "must deny always" in tree["detail"]
    assert tree["error"]["details"]["tries"] == retries + 1
    assert tree["error"]["details"]["usage"]["prompt_tokens"] == 100 * (retries + 1)
    assert len(model.seen) == len(rows) == retries + 1


@requirement("control.generate.compiles")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "I cannot help with that.",
        "tool",
        "```sqrt\n```",
        '```sqrt\ntool "send_email" { }\n```',
        '```sqrt\nlet x = {"a"};\n```',
        '```sqrt\ntool "send_email" { must deny when @caller.user overlaps {"x"}; }\n```',
        "(" * 50_000,
        'tool "send_email" { must deny when ' + "not " * 60_000 + "to.value == 1; }",
        '```sqrt\ntool "send_email" { must deny when to.value in {r"(?=x)"}; }\n```',
    ],
)
async def test_no_answer_of_a_model_becomes_a_policy_that_does_not_hold(
    tmp_path: Path, text: str
) -> None:
    answer, _, _ = await generated(tmp_path, [chat_answer(text)], n_retries=0)

    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["code"] == "policy_generation_failed"


@requirement("control.generate.retries")
async def test_a_pattern_that_matches_one_text_only_is_asked_about_once(tmp_path: Path) -> None:
    doubtful = 'tool "send_email" { must deny when to.value in {r"evil"}; }'
    answer, model, _ = await generated(tmp_path, [chat_answer(doubtful)] * 3)

    assert answer.status_code == 200
    assert len(model.seen) == 2
    assert (
        "has to match the whole text" in json.loads(model.seen[1].body)["messages"][-1]["content"]
    )


@requirement("control.generate.reply")
async def test_tokens_nobody_counted_are_estimated(tmp_path: Path) -> None:
    answer, _, rows = await generated(tmp_path, [chat_answer(GOOD, usage=None)])

    assert answer.json()["usage"]["prompt_tokens"] > 500
    assert [row["estimated"] for row in rows] == [1]


@requirement("control.generate.failed")
async def test_a_failing_provider_is_its_own_error_and_not_asked_again(tmp_path: Path) -> None:
    failing = answers(b'{"error": {"message": "no capacity"}}', status=500)
    answer, model, rows = await generated(tmp_path, [failing])

    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "upstream_error"
    assert len(model.seen) == 1
    assert [(row["status"], row["error"]) for row in rows] == [(502, "upstream_error")]


# Bad input


@requirement("control.generate.bad-body")
@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"type": None}, "type"),
        ({"type": "gpt"}, "type"),
        ({"type": ...}, "type"),
        ({"model": ...}, "model"),
        ({"model": ""}, "model"),
        ({"model": 5}, "model"),
        ({"description": ...}, "description"),
        ({"description": " \n"}, "description"),
        ({"description": ["x"]}, "description"),
        ({"description": "x" * 100_001}, "description"),
        ({"policy_lang": "cedar"}, "policy_lang"),
        ({"n_retries": -1}, "n_retries"),
        ({"n_retries": "3"}, "n_retries"),
        ({"n_retries": True}, "n_retries"),
        ({"n_retries": 1.5}, "n_retries"),
        ({"tools": None}, "tools"),
        ({"tools": {}}, "tools"),
        ({"tools": ["send_email"]}, "tools.0"),
        ({"tools": [{}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [MESSAGES]}, "tools[0].type"),
        ({"tools": [CHAT, CHAT]}, "tools"),
        ({"internal_tool_names": ["send_email"]}, "internal_tool_names.0"),
        ({"temperature": 0}, "temperature"),
        ({"messages": []}, "messages"),
    ],
)
async def test_a_body_that_does_not_fit_is_422_and_names_the_member(
    site: Site, changed: dict[str, Any], param: str
) -> None:
    asked = {name: value for name, value in body(**changed).items() if value is not ...}
    before = len(site.upstream.asked)
    answer = await site.gateway.post(PATH, asked)

    tree = answer.json()
    assert answer.status_code == 422, answer.text
    assert tree["error"]["type"] == "invalid_request_error"
    assert tree["error"]["param"] == param
    assert tree["type"] == "error"
    assert isinstance(tree["detail"], str)
    assert tree["detail"] == tree["message"] == tree["error"]["message"]
    assert param.rpartition(".")[2].rpartition("]")[2] in tree["detail"]
    assert len(site.upstream.asked) == before


@requirement("control.generate.bad-body")
@pytest.mark.parametrize(
    ("raw", "status"),
    [(b"", 400), (b"{", 400), (b"\xff", 400), (b"[" * 100_000, 400), (b"[]", 422), (b"1", 422)],
)
async def test_a_body_that_is_no_json_object_is_refused(
    site: Site, raw: bytes, status: int
) -> None:
    answer = await site.gateway.post(PATH, raw)

    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"


# Who may


@requirement("control.generate.access")
async def test_the_route_has_the_rights_and_limits_of_every_model_call(tmp_path: Path) -> None:
    async with upstream() as model:
        model.script += [chat_answer(GOOD)] * 9
        toml = (
            f'[providers.openai]\nbase_url = "{model.origin}/v1"\napi_key = "sk-o-0000001"\n'
            'models = ["gpt-5*"]\n'
        )
        async with running_gateway(tmp_path, toml=toml) as gateway:
            site = Site(gateway=gateway, upstream=None)  # type: ignore[arg-type] - only its keys
            keys = {
                "chat": await site.new_key(scopes=frozenset({"endpoint:chat"})),
                "other": await site.new_key(scopes=frozenset({"provider:anthropic"})),
                "mine": await site.new_key(
                    scopes=frozenset({"endpoint:policy-gen", "provider:openai"})
                ),
                "slow": await site.new_key(limits=KeyLimits(requests_per_minute=1)),
            }

            async def status(key: str, *, path: str = "openai/", model: str = "gpt-5") -> Any:
                answer = await gateway.post(
                    f"/control/policy-gen/{path}v1/generate",
                    body(model=model),
                    authorization=f"Bearer {key}",
                )
                code = answer.json().get("error", {}).get("code")
                return answer.status_code, code

            seen = {
                "unknown key": await status("sq-nobody"),
                "other endpoint": await status(keys["chat"]),
                "other provider": await status(keys["other"]),
                "other provider by default": await status(keys["other"], path=""),
                "own": await status(keys["mine"]),
                "not on the list": await status(gateway.key, model="o3"),
                "second of a pair": await status(gateway.key, model="gpt-5, gpt-5-mini"),
                "too many models": await status(gateway.key, model="a,b,c"),
                "not configured": await status(gateway.key, path="llama/"),
                "unknown": await status(gateway.key, path="nobody/"),
                "first": await status(keys["slow"]),
                "second": await status(keys["slow"]),
            }

    assert seen == {
        "unknown key": (401, "invalid_api_key"),
        "other endpoint": (403, "forbidden"),
        "other provider": (403, "forbidden"),
        "other provider by default": (403, "forbidden"),
        "own": (200, None),
        "not on the list": (400, "model_not_allowed"),
        "second of a pair": (200, None),
        "too many models": (400, "invalid_request"),
        "not configured": (503, "provider_not_configured"),
        "unknown": (404, "not_found"),
        "first": (200, None),
        "second": (429, "rate_limit_exceeded"),
    }
    models = [json.loads(one.body)["model"] for one in model.seen]
    assert models == ["gpt-5", "gpt-5", "gpt-5"]


@requirement("control.generate.access")
async def test_what_a_key_or_header_sets_for_the_role_reaches_the_model(site: Site) -> None:
    header = {"llm": {"policy_llm": {"temperature": 0.25, "max_completion_tokens": 4321}}}
    good = await site.gateway.post(PATH, body(), X_Config=json.dumps(header))
    bad = await site.gateway.post(PATH, body(), X_Config="{")

    assert good.status_code == 200
    sent = site.upstream.last.body
    assert (sent["temperature"], sent["max_completion_tokens"]) == (0.25, 4321)
    assert (bad.status_code, bad.json()["error"]["code"]) == (400, "invalid_header")


@requirement("control.generate.client-gone")
async def test_a_client_that_leaves_ends_the_model_call(tmp_path: Path) -> None:
    async with running_fault_site(tmp_path, quick=False) as site:
        gateway: Gateway = site.gateway
        path = "/control/policy-gen/chat/v1/generate"
        async with raw_client(gateway.base_url) as connection:
            asked = body(model="stall.silent")
            await connection.send(post(path, asked, key=gateway.key))
            call = await site.upstream.call("stall.silent")
        await site.upstream.until(call.gone.is_set)
        (row,) = await site.everything_after(0)
        await site.healthy()
        rows = await all_records(gateway)

    assert (row["status"], row["error"], row["role"]) == (499, "client_gone", "policy_llm")
    assert (row["input_tokens"] > 0, row["estimated"]) == (True, 1)
    assert len(rows) == 4
