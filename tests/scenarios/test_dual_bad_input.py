"""Bad programs, bad results, bad requests and bad providers in dual-llm: the documented answers.

Nothing here is a 500, nothing runs that was not planned, and after each of it the next
request works.
"""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
import httpx
import pytest
from tests.support.demo_server import demo_server
from tests.support.dual_talk import DualTalk, Tools, function, plan, policy
from tests.support.gateway import Gateway, running_gateway
from tests.support.role_faults import FAULTS, RoleFaults

from interlock.identity.model import Actor, KeySpec

pytestmark = pytest.mark.anyio

CHAT = "/control/chat/demo/v1/chat/completions"
FAULTY = "/control/chat/faulty/v1/chat/completions"
TOOLS: Tools = {"get_doc": lambda ref: "a document", "send": lambda to: "sent"}
ONCE = {"x-config": json.dumps({"fsm": {"max_pllm_steps": 1}})}


@dataclass(slots=True, kw_only=True)
class Site:
    """A gateway with a provider that can fail in one role."""

    gateway: Gateway
    upstream: RoleFaults

    def talk(self, **given: Any) -> DualTalk:
        return DualTalk(
            **{"http": self.gateway.http, "key": self.gateway.key, "tools": TOOLS, **given}
        )


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
        toml = (
            "[gateway]\nsession_wait_s = 0.2\n"
            f'[providers.faulty]\nbase_url = "{origin}/v1"\napi_key = "sk-faulty-0001"\n'
            "retries = { attempts = 0 }\ntimeouts = { first_byte_s = 0.3, idle_s = 0.3 }\n"
            "breaker = { failures = 1000000, minimum = 1000000 }\n"
        )
        async with running_gateway(tmp_path_factory.mktemp("bad"), toml=toml) as gateway:
            yield Site(gateway=gateway, upstream=upstream)


@pytest.fixture
def site(running: Site) -> Site:
    """The site with a provider that is well."""
    upstream = running.upstream
    upstream.faults, upstream.says, upstream.asked, upstream.hold = {}, {}, [], None
    upstream.arrived = threading.Event()
    return running


def value(found: dict[str, Any]) -> Any:
    assert found["status"] == "success", found
    return found["final_return_value"]["value"]


def failure(found: dict[str, Any], code: str) -> str:
    """The message of a failure with this code."""
    assert found["status"] == "failure", found
    assert found["final_return_value"] is None
    assert found["error"]["code"] == code, found
    message: str = found["error"]["message"]
    return message


