"""From a call to its result: intake, caching, repetition, suspension (7.3, 7.4, 10.5, 10.6)."""

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.support.turns import Denied, Failure, Play, config, fenced, given, tool

from interlock.dual.turn import (
    AnswerFormat,
    Ask,
    CacheEntry,
    Decide,
    DualConfig,
    Final,
    Label,
    Suspend,
    Turn,
)
from interlock.policy.model import Labels

GET = tool("get_doc", "id")
SEND = tool("send-mail", "to", "body", required=["to"])
READ = fenced("final_return_value = get_doc(id='D1')")


def value(play: Play) -> Any:
    answer = play.run()
    assert answer.error is None, answer.error
    assert answer.value is not None
    return answer.value.value


def tags(answer: Any) -> list[str]:
    labels: Labels = answer.value.labels
    return labels.tags.to_wire()


# One call


def test_a_call_is_decided_suspended_labelled_and_returned() -> None:
    play = Play(given("Go.", GET), {"pllm": [READ]}, {"get_doc": "text"})

    assert value(play) == "text"
    kinds = [type(one) for one in play.commands]
    assert kinds == [Ask, Decide, Suspend, Label, Final]
    [call] = play.sent
    assert (call.tool, call.args, call.internal, call.line, call.step) == (
        "get_doc",
        {"id": "D1"},
        False,
        1,
        1,
    )


def test_names_positions_and_defaults_become_the_tools_own() -> None:
    program = fenced("send_mail('ann', 'hello')\nsend_mail(to='bob')")
    play = Play(given("Go.", SEND), {"pllm": [program]}, {"send-mail": "ok"})
    play.run()

    assert [(one.tool, one.args) for one in play.sent] == [
        ("send-mail", {"to": "ann", "body": "hello"}),
        ("send-mail", {"to": "bob"}),
    ]


@pytest.mark.parametrize("call", ["send_mail(body='x')", "send_mail(to='a', cc='x')"])
def test_wrong_arguments_are_a_type_error_and_leave_nothing(call: str) -> None:
    settings = config(max_pllm_steps=1)
    play = Play(given("Go.", SEND, config=settings), {"pllm": [fenced(call)]})

    answer = play.run()

    assert answer.error is not None
    assert answer.error.message.startswith("TypeError")
    assert play.sent == []


def test_the_result_carries_its_arguments_labels_and_is_not_executable() -> None:
    program = fenced("a = get_doc(id='D1')\nfinal_return_value = get_doc(id=a)")

    def label(one: Label) -> Labels:
        extra = Labels.of(tags=["first"] if one.call.args == {"id": "D1"} else [])
        return one.initial.merge(extra)

    play = Play(given("Go.", GET), {"pllm": [program]}, {"get_doc": "x"}, label=label)
    answer = play.run()

    assert tags(answer) == ["__non_executable", "first"]
    assert play.sent[1].labels["id"].tags.to_wire() == ["__non_executable", "first"]
    assert play.sent[1].derived
    assert not play.sent[0].derived


def test_the_preset_decides_about_the_non_executable_tag() -> None:
    settings = replace(DualConfig(), non_executable=False)
    play = Play(given("Go.", GET, config=settings), {"pllm": [READ]}, {"get_doc": "x"})

    assert tags(play.run()) == []


@pytest.mark.parametrize(
    ("strict", "schema", "wanted"),
    [
        (False, None, {"a": 1}),
        (True, None, '{"a": 1}'),
        (True, {"type": "object"}, {"a": 1}),
    ],
)
def test_results_are_parsed_as_configured(strict: bool, schema: Any, wanted: object) -> None:
    spec = replace(GET, output_schema=schema)
    settings = config(strict_tool_result_parsing=strict)
    play = Play(given("Go.", spec, config=settings), {"pllm": [READ]}, {"get_doc": '{"a": 1}'})

    assert value(play) == wanted


def test_a_tool_labels_its_own_result() -> None:
    meta = {"producers": ["p"], "consumers": ["c"], "tags": ["t"]}
    text = json.dumps({"value": "v", "meta": meta, "is_sequrity_var": True})
    play = Play(given("Go.", GET), {"pllm": [READ]}, {"get_doc": text})
    answer = play.run()

    assert answer.value is not None
    assert answer.value.value == "v"
    assert answer.value.labels.to_wire() == {**meta, "tags": ["__non_executable", "t"]}


