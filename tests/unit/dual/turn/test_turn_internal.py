"""The internal tools and the policy writer (gateway.md 10.6, 5 `auto_gen`)."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from tests.support.turns import Denied, Failure, Play, config, fenced, given, tool

from interlock.dual.turn import (
    Decide,
    Label,
    Problem,
    Restrict,
    Suspend,
    ToolSpec,
    Write,
    Written,
)
from interlock.gateway.dual.writing import policy_writer
from interlock.kernel.roles import role_line, role_of
from interlock.policy.model import Labels

GET = tool("get_doc", "id")
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
PARSE = fenced(
    "doc = get_doc(id='1')\n"
    f"final_return_value = parse_with_ai(query=f'How many? {{doc}}', output_schema={SCHEMA})"
)
CAUGHT = fenced(
    f"try:\n    final_return_value = parse_with_ai(query='q', output_schema={SCHEMA})\n"
    "except ValueError:\n    final_return_value = 'no answer'"
)


def value(play: Play) -> Any:
    answer = play.run()
    assert answer.error is None, answer.error
    assert answer.value is not None
    return answer.value.value


def test_the_quarantined_model_gets_one_text_and_a_schema() -> None:
    said = '{"n": 7, "have_enough_info": true}'
    play = Play(given("Go.", GET), {"pllm": [PARSE], "qllm": [said]}, {"get_doc": "Seven."})
    answer = play.run()

    assert answer.value is not None
    assert answer.value.value == {"n": 7, "have_enough_info": True}
    assert answer.value.labels.tags.to_wire() == ["__non_executable", "__tool/parse_with_ai"]
    [question] = play.asked("qllm")
    assert role_of(question.system) == "qllm"
    assert [message.text for message in question.messages] == ["How many? Seven."]
    assert question.schema is not None
    assert question.schema["required"] == ["n", "have_enough_info"]
    assert question.schema["properties"]["have_enough_info"] == {"type": "boolean"}


def test_internal_calls_are_decided_under_their_own_names() -> None:
    play = Play(
        given("Go.", GET),
        {"pllm": [PARSE], "qllm": ['{"n": 7, "have_enough_info": true}']},
        {"get_doc": "Seven."},
    )
    play.run()

    decided = [call for one in play.commands if isinstance(one, Decide) for call in one.calls]
    assert [(call.tool, call.internal) for call in decided] == [
        ("get_doc", False),
        ("parse_with_ai", True),
    ]
    assert [call.tool for call in play.sent] == ["get_doc"]
    assert [one.call.tool for one in play.labels] == ["get_doc", "parse_with_ai"]


def test_a_denied_internal_call_ends_the_attempt() -> None:
    decide = lambda call: Denied("blocked") if call.internal else None  # noqa: E731
    play = Play(given("Go.", GET), {"pllm": [PARSE]}, {"get_doc": "x"}, decide=decide)
    answer = play.run()

    assert answer.error is not None
    assert answer.error.message == "blocked"
    assert play.asked("qllm") == []


@pytest.mark.parametrize(
    "bad", ["no json", '{"n": "x", "have_enough_info": true}', '{"n": 1}', "[]"]
)
def test_an_invalid_answer_is_repaired_once(bad: str) -> None:
    good = '```json\n{"n": 1, "have_enough_info": true}\n```'
    play = Play(given(), {"pllm": [CAUGHT], "qllm": [bad, good]})

    assert value(play) == {"n": 1, "have_enough_info": True}
    second = play.asked("qllm")[1]
    assert [message.role for message in second.messages] == ["user", "assistant", "user"]
    assert second.messages[1].text == bad
    assert "not valid" in second.messages[2].text


def test_a_second_invalid_answer_is_a_value_error() -> None:
    play = Play(given(), {"pllm": [CAUGHT], "qllm": ["no", "no"]})

    assert value(play) == "no answer"
    assert len(play.asked("qllm")) == 2
    assert play.labels[0].failed


@pytest.mark.parametrize(
    "schema", ["{'type': 'array'}", "{'properties': 1}", "'text'", "{'required': 'n'}"]
)
def test_a_schema_of_no_object_is_a_value_error(schema: str) -> None:
    program = (
        f"try:\n    parse_with_ai('q', {schema})\n"
        "except ValueError:\n    final_return_value = 'bad'"
    )
    play = Play(given(), {"pllm": [fenced(program)], "qllm": ["{}"]})

    assert value(play) == "bad"
    assert play.asked("qllm") == []


def test_a_class_of_the_program_is_a_schema_too() -> None:
    program = (
        "from pydantic import BaseModel, Field\n"
        "class Person(BaseModel):\n    name: str = Field(description='full')\n    age: int\n"
        "final_return_value = parse_with_ai('q', Person.model_json_schema())['name']"
    )
    said = '{"name": "Ann", "age": 3, "have_enough_info": true}'

    assert value(Play(given(), {"pllm": [fenced(program)], "qllm": [said]})) == "Ann"


def test_a_quarantined_model_that_cannot_be_asked_ends_the_turn() -> None:
    play = Play(given(), {"pllm": [CAUGHT], "qllm": [Failure("timeout", "late")]})
    answer = play.run()

    assert answer.error is not None
    assert (answer.error.code, answer.error.message) == ("timeout", "late")


@pytest.mark.parametrize("holds", [True, False])
def test_hypotheses_are_judged(holds: bool) -> None:
    program = fenced(
        "final_return_value = verify_hypothesis('It is big.', {'size': get_doc(id='1')})"
    )
    play = Play(
        given("Go.", GET),
        {"pllm": [program], "qllm": [json.dumps({"holds": holds})]},
        {"get_doc": "HUGE"},
    )
    answer = play.run()

    assert answer.value is not None
    assert answer.value.value is holds
    assert answer.value.labels.tags.contains("__tool/verify_hypothesis")
    assert '"size": "HUGE"' in play.told("qllm")


@pytest.mark.parametrize(
    "name", ["parse_with_ai", "verify_hypothesis", "set_policy", "complete_turn"]
)
def test_a_tool_that_is_not_enabled_does_not_exist(name: str) -> None:
    settings = config(enabled_internal_tools=(), max_pllm_steps=1)
    play = Play(given(config=settings), {"pllm": [fenced(f"{name}('x')")]})
    answer = play.run()

    assert answer.error is not None
    assert answer.error.code == "program_error"
    assert name in answer.error.message


# set_policy

SET = fenced(
    "try:\n    set_policy('tool \"x\" { must deny always; }')\n    final_return_value = 'set'\n"
    "except ValueError:\n    final_return_value = 'refused'"
)


@pytest.mark.parametrize(("error", "wanted"), [(None, "set"), ("it loosens", "refused")])
def test_the_planner_adds_rules_that_restrict(error: str | None, wanted: str) -> None:
    settings = config(enabled_internal_tools=("set_policy",))
    play = Play(given(config=settings), {"pllm": [SET]}, restrict=lambda _: error)

    assert value(play) == wanted
    [asked] = [one for one in play.commands if isinstance(one, Restrict)]
    assert (asked.code, asked.origin) == ('tool "x" { must deny always; }', "set_policy")


# auto_gen


class Writer:
    """Asks once, then writes or fails."""

    def __init__(self, last: Written | Problem) -> None:
        self.last = last

    def begin(self) -> Write:
        return Write(system=role_line("policy_llm") + "Write.", user="For this.")

    def answered(self, text: str, *, cut: bool = False) -> Written | Problem:
        del cut
        assert text == "an answer"
        return self.last


def auto(last: Written | Problem, **more: Any) -> Play:
    def factory(request: str, tools: Sequence[ToolSpec], internal: Sequence[str]) -> Writer:
        assert (request, [one.name for one in tools], list(internal)) == (
            "Go.",
            ["get_doc"],
            ["parse_with_ai", "verify_hypothesis"],
        )
        return Writer(last)

    models: dict[str, Any] = {
        "pllm": [fenced("final_return_value = 1")],
        "policy_llm": ["an answer"],
    }
    return Play(given("Go.", GET, auto_gen=True), models, writer=factory, **more)


def test_policies_are_written_before_planning() -> None:
    play = auto(Written(code="CODE"))

    assert value(play) == 1
    assert [one.role for one in play.questions] == ["policy_llm", "pllm"]
    [added] = [one for one in play.commands if isinstance(one, Restrict)]
    assert (added.code, added.origin) == ("CODE", "auto_gen")


def test_an_empty_policy_is_not_added() -> None:
    play = auto(Written(code=""))

    assert value(play) == 1
    assert not any(isinstance(one, Restrict) for one in play.commands)


@pytest.mark.parametrize(
    ("play", "why"),
    [
        (auto(Problem(message="no rule fits")), "no rule fits"),
        (auto(Written(code="CODE"), restrict=lambda _: "does not compile"), "does not compile"),
    ],
)
def test_a_policy_that_cannot_be_used_is_dropped_and_told(play: Play, why: str) -> None:
    assert value(play) == 1
    assert play.turn.policy_problem == why


def test_without_a_writer_nothing_runs() -> None:
    play = Play(given("Go.", GET, auto_gen=True), {"pllm": ["x"]})
    answer = play.run()

    assert answer.error is not None
    assert answer.error.code == "planner_error"
    assert "no policy can be generated" in answer.error.message
    assert play.asked("pllm") == []


def test_policies_are_written_in_the_real_language() -> None:
    code = '```sqrt\ntool "get_doc" { must deny when id.value in {"secret"}; }\n```'
    models: dict[str, Any] = {"pllm": [fenced("final_return_value = 1")], "policy_llm": [code]}
    start = given("Never read secret.", GET, auto_gen=True)
    play = Play(start, models, writer=policy_writer)

    assert value(play) == 1
    [added] = [one for one in play.commands if isinstance(one, Restrict)]
    assert 'tool "get_doc"' in added.code
    assert "Never read secret." in play.told("policy_llm")


def test_a_policy_model_that_cannot_be_asked_ends_the_turn() -> None:
    models: dict[str, Any] = {"policy_llm": [Failure()]}
    answer = Play(given("Go.", GET, auto_gen=True), models, writer=policy_writer).run()

    assert answer.error is not None
    assert answer.error.code == "upstream_error"


def test_labels_of_a_failed_extraction_stay_on_the_error() -> None:
    program = fenced(
        f"doc = get_doc(id='1')\ntry:\n    parse_with_ai(doc, {SCHEMA})\n"
        "except ValueError as e:\n    final_return_value = str(e)"
    )
    label = lambda one: one.initial.merge(Labels.of(tags=[one.call.tool]))  # noqa: E731
    play = Play(
        given("Go.", GET), {"pllm": [program], "qllm": ["no"]}, {"get_doc": "x"}, label=label
    )
    answer = play.run()

    assert answer.value is not None
    assert {"get_doc", "parse_with_ai"} <= set(answer.value.labels.tags.to_wire())
    assert isinstance(play.commands[2], Suspend)
    assert isinstance(play.commands[3], Label)