def refused(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, code and message of an error body."""
    tree = answer.json()
    assert tree["type"] == "error"
    assert tree["detail"] == tree["message"] == tree["error"]["message"]
    return answer.status_code, tree["error"]["code"], tree["detail"]


# Programs


DOES_NOT_COMPILE = [
    ("x = = 1", "syntax"),
    ("if True:", "expected"),
    ("import os", "os"),
    ("from subprocess import run", "subprocess"),
    ("import importlib", "importlib"),
    ("eval('1')", "eval"),
    ("exec('x = 1')", "exec"),
    ("open('/etc/passwd')", "open"),
    ("compile('1', '', 'eval')", "compile"),
    ("globals()", "globals"),
    ("__import__('os')", "__import__"),
    ("().__class__", "__class__"),
    ("f\"{''.__class__}\"", "__class__"),
    ("class A:\n    def run(self): pass", "class"),
    ("async def f():\n    pass", "Async"),
    ("unknown_tool(ref='1')", "unknown_tool"),
    ("(" * 1000 + ")" * 1000, "nest"),
    ("x = " + "-" * 5000 + "1", "nest"),
    ("x = 1\n" * 100_000, "larger"),
    ("x = '" + "a" * (10 << 20) + "'", "larger"),
    ("x = 1" + "0" * 100_000, ""),
    ("x = '\0'", ""),
]


@pytest.mark.parametrize(("program", "said"), DOES_NOT_COMPILE, ids=lambda one: one[:24])
async def test_what_is_no_program_of_the_language_never_runs(
    site: Site, program: str, said: str
) -> None:
    asked = site.talk(headers=ONCE)
    before = "" if "import" in program else "send(to='a')\n"
    message = failure(await asked.run(plan(before + program)), "program_error")

    assert said in message
    assert len(message) < 1000
    assert asked.ran == []


DOES_NOT_END_WELL = [
    "while True: pass",
    "def f(n):\n    return f(n + 1)\nf(0)",
    "x = list(range(10**12))",
    "x = sum(range(10**9))",
    "x = 'a' * 10**9",
    "x = [0] * 10**9",
    "x = ('a' * 1000).join(['b'] * 10**6)",
    "x = 10 ** 10 ** 9",
    "x = 1 << 10**9",
    "x = 9**9**9**9",
    "x = f'{1:1000000000}'",
    "x = '%1000000000d' % 1",
    "x = 'a'.ljust(10**9)",
    "x = 'aaaa'.replace('a', 'b' * 10**5)\nwhile True:\n    x = x + x",
    "x = []\nwhile True:\n    x.append('a' * 1000)",
    "x = {}\nfor n in range(10**9): x[n] = n",
    "import itertools\nx = list(itertools.product(range(100), repeat=10))",
    "x = int('9' * 10000)",
    "x = getattr('', '__class__')",
    "x = '{0.__class__}'.format(1)",
    "x = []\nx.append(x)\nfinal_return_value = str(x)",
    "x = 1 / 0",
    "raise ValueError('no')",
    "assert False, 'never'",
    "get_doc(nothing=1)",
    "get_doc()\nget_doc(1, 2, 3)",
]


@pytest.mark.parametrize("program", DOES_NOT_END_WELL, ids=lambda one: one[:40])
async def test_a_program_that_cannot_end_well_ends_soon_and_in_words(
    site: Site, program: str
) -> None:
    asked = site.talk(headers=ONCE, definitions=[function("get_doc", "ref")])
    asked.definitions[0]["function"]["parameters"]["required"] = ["ref"]  # type: ignore[index]
    async with asyncio.timeout(20):
        found = await asked.run(plan(program))

    if "append(x)" not in program:
        message = failure(found, "program_error")
        assert message
        assert len(message) < 2000
    assert asked.ran == []


@pytest.mark.parametrize(
    "program", ["while True: pass", "x = 'a' * 10**9", "def f():\n    return f()\nf()"]
)
async def test_no_program_catches_that_it_used_up_a_limit(site: Site, program: str) -> None:
    body = program.replace("\n", "\n    ")
    caught = f"try:\n    {body}\nexcept BaseException:\n    pass\nfinal_return_value = 'caught'"
    other = f"try:\n    {body}\nexcept:\n    pass\nfinal_return_value = 'caught'"
    for one in (caught, other):
        found = await site.talk(headers=ONCE).run(plan(one))
        failure(found, "program_error")


async def test_the_planner_gets_another_try_with_the_error_and_may_succeed(site: Site) -> None:
    asked = site.talk(path=FAULTY)
    found = await asked.run(plan("import os", "x = 1 / 0", "final_return_value = 3"))

    assert value(found) == 3
    attempts = [body for role, body in site.upstream.asked if role == "pllm"]
    assert len(attempts) == 3
    assert "ZeroDivisionError" in attempts[2]


@pytest.mark.parametrize(
    ("fsm", "planned"), [({}, 4), ({"max_pllm_steps": 2}, 2), ({"max_pllm_failed_steps": 1}, 1)]
)
async def test_attempts_are_bounded(site: Site, fsm: dict[str, int], planned: int) -> None:
    asked = site.talk(path=FAULTY, headers={"x-config": json.dumps({"fsm": fsm})})
    message = failure(await asked.run(plan("x = 1 / 0")), "program_error")

    assert "ZeroDivisionError" in message
    assert sum(role == "pllm" for role, _ in site.upstream.asked) == planned


async def test_a_task_that_is_never_done_ends_with_its_budget_of_steps(site: Site) -> None:
    config = {"fsm": {"enable_multistep_planning": True, "max_pllm_steps": 3}}
    asked = site.talk(headers={"x-config": json.dumps(config)})
    found = await asked.run(plan("# in_progress\nx = 1"))

    assert "3 planner steps" in failure(found, "max_steps_exceeded")


async def test_calls_of_a_step_are_bounded(site: Site) -> None:
    config = {"fsm": {"max_tool_calls_per_step": 2, "max_pllm_steps": 1}}
    asked = site.talk(headers={"x-config": json.dumps(config)})
    found = await asked.run(plan("for n in range(5): send(to=str(n))"))

    assert "2 tool calls" in failure(found, "max_tool_calls_exceeded")
    assert len(asked.ran) == 2


async def test_what_a_planner_says_that_is_no_program_is_a_question_or_a_failure(
    site: Site,
) -> None:
    site.upstream.says["pllm"] = "Which of the two documents?"
    asked = site.talk(path=FAULTY)
    closed = {"prompt": {"pllm": {"clarify_ambiguous_queries": False}}}
    blunt = site.talk(path=FAULTY, headers={"x-config": json.dumps(closed)})

    assert value(await asked.run("Fetch the document")) == "Which of the two documents?"
    assert failure(await blunt.run("Fetch the document"), "planner_error")


# Tool results


RESULTS: list[tuple[str, Any]] = [
    ("not json", "not json"),
    ("", ""),
    ("null", None),
    ("{'single': 1}", "{'single': 1}"),
    ('{"a": 1}', {"a": 1}),
    ('{"a": 1} and more', '{"a": 1} and more'),
    ("NaN", "NaN"),
    ("[1, Infinity]", "[1, Infinity]"),
    ('"text"', "text"),
    ("12345678901234567890123", 12345678901234567890123),
    ("1e400", None),
    ("[" * 100_000, "[" * 100_000),
    ('{"a": 1, "a": 2}', {"a": 2}),
    ("\u0000\u0001 \u202e", "\u0000\u0001 \u202e"),
    ('"\\ud800 \\ud83d\\ude00"', "\ud800 \U0001f600"),
]


@pytest.mark.parametrize("strip", [False, True])
@pytest.mark.parametrize(("text", "expected"), RESULTS, ids=lambda one: str(one)[:20])
async def test_any_result_is_data(site: Site, text: str, expected: Any, strip: bool) -> None:
    config = {"response_format": {"strip_response_content": strip}}
    asked = site.talk(headers={"x-config": json.dumps(config)})
    await asked.say(plan("final_return_value = get_doc(ref='1')"))
    answer = await asked.give((asked.calls[0]["id"], text))

    assert answer.status_code == 200, answer.text
    if not strip and expected is not None:
        assert value(asked.final()) == expected


@pytest.mark.parametrize("text", ["9" * 4000, "9" * 100_000, "[" * 90 + "]" * 90, "a" * (5 << 20)])
async def test_huge_results_are_data_or_end_the_attempt(site: Site, text: str) -> None:
    asked = site.talk(headers=ONCE)
    await asked.say(plan("x = get_doc(ref='1')\nfinal_return_value = len(str(x))"))
    answer = await asked.give((asked.calls[0]["id"], text))

    assert answer.status_code == 200, answer.text
    found = asked.final()
    if found["status"] == "success":
        assert value(found) == len(text)
    else:
        failure(found, "program_error")


@pytest.mark.parametrize("strip", [False, True])
@pytest.mark.parametrize(
    "program",
    [
        "x = '\\ud800'\nget_doc(ref='1')\nfinal_return_value = x",
        "x = get_doc(ref='1')\nfinal_return_value = send(to=x)",
        "raise ValueError('\\ud800')",
        "final_return_value = send(to='\\ud800')",
        "final_return_value = parse_with_ai(query='\\ud800', output_schema={'type': 'object'})",
    ],
)
async def test_characters_that_utf_8_cannot_say_are_no_500(
    site: Site, program: str, strip: bool
) -> None:
    config = {"response_format": {"strip_response_content": strip}}
    asked = site.talk(headers={"x-config": json.dumps(config)})
    answer = await asked.say(plan(program))
    while asked.calls:
        sent = json.loads(asked.calls[0]["function"]["arguments"])
        assert sent in ({"ref": "1"}, {"to": "\ufffd"})
        answer = await asked.give((asked.calls[0]["id"], '"\\ud800"'))

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("number", ["2**70", "-2**200", "1e308 * 10", "float('nan')"])
async def test_numbers_of_any_size_are_sent(site: Site, number: str) -> None:
    asked = site.talk()
    answer = await asked.say(plan(f"final_return_value = send(to={number})"))
    assert answer.status_code == 200, answer.text
    if asked.calls:
        await asked.give((asked.calls[0]["id"], "sent"))
        assert value(asked.final()) == "sent"
    else:
        failure(asked.final(), "program_error")


async def test_a_pattern_that_explodes_elsewhere_takes_its_time_only(site: Site) -> None:
    program = "import re\nx = re.match('(a+)+$', 'a' * 10**6 + 'b')\nfinal_return_value = x is None"
    async with asyncio.timeout(20):
        assert value(await site.talk().run(plan(program))) is True


async def test_results_of_calls_that_never_were_are_404(site: Site) -> None:
    asked = site.talk()
    await asked.say(plan("final_return_value = get_doc(ref='1')"))
    real = asked.calls[0]["id"]
    kept = list(asked.messages)
    invented = real[:-4] + ("0000" if real[-4:] != "0000" else "1111")
    unknown = refused(await asked.give((invented, "x")))
    asked.messages[:] = kept
    both = refused(await asked.give((real, "x"), (invented, "y")))
    asked.messages[:] = kept
    good = await asked.give((real, "fine"))

    assert unknown[:2] == both[:2] == (404, "tool_call_not_found")
    assert good.status_code == 200
    assert value(asked.final()) == "fine"


async def test_results_of_calls_that_are_not_ours_answer_nothing(site: Site) -> None:
    asked = site.talk()
    asked.messages += [
        {"role": "user", "content": "hello"},
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "get_doc", "arguments": "{}"},
                }
            ],
        },
    ]
    status, code, _ = refused(await asked.give(("call_1", "x")))

    assert (status, code) == (400, "invalid_request")


async def test_a_result_that_comes_twice_counts_once(site: Site) -> None:
    asked = site.talk()
    await asked.say(plan("a = get_doc(ref='1')\nsend(to=a)\nfinal_return_value = a"))
    first = asked.calls[0]["id"]
    await asked.give((first, "first"), (first, "second"))
    (send,) = asked.calls
    assert json.loads(send["function"]["arguments"]) == {"to": "first"}
    kept = list(asked.messages)
    asked.messages[:] = kept[:-1]
    asked.messages[-2] = {**asked.messages[-2], "content": "changed"}
    again = await asked.post()
    assert again.json()["choices"][0]["message"]["tool_calls"] == [send]
    asked.messages[:] = kept
    await asked.give((send["id"], "sent"))

    assert value(asked.final()) == "first"


async def test_a_result_of_an_earlier_step_gets_the_answer_it_had(site: Site) -> None:
    asked = site.talk()
    await asked.say(plan("a = get_doc(ref='1')\nb = get_doc(ref='2')\nfinal_return_value = a + b"))
    one = asked.calls[0]["id"]
    begun = list(asked.messages)
    await asked.give((one, "A"))
    two = asked.calls[0]["id"]
    await asked.give((two, "B"))
    asked.messages[:] = begun
    late = await asked.give((one, "late"))

    assert late.json()["choices"][0]["message"]["tool_calls"][0]["id"] == two
    asked.messages[:] = begun
    both = await asked.give((two, "B"), (one, "A"))
    assert refused(both)[:2] == (404, "tool_call_not_found")


async def test_a_conversation_without_the_result_that_is_waited_for_goes_no_further(
    site: Site,
) -> None:
    asked = site.talk()
    await asked.say(plan("final_return_value = get_doc(ref='1')"))
    kept = list(asked.messages)
    asked.headers["x-session-id"] = asked.session
    nothing = await asked.post()
    asked.messages[:] = kept
    result = await asked.give((asked.calls[0]["id"], "fine"))

    status, code, message = refused(nothing)
    assert (status, code) == (400, "missing_tool_results")
    assert kept[-1]["tool_calls"][0]["id"] in message
    assert result.status_code == 200
    assert value(asked.final()) == "fine"


async def test_a_suspended_program_keeps_its_tools_and_the_next_turn_gets_the_new_ones(
    site: Site,
) -> None:
    asked = site.talk(headers=ONCE)
    await asked.say(plan("a = get_doc(ref='1')\nfinal_return_value = send(to=a)"))
    asked.definitions = [function("look_up", "word")]
    await asked.give((asked.calls[0]["id"], "A"))
    assert asked.calls[0]["function"]["name"] == "send"
    await asked.give((asked.calls[0]["id"], "sent"))
    assert value(asked.final()) == "sent"
    asked.tools = {"look_up": lambda word: "found"}
    old = await asked.run(plan("final_return_value = send(to='x')"))
    new = await asked.run(plan("final_return_value = look_up(word='x')"))

    assert "send" in failure(old, "program_error")
    assert value(new) == "found"


async def test_tools_named_twice_or_like_an_internal_one_do_not_confuse(site: Site) -> None:
    twice = site.talk(definitions=[function("get_doc", "ref"), function("get_doc", "other")])
    answer = await twice.say(plan("final_return_value = get_doc(ref='1')"))
    shadow = site.talk(definitions=[function("parse_with_ai", "query"), function("a-b", "x")])
    other = await shadow.say(plan("final_return_value = a_b(x=1)"))

    assert (answer.status_code, twice.calls[0]["function"]["name"]) == (200, "get_doc")
    assert (other.status_code, shadow.calls[0]["function"]["name"]) == (200, "a-b")


# Requests


async def test_sessions_of_another_key_do_not_exist(site: Site) -> None:
    admin = site.gateway.app.store.admin
    actor = Actor(name="test", surface="server")
    await admin.create_user("other@x.example", actor)
    other = await admin.create_key(KeySpec(label="other"), actor, user="other@x.example")
    asked = site.talk()
    await asked.say(plan("final_return_value = get_doc(ref='1')"))
    thief = site.talk(key=other.token, messages=list(asked.messages))
    by_call = refused(await thief.give((asked.calls[0]["id"], "mine")))
    thief.messages.clear()
    thief.headers["x-session-id"] = asked.session
    by_header = refused(await thief.say(plan("final_return_value = 1")))
    await asked.give((asked.calls[0]["id"], "fine"))

    assert by_call[0] == by_header[0] == 404
    assert value(asked.final()) == "fine"


async def test_a_call_and_a_header_of_two_sessions_are_404(site: Site) -> None:
    one, two = site.talk(), site.talk()
    await one.say(plan("final_return_value = get_doc(ref='1')"))
    await two.say(plan("final_return_value = get_doc(ref='1')"))
    one.headers["x-session-id"] = two.session
    status, code, _ = refused(await one.give((one.calls[0]["id"], "x")))

    assert (status, code) == (404, "tool_call_not_found")


async def test_a_policy_of_64_kilobytes_is_read(site: Site) -> None:
    names = ", ".join(f'"person number {n} of the list"' for n in range(2000))
    code = f'tool "send" {{ must deny when to.value in {{"Oslo", {names}}}; }}'
    asked = site.talk(headers=policy(code))
    assert len(asked.headers["x-policy"]) > 64 << 10
    failure(await asked.run(plan("send(to='Oslo')")), "policy_violation")


@pytest.mark.parametrize("role", ["pllm", "rllm", "tllm", "grllm", "qllm", "error_detector_llm"])
@pytest.mark.parametrize("key", ["flavor", "version"])
async def test_an_unknown_prompt_is_400_with_the_choices(site: Site, role: str, key: str) -> None:
    config = {"prompt": {role: {key: "baroque"}}}
    asked = site.talk(headers={"x-config": json.dumps(config)})
    status, code, message = refused(await asked.say("hello"))

    assert (status, code) == (400, "invalid_header")
    assert f"prompt.{role}.{key}" in message
    assert "available: " in message
    choice = message.rsplit("available: ", 1)[1].split(",")[0].strip("' ")
    asked.headers = {"x-config": json.dumps({"prompt": {role: {key: choice}}})}
    assert (await asked.say(plan("final_return_value = 1"))).status_code == 200


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
BODIES: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}, IMAGE]}]},
    {"n": 2},
    {"context_vars": []},
    {"context_vars": {"a b": {"value": 1}}},
    {"context_vars": {"a": 1}},
    {"context_vars": {"a": {"value": 1, "meta": {"tags": "x"}}}},
    {"user_provided_program": 7},
    {"messages": []},
    {"messages": [{"role": "system", "content": "only this"}]},
    {"model": "a,b,c"},
    {"tools": [{"type": "web_search"}]},
]


@pytest.mark.parametrize("body", BODIES, ids=lambda one: json.dumps(one)[:50])
async def test_what_cannot_be_planned_is_400(site: Site, body: dict[str, Any]) -> None:
    asked = site.talk(body=body)
    status, _, message = refused(await asked.say("hello"))

    assert status == 400
    assert message


# Side by side, and gone


async def arrived(site: Site) -> None:
    assert await anyio.to_thread.run_sync(site.upstream.arrived.wait, 5)


async def test_a_second_request_of_a_session_waits_for_the_first(site: Site) -> None:
    asked = site.talk(path=FAULTY)
    await asked.run(plan("final_return_value = 1"))
    second = site.talk(path=FAULTY, headers={"x-session-id": asked.session})
    asked.headers["x-session-id"] = asked.session
    site.upstream.hold = threading.Event()
    first = asyncio.create_task(asked.say(plan("final_return_value = 2")))
    await arrived(site)
    waits = asyncio.create_task(second.say(plan("final_return_value = 3")))
    await asyncio.sleep(0)
    site.upstream.hold.set()

    assert (await first).status_code == 200
    assert (await waits).status_code == 200
    assert (value(asked.final()), value(second.final())) == (2, 3)


async def test_a_second_request_that_waits_too_long_is_409(site: Site) -> None:
    asked = site.talk(path=FAULTY)
    await asked.run(plan("final_return_value = 1"))
    second = site.talk(path=FAULTY, headers={"x-session-id": asked.session})
    asked.headers["x-session-id"] = asked.session
    site.upstream.hold = threading.Event()
    first = asyncio.create_task(asked.say(plan("final_return_value = 2")))
    await arrived(site)
    busy = await second.say(plan("final_return_value = 3"))
    site.upstream.hold.set()

    assert refused(busy)[:2] == (409, "session_busy")
    assert busy.headers["retry-after"] == "1"
    assert (await first).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_while_the_planner_thinks_may_ask_again(
    site: Site, stream: bool
) -> None:
    config = {"fsm": {"max_n_turns": 2}}
    asked = site.talk(path=FAULTY, headers={"x-config": json.dumps(config)})
    await asked.run(plan("final_return_value = 1"))
    asked.headers["x-session-id"] = asked.session
    kept = list(asked.messages)
    site.upstream.hold = threading.Event()
    asked.body = {"stream": stream}
    task = asyncio.create_task(asked.say(plan("final_return_value = 2")))
    await arrived(site)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    site.upstream.hold.set()
    asked.messages[:] = kept
    answer = await asked.say(plan("final_return_value = 2"))

    assert answer.status_code == 200, answer.text
    assert value(streamed(answer)[0] if stream else asked.final()) == 2


async def test_a_client_that_leaves_while_its_program_runs_may_ask_again(site: Site) -> None:
    asked = site.talk(path=FAULTY, headers=ONCE)
    await asked.say(plan("a = get_doc(ref='1')\nwhile True: pass"))
    call = asked.calls[0]["id"]
    kept = list(asked.messages)
    task = asyncio.create_task(asked.give((call, "A")))
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    asked.messages[:] = kept
    answer = await asked.give((call, "A"))

    assert answer.status_code == 200
    assert failure(asked.final(), "program_error")


# Providers


STATUS = {"500": 502, "garbage": 502, "empty": 502, "cut": 502, "stall": 504}
PARSE = """
doc = get_doc(ref='1')
schema = {"type": "object", "properties": {"name": {"type": "string"}}}
final_return_value = parse_with_ai(query=f"Who? {doc}", output_schema=schema)
"""


def streamed(answer: httpx.Response) -> tuple[dict[str, Any], list[Any]]:
    """The final object of a stream, and how it finished."""
    lines = [line[6:] for line in answer.text.split("\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    finishes = [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]]
    return json.loads(text), [one for one in finishes if one]


def late_code(fault: str) -> str:
    return "timeout" if fault == "stall" else "upstream_error"


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_planner_that_fails_at_once_is_the_upstreams_status(site: Site, fault: str) -> None:
    asked = site.talk(path=FAULTY, headers={"x-config": '{"fsm": {"max_n_turns": 1}}'})
    site.upstream.faults["pllm"] = fault
    answer = await asked.say(plan("final_return_value = 1"))
    site.upstream.faults.clear()
    asked.messages.clear()
    good = await asked.run(plan("final_return_value = 1"))

    assert answer.status_code == STATUS[fault], answer.text
    assert "sk-faulty" not in answer.text
    assert value(good) == 1


async def test_a_planner_that_asks_to_wait_is_429(site: Site) -> None:
    site.upstream.faults["pllm"] = "429"
    asked = site.talk(path=FAULTY, headers={"x-api-key": "sk-of-the-caller"})
    status, code, _ = refused(await asked.say("hello"))

    assert (status, code) == (429, "rate_limit_exceeded")


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_planner_that_fails_in_a_stream_is_a_failure_in_its_text(
    site: Site, fault: str
) -> None:
    site.upstream.faults["pllm"] = fault
    asked = site.talk(path=FAULTY, body={"stream": True})
    answer = await asked.say(plan("final_return_value = 1"))
    found, finishes = streamed(answer)

    assert answer.status_code == 200
    assert failure(found, late_code(fault))
    assert finishes == ["stop"]
    assert "sk-faulty" not in answer.text


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_failed_turn_of_a_session_can_be_asked_again(
    site: Site, fault: str, stream: bool
) -> None:
    asked = site.talk(path=FAULTY, headers={"x-config": '{"fsm": {"max_n_turns": 3}}'})
    await asked.run(plan("final_return_value = 1"))
    asked.headers["x-session-id"] = asked.session
    kept = list(asked.messages)
    site.upstream.faults["pllm"] = fault
    asked.body = {"stream": stream}
    await asked.say(plan("final_return_value = 2"))
    site.upstream.faults.clear()
    asked.messages[:], asked.body = kept, {}

    assert value(await asked.run(plan("final_return_value = 2"))) == 2


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_quarantined_model_that_fails_after_a_tool_ran_ends_the_turn_or_the_request(
    site: Site, fault: str, stream: bool
) -> None:
    asked = site.talk(path=FAULTY)
    await asked.say(plan(PARSE))
    call = asked.calls[0]["id"]
    kept = list(asked.messages)
    site.upstream.faults["qllm"] = fault
    asked.body = {"stream": stream}
    answer = await asked.give((call, "name: Ada"))

    if stream:
        found, finishes = streamed(answer)
        assert failure(found, late_code(fault))
        assert finishes == ["stop"]
        return
    # Nothing was said yet: the program still waits, and the same request goes on with it.
    assert answer.status_code == STATUS[fault], answer.text
    site.upstream.faults.clear()
    asked.messages[:] = kept
    again = await asked.give((call, "name: Ada"))
    assert again.status_code == 200, again.text
    assert "name" in value(asked.final())


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_quarantined_model_that_fails_after_the_planner_answered_ends_the_turn(
    site: Site, fault: str, stream: bool
) -> None:
    program = PARSE.replace("get_doc(ref='1')", "'name: Ada'")
    site.upstream.faults["qllm"] = fault
    asked = site.talk(path=FAULTY, body={"stream": stream})
    answer = await asked.say(plan(program))
    found = streamed(answer)[0] if stream else asked.final()

    assert answer.status_code == 200
    assert failure(found, late_code(fault))
    assert "sk-faulty" not in answer.text


@pytest.mark.parametrize("said", ["no json", "{}", '{"name": 7, "have_enough_info": true}', "[1]"])
async def test_a_quarantined_answer_that_breaks_its_schema_twice_is_an_exception(
    site: Site, said: str
) -> None:
    site.upstream.says["qllm"] = said
    program = PARSE.replace("get_doc(ref='1')", "'name: Ada'")
    asked = site.talk(path=FAULTY, headers=ONCE)
    found = await asked.run(plan(program))
    caught = await asked.run(
        plan("try:" + program.replace("\n", "\n    ") + "\nexcept ValueError:\n    x = 'none'\nx")
    )

    assert "ValueError" in failure(found, "program_error")
    assert value(caught) == "none"
    assert sum(role == "qllm" for role, _ in site.upstream.asked) == 4


@pytest.mark.parametrize("fault", ["500", "stall", "garbage"])
async def test_a_planner_that_fails_in_its_second_attempt_ends_the_turn(
    site: Site, fault: str
) -> None:
    asked = site.talk(path=FAULTY)
    asked.messages.append({"role": "user", "content": plan("x = get_doc(ref='1')\nx.missing()")})
    await asked.post()
    site.upstream.faults["pllm"] = fault
    asked.body = {"stream": True}
    answer = await asked.give((asked.calls[0]["id"], "A"))

    assert failure(streamed(answer)[0], late_code(fault))
