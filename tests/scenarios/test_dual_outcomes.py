"""Outcomes of policies on plans, from a user's message to the last answer, over HTTP.

Source: gateway.md section 12, P02, P03, P04, P14, P19 and P20.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.dual_talk import DualTalk, Tools, plan, policy
from tests.support.gateway import Gateway, running_gateway

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for the module, because the server lives in it."""
    return "asyncio"


@pytest.fixture(scope="module")
async def gateway(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    async with running_gateway(tmp_path_factory.mktemp("outcomes")) as running:
        yield running


def talk(gateway: Gateway, code: str, tools: Tools, **x_policy: Any) -> DualTalk:
    return DualTalk(
        http=gateway.http, key=gateway.key, tools=tools, headers=policy(code, **x_policy)
    )


def value(found: dict[str, Any]) -> Any:
    assert found["status"] == "success", found
    return found["final_return_value"]["value"]


def denied(found: dict[str, Any], tool: str, verdict: str) -> dict[str, Any]:
    """The entry of the denial a turn ended with."""
    assert found["status"] == "failure", found
    assert found["final_return_value"] is None
    assert found["error"]["code"] == "policy_violation"
    assert f"'{tool}' is denied by argument checking policies" in found["error"]["message"]
    entry: dict[str, Any] = found["policy_check_history"][-1]
    assert (entry["tool"], entry["final_verdict"]) == (tool, verdict)
    return entry


# P03: a counter in the session


REFUND = """
tool "refund" {
    session before { when "a3" in @tags { @tags |= {"final"}; } }
    session before { when "a2" in @tags { @tags |= {"a3"}; } }
    session before { when "a1" in @tags { @tags |= {"a2"}; } }
    session before { @tags |= {"a1"}; }
    hard allow when "final" in @session.tags;
}
"""


async def test_the_fourth_refund_of_a_session_goes_through(gateway: Gateway) -> None:
    asked = talk(gateway, REFUND, {"refund": lambda: "refunded"})
    counted = []
    for _ in range(3):
        found = await asked.run(plan("final_return_value = refund()"))
        denied(found, "refund", "soft_denied")
        counted.append(found["session_meta"]["meta"]["tags"])
        asked.headers["x-session-id"] = asked.session
    fourth = await asked.run(plan("final_return_value = refund()"))

    assert counted == [["a1"], ["a1", "a2"], ["a1", "a2", "a3"]]
    assert value(fourth) == "refunded"
    assert asked.ran == [("refund", {})]


async def test_a_program_that_swallows_exceptions_gets_one_refund_denied_not_four(
    gateway: Gateway,
) -> None:
    program = """
said = []
for n in range(4):
    try:
        said.append(refund())
    except Exception:
        said.append("caught")
final_return_value = said
"""
    asked = talk(gateway, REFUND, {"refund": lambda: "refunded"})
    found = await asked.run(plan(program))

    denied(found, "refund", "soft_denied")
    assert found["session_meta"]["meta"]["tags"] == ["a1"]
    assert asked.ran == []


# P02: an allow-list over where arguments come from


SUMMARISE = """
tool "finance" -> @producers |= {"fin"};
tool "market" -> @producers |= {"mkt"};
tool "summarize" { hard allow when @args.producers superset of {"fin", "mkt"}; }
"""
SOURCES: Tools = {
    "finance": lambda: {"revenue": 12},
    "market": lambda: {"share": 0.4},
    "summarize": lambda a, b: f"{a} / {b}",
}


async def test_a_summary_of_both_sources_is_written(gateway: Gateway) -> None:
    asked = talk(gateway, SUMMARISE, SOURCES)
    program = 'x = finance()\ny = market()\nfinal_return_value = summarize(a=x["revenue"], b=y)'
    found = await asked.run(plan(program))

    assert value(found) == "12 / {'share': 0.4}"
    assert found["final_return_value"]["meta"]["producers"] == ["fin", "mkt"]
    assert [name for name, _ in asked.ran] == ["finance", "market", "summarize"]


async def test_a_summary_with_words_of_the_planners_own_is_not(gateway: Gateway) -> None:
    asked = talk(gateway, SUMMARISE, SOURCES)
    program = 'x = finance()\nfinal_return_value = summarize(a=x, b="text")'
    found = await asked.run(plan(program))

    denied(found, "summarize", "soft_denied")
    assert [name for name, _ in asked.ran] == ["finance"]


# P04: personal data, and a tool that takes it out


PII = """
tool "load_record" -> @tags |= {"pii"};
tool "deidentify" -> @tags -= {"pii"};
tool r"send_to_.*" { hard deny when "pii" in data.tags; }
"""
RECORDS: Tools = {
    "load_record": lambda ref: {"name": "Ada", "value": 7, "ref": ref},
    "deidentify": lambda data: {"value": data["value"]},
    "send_to_lab": lambda data: "sent",
    "resend_to_lab": lambda data: "sent again",
}


@pytest.mark.parametrize(
    "made",
    ["record", 'record["name"]', "f\"{record['value']}\"", "[1, record]", "len(str(record))"],
)
async def test_whatever_is_made_of_a_record_stays_in_the_house(gateway: Gateway, made: str) -> None:
    asked = talk(gateway, PII, RECORDS)
    program = f'record = load_record(ref="1")\nfinal_return_value = send_to_lab(data={made})'
    found = await asked.run(plan(program))

    entry = denied(found, "send_to_lab", "hard_denied")
    assert "pii" in entry["args_meta"]["data"]["tags"]
    assert [name for name, _ in asked.ran] == ["load_record"]


async def test_a_record_without_personal_data_leaves(gateway: Gateway) -> None:
    asked = talk(gateway, PII, RECORDS)
    program = (
        'record = load_record(ref="1")\n'
        "clean = deidentify(data=record)\n"
        "first = send_to_lab(data=clean)\n"
        "second = resend_to_lab(data=record)\n"
        "final_return_value = [first, second]"
    )
    found = await asked.run(plan(program))

    assert value(found) == ["sent", "sent again"]
    assert asked.ran[2] == ("send_to_lab", {"data": {"value": 7}})


# P14: what was seen closes the session


GATE = """
tool r"(fetch|browse)_.*" -> session @tags |= {"untrusted_seen"};
tool r"(write|delete|send)_.*" { must deny when @session.tags overlaps {"untrusted_seen"}; }
"""
WEB: Tools = {"fetch_url": lambda url: "a page", "write_file": lambda path: "written"}


async def test_after_the_web_was_read_nothing_is_written_in_later_turns_either(
    gateway: Gateway,
) -> None:
    asked = talk(gateway, GATE, WEB)
    write = 'final_return_value = write_file(path="a")'
    first = await asked.run(plan(write))
    asked.headers["x-session-id"] = asked.session
    second = await asked.run(plan(f'fetch_url(url="https://x.example")\n{write}'))
    third = await asked.run(plan(write))

    assert value(first) == "written"
    denied(second, "write_file", "hard_denied")
    denied(third, "write_file", "hard_denied")
    assert [name for name, _ in asked.ran] == ["write_file", "fetch_url"]


# P19: data that no model may read


PROFILE = 'tool "get_profile" -> @tags |= {"__llm_blocked"};'
ASK = """
profile = get_profile()
schema = {"type": "object", "properties": {"name": {"type": "string"}}}
final_return_value = parse_with_ai(query=f"Who is this? {profile}", output_schema=schema)
"""


async def test_blocked_data_reaches_no_model(gateway: Gateway) -> None:
    tools: Tools = {"get_profile": lambda: "name: Ada"}
    hard = talk(gateway, PROFILE, tools)
    soft = talk(gateway, PROFILE, tools, presets={"llm_blocked_tag_enforcement_level": "soft"})
    free = talk(gateway, PROFILE, tools, presets={"enable_llm_blocked_tag": False})

    denied(await hard.run(plan(ASK)), "parse_with_ai", "hard_denied")
    denied(await soft.run(plan(ASK)), "parse_with_ai", "soft_denied")
    asked = await free.run(plan(ASK))

    assert set(value(asked)) == {"name", "have_enough_info"}
    assert asked["final_return_value"]["meta"]["tags"] == [
        "__llm_blocked",
        "__non_executable",
        "__tool/parse_with_ai",
    ]


# P20: what may decide where a program goes


APPLICANT = 'tool "get_applicant" -> @tags |= {"RACE"};'
DENY_RACE = {"mode": "custom", "presets": {"branching_meta_policy": {"tags": ["RACE"]}}}
PEOPLE: Tools = {
    "get_applicant": lambda ref: {"race": "x", "grade": 2},
    "send_email": lambda body: "sent",
}
BRANCHES = [
    'if p["race"] == "x":\n    final_return_value = "rejected"',
    'final_return_value = "rejected" if p["race"] == "x" else "taken"',
    'while p["race"] == "x":\n    break',
    'final_return_value = [1 for n in range(2) if p["race"] == "x"]',
    'assert p["grade"] == 2',
    'p["race"] == "x" and send_email(body="go")',
]


@pytest.mark.parametrize("branch", BRANCHES)
async def test_a_program_may_not_branch_on_race(gateway: Gateway, branch: str) -> None:
    asked = talk(gateway, APPLICANT, PEOPLE, **DENY_RACE)
    found = await asked.run(plan(f'p = get_applicant(ref="1")\n{branch}'))

    assert found["status"] == "failure"
    assert found["error"]["code"] == "control_flow_violation"
    assert found["error"]["message"] == (
        "Control flow violation detected during program execution. The program violated control "
        "flow policies and cannot continue as retries on policy violations are disabled."
    )
    entry = found["policy_check_history"][-1]
    assert (entry["tool"], entry["line"]) == ("<branch>", 2)
    assert [name for name, _ in asked.ran] == ["get_applicant"]


async def test_in_standard_mode_it_may(gateway: Gateway) -> None:
    asked = talk(gateway, APPLICANT, PEOPLE)
    found = await asked.run(plan(f'p = get_applicant(ref="1")\n{BRANCHES[0]}'))

    assert value(found) == "rejected"


async def test_without_a_branch_the_data_may_be_used(gateway: Gateway) -> None:
    asked = talk(gateway, APPLICANT, PEOPLE, **DENY_RACE)
    program = 'p = get_applicant(ref="1")\nfinal_return_value = send_email(body=p)'
    found = await asked.run(plan(program))

    assert value(found) == "sent"
    assert asked.ran[1] == ("send_email", {"body": {"race": "x", "grade": 2}})