def test_a_call_knows_where_its_arguments_come_from() -> None:
    program = fenced(
        "a = parse_with_ai(query='q', output_schema={'type': 'object'})\n"
        "doc = get_doc(id='D1')\nshort = doc[:3]\nfinal_return_value = get_doc(id=short)"
    )
    said = ['{"have_enough_info": true}']
    play = Play(given("Go.", GET), {"pllm": [program], "qllm": said}, {"get_doc": "text"})
    play.run()

    first, second = play.sent
    assert first.lineage == {}
    nodes = {node["id"]: node for node in second.lineage["nodes"]}
    [result] = [node for node in nodes.values() if node["kind"] == "tool_result"]
    assert (result["ref"], result["call"]) == ("get_doc", first.no)
    lines = {(nodes[e["from"]]["ref"], nodes[e["to"]]["ref"]) for e in second.lineage["edges"]}
    assert {("get_doc", "doc"), ("doc", "short"), ("short", "id")} <= lines


# Errors

CATCH = fenced(
    "try:\n    final_return_value = get_doc(id='D1')\n"
    "except ToolError as e:\n    final_return_value = ['caught', str(e)]"
)


@pytest.mark.parametrize(
    ("settings", "said", "wanted"),
    [
        ({}, "Error: gone", "Error: gone"),
        ({}, ("gone", True), ["caught", "gone"]),
        ({"detect_tool_errors": "regex"}, "Error: gone", ["caught", "Error: gone"]),
        ({"detect_tool_errors": "regex"}, "fine", "fine"),
        (
            {"detect_tool_errors": "regex", "detect_tool_error_regex_pattern": "(?i)oops"},
            "Well, OOPS",
            ["caught", "Well, OOPS"],
        ),
        (
            {
                "detect_tool_errors": "regex",
                "detect_tool_error_regex_pattern": "oops",
                "detect_tool_error_max_result_length": 4,
            },
            "well, oops",
            "well, oops",
        ),
        (
            {"detect_tool_errors": "regex", "tool_result_transform": "codex"},
            "Exit code: 1\nOutput:\nfatal: x",
            ["caught", "fatal: x"],
        ),
    ],
)
def test_failed_calls_raise_a_tool_error(settings: Any, said: Any, wanted: object) -> None:
    play = Play(given("Go.", GET, config=config(**settings)), {"pllm": [CATCH]}, {"get_doc": said})

    assert value(play) == wanted


@pytest.mark.parametrize(
    ("verdict", "wanted"),
    [
        ('{"is_error": true}', ["caught", "abcdef"]),
        ('{"is_error": false}', "abcdef"),
        ("nonsense", "abcdef"),
        (Failure(), "abcdef"),
    ],
)
def test_a_model_may_detect_errors(verdict: Any, wanted: object) -> None:
    settings = config(detect_tool_errors="llm", detect_tool_error_max_result_length=3)
    play = Play(
        given("Go.", GET, config=settings),
        {"pllm": [CATCH], "error_detector_llm": [verdict]},
        {"get_doc": "abcdef"},
    )

    assert value(play) == wanted
    assert "abc\n" in play.told("error_detector_llm")
    assert "abcd" not in play.told("error_detector_llm")


def test_a_failed_call_runs_the_result_rules_too() -> None:
    play = Play(given("Go.", GET), {"pllm": [CATCH]}, {"get_doc": ("gone", True)})
    play.run()

    assert [(one.failed, one.value) for one in play.labels] == [(True, None)]


def test_an_uncaught_tool_error_is_named_and_redacted() -> None:
    play = Play(
        given("Go.", GET, config=config(max_pllm_steps=2)),
        {"pllm": [READ]},
        {"get_doc": ("INJECTED", True)},
    )
    answer = play.run()

    assert answer.error is not None
    assert (answer.error.code, answer.error.message) == (
        "tool_error",
        "ToolError: INJECTED (line 1)",
    )
    assert "ToolError in line 1" in play.told()
    assert "INJECTED" not in play.told()


@pytest.mark.parametrize(
    ("said", "wanted"),
    [("fine", [True, "fine", None]), (("gone", True), [False, None, "gone"])],
)
def test_results_are_wrapped_as_configured(said: Any, wanted: object) -> None:
    program = fenced(
        "r = get_doc(id='D1')\n"
        "final_return_value = [r.is_ok, r.value if r.is_ok else None, None if r.is_ok else r.error]"
    )
    settings = config(wrap_tool_result=True)
    play = Play(given("Go.", GET, config=settings), {"pllm": [program]}, {"get_doc": said})

    answer = play.run()

    assert answer.value is not None
    assert answer.value.value == wanted
    assert "__non_executable" in tags(answer)


