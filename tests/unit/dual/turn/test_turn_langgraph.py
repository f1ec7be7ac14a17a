"""Programs that a client brings along (gateway.md 13, 19.8)."""

import json
from typing import Any

import pytest
from tests.support.turns import Denied, Play, given

from interlock.dual.turn import ContextVar, Suspend, ToolSpec
from interlock.policy.model import DEFAULT_LABELS, Labels

STATE_SCHEMA = {
    "type": "object",
    "properties": {"state": {"type": "object"}},
    "required": ["state"],
}
READ, ROUTE = (ToolSpec(name=name, schema=STATE_SCHEMA) for name in ("read_file", "route"))

PROGRAM = """
state = initial_state
read_file_result = read_file(state=state)
for key, value in read_file_result.items():
    if key in state:
        if isinstance(value, list) and isinstance(state[key], list):
            state[key].extend(value)
        else:
            state[key] = value
    else:
        state[key] = value
next_node = route(state=state)
if next_node == 'again':
    read_file_result = read_file(state=state)
    state['result'] = read_file_result['result']
elif next_node == '__end__':

final_return_value = state.get('result', state)
"""


def graph(program: str = PROGRAM, labels: Labels = DEFAULT_LABELS, **tools: Any) -> Play:
    state = {"query": "q", "result": "", "log": ["start"]}
    said = {
        "read_file": json.dumps({"result": "File contents", "log": ["read"]}),
        "route": json.dumps("__end__"),
        **tools,
    }
    start = given(
        "Execute it.",
        READ,
        ROUTE,
        user_program=program,
        context_vars={"initial_state": ContextVar(value=state, labels=labels)},
    )
    return Play(start, tools=said)


def test_a_graph_runs_without_any_planner() -> None:
    play = graph()
    answer = play.run()

    assert answer.value is not None
    assert answer.value.value == "File contents"
    assert play.questions == []
    assert [(call.tool, call.args) for call in play.sent] == [
        ("read_file", {"state": {"query": "q", "result": "", "log": ["start"]}}),
        ("route", {"state": {"query": "q", "result": "File contents", "log": ["start", "read"]}}),
    ]


def test_a_router_decides_by_a_json_string() -> None:
    play = graph(route='"again"')
    play.run()

    assert [call.tool for call in play.sent] == ["read_file", "route", "read_file"]


def test_arguments_are_snapshots() -> None:
    play = graph()
    play.run()

    assert play.sent[0].args["state"]["log"] == ["start"]


def test_labels_of_the_state_are_decided_on() -> None:
    play = graph(labels=Labels.of(tags=["pii"]))
    command = play.until_suspended()

    assert isinstance(command, Suspend)
    assert command.calls[0].labels["state"].tags.to_wire() == ["pii"]


def test_a_function_that_is_no_tool_is_named_with_the_tools_before_anything_runs() -> None:
    play = graph("x = read_file(state=initial_state)\ny = Read_File(state=x)\n")
    answer = play.run()

    assert answer.error is not None
    assert answer.error.code == "program_error"
    assert "Read_File" in answer.error.message
    assert "read_file, route" in answer.error.message
    assert play.sent == []


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("x = 1 / 0", "program_error"),
        ("def (", "program_error"),
        ("import os", "program_error"),
    ],
)
def test_there_is_no_second_attempt(program: str, code: str) -> None:
    play = graph(program)
    answer = play.run()

    assert answer.error is not None
    assert answer.error.code == code
    assert play.questions == []


def test_a_denied_node_ends_the_run() -> None:
    play = graph()
    play.decide = lambda call: Denied("no") if call.tool == "route" else None
    answer = play.run()

    assert answer.error is not None
    assert answer.error.code == "policy_violation"
    assert [call.tool for call in play.sent] == ["read_file"]


def test_internal_nodes_run_in_the_server() -> None:
    play = graph(
        "final_return_value = parse_with_ai(query=initial_state['query'], "
        "output_schema={'type': 'object', 'properties': {}})"
    )
    play.models = {"qllm": ['{"have_enough_info": true}']}
    answer = play.run()

    assert answer.value is not None
    assert answer.value.value == {"have_enough_info": True}
    assert play.sent == []
