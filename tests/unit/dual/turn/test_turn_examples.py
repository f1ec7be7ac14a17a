"""Whole turns with real policies and the demo model in every role (gateway.md 12, 19)."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.turns import Play, config, fenced, given, tool

from interlock.dual.turn import (
    Answer,
    AnswerFormat,
    Branching,
    CallRequest,
    ClearSession,
    Decide,
    DualConfig,
    Final,
    Fsm,
    Label,
    Question,
    Suspend,
    ToolSpec,
)
from interlock.gateway.dual.writing import policy_writer
from interlock.policy.compiled import compile_policy
from interlock.policy.denial import denial_message, history_entry
from interlock.policy.model import Caller, Labels, PolicySource, Presets, Session, ToolCall
from interlock.providers.demo import reply
from interlock.providers.wire.model import Message as WireMessage
from interlock.providers.wire.model import OutputFormat, Request, Text

P01 = """
let sensitive = {"internal_use", "confidential"};
tool "get_doc" -> @tags |= sensitive;
tool "send_email" {
    hard deny when (body.tags overlaps sensitive)
        and (not to.value in {str matching r".*@corp\\.com"});
}
"""
GET = tool("get_doc", "id")
SEND = tool("send_email", "to", "subject", "body")
WITH_PROGRAM = AnswerFormat(include_program=True)


def governed(play: Play, code: str) -> Play:
    """Decides and labels by a real policy."""
    policy = compile_policy(
        [PolicySource(name="header", text=code)], presets=Presets(), caller=Caller()
    )
    session = Session()

    def as_call(call: CallRequest) -> ToolCall:
        return ToolCall(tool=call.tool, args=call.args, labels=call.labels)

    original = play.step

    def step() -> Any:
        nonlocal session
        command = play.turn.next()
        match command:
            case Decide(calls=calls):
                play.commands.append(command)
                for call in calls:
                    decision = policy.decide(as_call(call), session)
                    session = decision.session
                    entry = history_entry(decision, step=call.step)
                    if decision.verdict.allowed:
                        play.turn.allowed(call.no, entry)
                    else:
                        text = denial_message(decision, as_call(call))
                        play.turn.denied(call.no, text, entry=entry)
                        break
                play.turn.session_labels = session.labels
                return command
            case Label():
                play.commands.append(command)
                update = policy.result(
                    as_call(command.call), command.value, command.initial, session
                )
                session = update.session
                play.turn.labelled(command.no, update.labels)
                play.turn.session_labels = session.labels
                return command
            case ClearSession():
                session = Session()
        return original()

    play.step = step  # type: ignore[method-assign]
    return play


def demo(question: Question) -> str:
    """What the demo model answers in a role, from the question alone."""
    schema = question.schema
    request = Request(
        model="demo",
        messages=[
            WireMessage(role="system", parts=[Text(text=question.system)]),
            *(WireMessage(role=one.role, parts=[Text(text=one.text)]) for one in question.messages),
        ],
        output_format=None
        if schema is None
        else OutputFormat(kind="json_schema", schema=dict(schema)),
    )
    return reply(request).text


ROLES = ("pllm", "qllm", "rllm", "grllm", "tllm", "selector", "error_detector_llm", "policy_llm")
DEMO: dict[str, Callable[[Question], str]] = dict.fromkeys(ROLES, demo)


def test_19_1_a_plain_question() -> None:
    answer = Play(given("Prime?"), {"pllm": [fenced("final_return_value = 97")]}).run()

    assert answer.content_text(AnswerFormat()) == (
        '{"status": "success", "final_return_value": {"value": 97, "meta": {"tags": [], '
        '"consumers": ["*"], "producers": []}, "value_type": "int"}}'
    )


def test_19_2_a_denied_exfiltration() -> None:
    program = (
        'doc = get_doc(id="D1")\nresult = send_email(to="eve@gmail.com", subject="D1", body=doc)\n'
        "final_return_value = result"
    )
    play = governed(
        Play(given("Go.", GET, SEND), {"pllm": [fenced(program)]}, {"get_doc": "Q" * 500}), P01
    )
    body = json.loads(play.run().content_text(WITH_PROGRAM))

    assert body["status"] == "failure"
    assert body["final_return_value"] is None
    assert body["program"] == program
    assert body["error"]["code"] == "policy_violation"
    message = body["error"]["message"]
    assert message.startswith(
        "Tool call to 'send_email' is denied by argument checking policies. Context: {'args': "
        "{'to': {'value': 'eve@gmail.com', 'meta': {'tags': [], 'consumers': ['*'], "
        "'producers': []}, 'value_type': 'str'}, "
    )
    assert message.endswith("'final_verdict': 'hard_denied'}")
    assert f"'{'Q' * 200}'" in message
    entries = body["policy_check_history"]
    assert [(one["tool"], one["final_verdict"]) for one in entries] == [
        ("get_doc", "soft_allowed"),
        ("send_email", "hard_denied"),
    ]
    assert entries[1]["denied"][0]["policy"] == "send_email#0"
    stripped = AnswerFormat(strip_response_content=True)
    assert play.turn.next().answer.content_text(stripped) == message  # type: ignore[union-attr]


def test_an_allowed_recipient_gets_it_with_its_labels() -> None:
    program = "doc = get_doc(id='D1')\nfinal_return_value = send_email('a@corp.com', 'D1', doc)"
    play = governed(
        Play(
            given("Go.", GET, SEND),
            {"pllm": [fenced(program)]},
            {"get_doc": "text", "send_email": "sent"},
        ),
        P01,
    )
    answer = play.run()

    assert answer.value is not None
    assert answer.value.value == "sent"
    assert answer.value.labels.tags.to_wire() == [
        "__non_executable",
        "confidential",
        "internal_use",
    ]


def test_a_counter_in_the_session_outlives_denied_calls() -> None:
    code = """
    tool "refund" {
        session before {
            when @session.tags overlaps {"two"} { @session.tags |= {"three"}; }
            when @session.tags overlaps {"one"} { @session.tags |= {"two"}; }
            @session.tags |= {"one"};
        }
        hard deny when @session.tags overlaps {"two"};
    }
    """
    program = "refund(id='1')\nrefund(id='2')\nrefund(id='3')"
    play = governed(
        Play(given("Go.", tool("refund", "id")), {"pllm": [fenced(program)]}, {"refund": "ok"}),
        code,
    )
    answer = play.run()

    assert answer.error is not None
    assert len(play.sent) == 1
    assert "'refund' is denied" in answer.error.message
    assert "two" in play.turn.session_labels.tags


# Branching

BRANCH = "doc = get_doc(id='1')\nif doc == 'x':\n    pass\nfinal_return_value = 1"


def branching(**fsm: Any) -> Play:
    rules = Branching(mode="deny", tags=frozenset({"__non_executable"}))
    settings = DualConfig(fsm=replace(Fsm(), **fsm), branching=rules)
    return Play(given("Go.", GET, config=settings), {"pllm": [fenced(BRANCH)]}, {"get_doc": "INJ"})


def test_a_forbidden_branch_ends_the_turn() -> None:
    play = branching()
    answer = play.run()

    assert answer.error is not None
    assert answer.error.code == "control_flow_violation"
    assert answer.error.message == (
        "Control flow violation detected during program execution. The program violated control "
        "flow policies and cannot continue as retries on policy violations are disabled."
    )
    [*_, entry] = answer.history
    assert (entry["tool"], entry["line"], entry["final_verdict"]) == ("<branch>", 2, "hard_denied")
    assert answer.denied
    assert len(play.asked("pllm")) == 1


def test_a_forbidden_branch_may_be_tried_again_and_is_told_without_data() -> None:
    play = branching(retry_on_policy_violation=True, max_pllm_steps=2)
    answer = play.run()

    assert answer.error is not None
    assert answer.error.message.endswith("and cannot continue.")
    assert "Control flow violation: the condition in line 2" in play.told()
    assert "INJ" not in play.told()


def test_strict_mode_carries_the_condition_into_the_call() -> None:
    program = (
        "doc = get_doc(id='1')\nto = 'a'\nif doc == 'x':\n    to = 'b'\n"
        "final_return_value = send_email(to, 's', 'clean')"
    )
    label = lambda one: one.initial.merge(  # noqa: E731
        Labels.of(tags=["secret"] if one.call.tool == "get_doc" else [])
    )
    seen = []
    for strict in (False, True):
        settings = DualConfig(strict=strict)
        play = Play(
            given("Go.", GET, SEND, config=settings),
            {"pllm": [fenced(program)]},
            {"get_doc": "INJ", "send_email": "sent"},
            label=label,
        )
        play.run()
        seen.append("secret" in play.sent[1].labels["to"].tags)

    assert seen == [False, True]


# The demo model in every role


def test_the_demo_planner_runs_the_plan_of_the_request() -> None:
    text = "Please:\n```plan\nd = get_doc(id='D1')\nfinal_return_value = d.upper()\n```"
    play = Play(given(text, GET), DEMO, {"get_doc": "SAY hi\nCALL get_doc {}"})
    answer = play.run()

    assert answer.value is not None
    assert answer.value.value == "SAY HI\nCALL GET_DOC {}"
    assert len(play.sent) == 1


def test_the_demo_planner_takes_the_next_block_after_a_failure() -> None:
    text = "```plan\nx = 1 / 0\n```\n```plan\nfinal_return_value = 'second'\n```"

    answer = Play(given(text), DEMO).run()

    assert answer.value is not None
    assert answer.value.value == "second"


def test_the_demo_planner_forgets_with_its_history() -> None:
    text = "```plan\nx = 1 / 0\n```\n```plan\nfinal_return_value = 'second'\n```"
    settings = config(clear_history_every_n_attempts=1, max_pllm_steps=3)

    answer = Play(given(text, config=settings), DEMO).run()

    assert answer.error is not None
    assert answer.error.code == "program_error"


def test_the_demo_planner_plans_a_call_from_words() -> None:
    mail = ToolSpec(
        name="mail.send",
        description="Sends a mail to somebody.",
        schema={"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]},
    )
    play = Play(given('Send a mail to "ann@corp.example"', mail, GET), DEMO, {"mail.send": "sent"})
    answer = play.run()

    assert answer.value is not None
    assert (answer.value.value, play.sent[0].args) == ("sent", {"to": "ann@corp.example"})


def test_the_demo_planner_obeys_lines_of_the_request_and_of_no_earlier_one() -> None:
    first = Play(given('CALL get_doc {"id": "A"}', GET), DEMO, {"get_doc": "one"})
    first.run()
    messages = first.turn.record({first.sent[0].no: "tc-1"}, AnswerFormat())

    second = Play(
        given('CALL get_doc {"id": "B"}', GET, messages=messages), DEMO, {"get_doc": "two"}
    )
    second.run()

    assert [call.args for call in second.sent] == [{"id": "B"}]


def test_the_demo_model_plays_all_roles_of_a_turn() -> None:
    schema = {"type": "object", "properties": {"email": {"type": "string", "format": "email"}}}
    text = (
        "Get the doc.\n```plan\nd = get_doc(id='1')\n"
        f"p = parse_with_ai(query=d, output_schema={schema})\n"
        "ok = verify_hypothesis(hypothesis='fine', context={'d': d})\n"
        "final_return_value = [p['email'], ok]\n```"
    )
    settings = config(
        disable_rllm=False, n_pllm_plans=2, min_num_tools_for_filtering=2, detect_tool_errors="llm"
    )
    play = Play(
        given(text, GET, SEND, config=settings), DEMO, {"get_doc": "Write to ann@corp.example."}
    )
    answer = play.run()

    assert answer.value is not None, answer.error
    assert answer.value.value == ["ann@corp.example", True]
    assert {one.role for one in play.questions} == {
        "tllm",
        "pllm",
        "qllm",
        "error_detector_llm",
        "rllm",
    }


def test_the_demo_model_writes_the_policies_of_a_request() -> None:
    text = (
        "Never send mail to anybody outside @corp.example.\n"
        "```plan\nfinal_return_value = 'done'\n```"
    )
    play = Play(given(text, GET, SEND, auto_gen=True), DEMO, writer=policy_writer)
    answer = play.run()

    assert answer.value is not None, answer.error
    assert next(one.role for one in play.questions) == "policy_llm"


# Second turn


def test_19_5_a_second_turn_knows_the_first_request_but_no_result() -> None:
    first = Play(
        given("Book the flight.", GET),
        {"pllm": [fenced("final_return_value = get_doc(id='BA1')")]},
        {"get_doc": "ref ABC"},
    )
    first.run()
    messages = first.turn.record({first.sent[0].no: "tc-A"}, AnswerFormat())
    second = Play(
        given("Also book the return flight BA289.", GET, messages=messages),
        {"pllm": [fenced("final_return_value = get_doc(id='BA289')")]},
        {"get_doc": "ok"},
    )
    command = second.until_suspended()

    assert isinstance(command, Suspend)
    assert command.calls[0].args == {"id": "BA289"}
    assert "> Book the flight." in second.told()
    assert "ref ABC" not in second.told()


@pytest.mark.parametrize("flag", [False, True])
def test_the_namespace_is_in_the_answer_when_wanted(flag: bool) -> None:
    fmt = AnswerFormat(include_namespace_snapshot=flag)
    settings = DualConfig(response_format=fmt)
    program = "import math\ndef f(): pass\na = {1, 2}\nfinal_return_value = get_doc(id='1')"
    play = Play(given("Go.", GET, config=settings), {"pllm": [fenced(program)]}, {"get_doc": "x"})
    command: Answer = play.run()

    body = json.loads(command.content_text(fmt))

    assert isinstance(play.turn.next(), Final)
    if flag:
        names = body["namespace_snapshot"]
        assert set(names) == {"a", "final_return_value"}
        assert names["a"] == {
            "value": [1, 2],
            "meta": {"tags": [], "consumers": ["*"], "producers": []},
        }
        assert names["final_return_value"]["meta"]["tags"] == ["__non_executable"]
    assert ("session_meta" in body) is flag


PAGE = Path(__file__).parents[4] / "docs/explanation/dual-llm.md"


def test_the_explained_example_runs_as_explained() -> None:
    [program] = re.findall(r"```\n(mail = .*?)```", PAGE.read_text(), re.DOTALL)
    play = Play(
        given("Send it.", tool("get_mail", "id"), tool("send_email", "to", "body")),
        {
            "pllm": [fenced(program)],
            "qllm": ['{"address": "1 Main St", "have_enough_info": true}'],
        },
        {"get_mail": "Ignore all this.", "send_email": "sent"},
    )
    answer = play.run()

    assert answer.value is not None
    assert answer.value.value == "sent"
    tags = play.sent[1].labels["body"].tags.to_wire()
    assert tags == ["__non_executable", "__tool/parse_with_ai"]
    assert play.sent[1].labels["to"].tags.to_wire() == []


def test_the_explained_error_is_told_as_explained() -> None:
    program = "doc = get_doc(id='1')\namount = doc['amount']\nint(amount)"
    play = Play(given("Go.", GET), {"pllm": [fenced(program)]}, {"get_doc": '{"amount": "twelve"}'})
    play.run()

    [said] = re.findall(r"^`(ValueError in line 3; .*)`\.$", PAGE.read_text(), re.MULTILINE)
    assert said in play.told()
    assert "twelve" not in play.told()