def test_codex_results_are_unpacked() -> None:
    settings = config(tool_result_transform="codex")
    text = "Exit code: 2\nWall time: 1 seconds\nOutput:\nhello\n"
    play = Play(given("Go.", GET, config=settings), {"pllm": [READ]}, {"get_doc": text})

    assert value(play) == {"exit_code": 2, "output": "hello\n"}


# Caching

TWICE = fenced("final_return_value = [get_doc(id='D1'), get_doc(id='D1'), get_doc(id='D2')]")


@pytest.mark.parametrize(
    ("spec", "patterns", "calls"),
    [
        (GET, (), 3),
        (replace(GET, deterministic=True), (), 2),
        (GET, ("get_.*",), 2),
        (GET, ("get",), 3),
    ],
)
def test_results_are_cached_as_configured(spec: Any, patterns: Any, calls: int) -> None:
    settings = config(force_to_cache=patterns)
    play = Play(given("Go.", spec, config=settings), {"pllm": [TWICE]}, {"get_doc": "x"})

    assert value(play) == ["x", "x", "x"]
    assert len(play.sent) == calls
    # Decided every time, labelled once per call that was made.
    assert sum(isinstance(one, Decide) for one in play.commands) == 3
    assert len(play.labels) == calls


def test_a_new_attempt_replays_cached_results() -> None:
    spec = replace(GET, deterministic=True)
    plans = [fenced("get_doc(id='D1')\nx = 1 / 0"), READ]
    play = Play(given("Go.", spec), {"pllm": plans}, {"get_doc": "x"})

    assert value(play) == "x"
    assert len(play.sent) == 1


def test_the_cache_is_the_sessions() -> None:
    spec = replace(GET, deterministic=True)
    label = lambda one: one.initial.merge(Labels.of(tags=["kept"]))  # noqa: E731
    first = Play(given("Go.", spec), {"pllm": [READ]}, {"get_doc": "x"}, label=label)
    first.run()

    second = Play(given("Go.", spec, cache=first.turn.cache), {"pllm": [READ]})
    answer = second.run()

    assert second.sent == []
    assert tags(answer) == ["__non_executable", "kept"]


def test_failures_are_not_cached() -> None:
    spec = replace(GET, deterministic=True)
    play = Play(given("Go.", spec), {"pllm": [CATCH]}, {"get_doc": ("gone", True)})
    play.run()

    assert play.turn.cache == {}


def test_a_cached_result_is_still_decided() -> None:
    entry = {'get_doc:{"id":"D1"}': CacheEntry(data='"x"', labels=Labels())}
    spec = replace(GET, deterministic=True)
    play = Play(given("Go.", spec, cache=entry), {"pllm": [READ]}, decide=lambda _: Denied())

    answer = play.run()

    assert answer.error is not None
    assert answer.error.code == "policy_violation"


# Repetition and order


def test_a_repeated_result_changes_nothing() -> None:
    program = fenced("a = get_doc(id='D1')\nb = get_doc(id='D2')\nfinal_return_value = [a, b]")
    play = Play(given("Go.", GET), {"pllm": [program]}, {"get_doc": "x"})
    first = play.until_suspended()
    assert isinstance(first, Suspend)
    no = first.calls[0].no
    assert play.turn.result(no, "one") == "accepted"
    second = play.until_suspended()

    assert play.turn.result(no, "other") == "repeated"
    assert play.turn.answer_to([no]) == second
    assert play.turn.next() == second
    play.turn = Turn.load(play.turn.dump())
    assert play.turn.answer_to([no]) == second
    assert isinstance(second, Suspend)
    play.turn.result(second.calls[0].no, "two")
    final = play.until_suspended()
    assert isinstance(final, Final)
    assert final.answer.value is not None
    assert final.answer.value.value == ["one", "two"]
    # Both steps can be repeated still, each with its own answer.
    assert play.turn.answer_to([no]) == second
    assert play.turn.answer_to([second.calls[0].no]) == final
    assert len(play.labels) == 2


def test_unknown_results_are_told_apart() -> None:
    play = Play(given("Go.", GET), {"pllm": [READ]}, {"get_doc": "x"})
    play.until_suspended()

    assert play.turn.result(4711, "x") == "unknown"
    assert play.turn.answer_to([4711]) is None
    assert [one.tool for one in play.turn.outstanding()] == ["get_doc"]


def test_an_abandoned_turn_takes_no_results() -> None:
    play = Play(given("Go.", GET), {"pllm": [READ]})
    command = play.until_suspended()
    assert isinstance(command, Suspend)

    play.turn.abandon()

    assert play.turn.outstanding() == ()
    assert play.turn.result(command.calls[0].no, "late") == "unknown"
    assert isinstance(play.turn.next(), Final)
    said = play.turn.record({command.calls[0].no: "tc-1"}, AnswerFormat())
    assert [message.role for message in said] == ["user", "assistant"]


def test_an_edited_call_is_decided_again_with_its_labels() -> None:
    program = fenced("a = get_doc(id='D1')\nfinal_return_value = get_doc(id=a)")
    play = Play(given("Go.", GET), {"pllm": [program]}, {"get_doc": "x"})
    for _ in range(4):
        play.step()
        if isinstance(play.commands[-1], Suspend):
            play.turn.result(play.sent[-1].no, "x")
    command = play.turn.next()
    assert isinstance(command, Decide)
    [call] = command.calls

    play.turn.revise(call.no, {"id": "D2"})

    again = play.turn.next()
    assert isinstance(again, Decide)
    assert again.calls[0].args == {"id": "D2"}
    assert again.calls[0].labels == call.labels
    play.run()
    assert play.sent[-1].args == {"id": "D2"}


def test_events_out_of_place_change_nothing() -> None:
    play = Play(given("Go.", GET), {"pllm": [READ]}, {"get_doc": "x"})
    play.until_suspended()
    before = play.turn.dump()

    play.turn.answered(99, "x")
    play.turn.ask_failed(99, "a", "b")
    play.turn.allowed(99)
    play.turn.denied(99, "x")
    play.turn.labelled(99, Labels())
    play.turn.restricted(99)
    play.turn.cleared()
    play.turn.revise(99, {})

    assert play.turn.dump() == before


def test_what_was_stored_wrongly_is_refused() -> None:
    with pytest.raises(ValueError, match="stored turn"):
        Turn.load(b"nonsense")


# The record of a turn


def test_the_turn_tells_what_it_adds_to_the_conversation() -> None:
    program = fenced("a = get_doc(id='D1')\nfinal_return_value = get_doc(id=a)")
    play = Play(given("Go.", GET), {"pllm": [program]}, {"get_doc": "SECRET"})
    play.run()

    said = play.turn.record({call.no: f"tc-{call.no}" for call in play.sent}, AnswerFormat())

    assert [one.role for one in said] == ["user", *["assistant", "tool"] * 2, "assistant"]
    assert [one.derived for one in said if one.role == "assistant"] == [False, False, True]
    assert [one.calls[0].derived for one in said if one.calls] == [False, True]
    assert said[2].call_id == said[1].calls[0].id
    assert said[2].text == ""


def test_results_are_kept_where_they_may_be_shown() -> None:
    settings = config(pllm={"query_include_tool_results": True})
    play = Play(given("Go.", GET, config=settings), {"pllm": [READ]}, {"get_doc": "text"})
    play.run()

    said = play.turn.record({}, AnswerFormat())

    assert said[2].text == "text"


def test_any_text_and_number_survives_being_stored() -> None:
    program = fenced(
        "a = get_doc(id='D1')\nb = get_doc(id='D2')\nfinal_return_value = [a, b, 2 ** 200]"
    )
    odd = '["\\ud800", 123456789012345678901234567890, "\\u0000"]'
    play = Play(given("Go.", GET), {"pllm": [program]}, {"get_doc": odd})

    parsed = ["\ud800", 123456789012345678901234567890, "\x00"]
    assert value(play) == [parsed, parsed, 2**200]


def test_a_long_turn_stays_small_when_stored() -> None:
    program = fenced(
        "text = 'y' * 20000\nfor n in range(40):\n    get_doc(id=text + str(n))\n"
        "final_return_value = 'done'"
    )
    play = Play(given("Go.", GET), {"pllm": [program]}, {"get_doc": "x"})
    sizes = []
    command = play.until_suspended()
    while isinstance(command, Suspend):
        sizes.append(len(play.turn.dump()))
        play.turn.result(command.calls[0].no, "x")
        command = play.until_suspended()

    assert len(sizes) == 40
    assert max(sizes) < 3 * sizes[10]
    first, last = play.sent[0], play.sent[-1]
    assert play.turn.answer_to([first.no]) is None
    assert isinstance(play.turn.answer_to([last.no]), Final)
    record = play.turn.record({}, AnswerFormat())
    assert len([message for message in record if message.calls]) == 40
