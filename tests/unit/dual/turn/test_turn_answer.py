"""The final assistant message, to the byte (gateway.md 10.7, 19.1, 19.2)."""

import json

import pytest

from interlock.dual.turn.answer import Answer, AnswerValue, TurnError, control_flow_message
from interlock.dual.turn.config import AnswerFormat
from interlock.policy.model import Labels

PLAIN = AnswerFormat()


def test_a_success_reads_as_published() -> None:
    answer = Answer(value=AnswerValue(value=97, value_type="int"))

    assert answer.content_text(PLAIN) == (
        '{"status": "success", "final_return_value": {"value": 97, "meta": {"tags": [], '
        '"consumers": ["*"], "producers": []}, "value_type": "int"}}'
    )


def test_labels_are_sorted_lists_under_exactly_three_keys() -> None:
    labels = Labels.of(tags=["b", "a"], producers=["z", "y"], consumers=["d", "c"])
    answer = Answer(value=AnswerValue(value="é", labels=labels, value_type="str"))

    text = answer.content_text(PLAIN)

    assert r'"\u00e9"' in text
    assert json.loads(text)["final_return_value"]["meta"] == {
        "tags": ["a", "b"],
        "consumers": ["c", "d"],
        "producers": ["y", "z"],
    }


def test_a_denial_shows_its_history_without_being_asked() -> None:
    answer = Answer(
        error=TurnError(code="policy_violation", message="Tool call to 'x' is denied"),
        program="x()",
        history=({"tool": "x", "denied": [{"policy": "x#0"}]},),
        denied=True,
        session_labels=Labels.of(tags=["s"]),
    )

    text = answer.content_text(PLAIN)

    assert '"denied": [{' in text
    assert json.loads(text) == {
        "status": "failure",
        "final_return_value": None,
        "error": {"code": "policy_violation", "message": "Tool call to 'x' is denied"},
        "policy_check_history": [{"tool": "x", "denied": [{"policy": "x#0"}]}],
        "session_meta": {
            "value": None,
            "meta": {"tags": ["s"], "consumers": ["*"], "producers": []},
        },
    }


@pytest.mark.parametrize(
    ("wanted", "keys"),
    [
        (PLAIN, set()),
        (AnswerFormat(include_program=True), {"program"}),
        (
            AnswerFormat(include_policy_check_history=True),
            {"policy_check_history", "session_meta"},
        ),
        (AnswerFormat(include_namespace_snapshot=True), {"namespace_snapshot", "session_meta"}),
    ],
)
def test_each_flag_adds_its_member(wanted: AnswerFormat, keys: set[str]) -> None:
    answer = Answer(
        value=AnswerValue(value=1, value_type="int"),
        program="1",
        history=({"tool": "x", "denied": []},),
        namespace={"a": AnswerValue(value=1, value_type="int")},
    )

    body = json.loads(answer.content_text(wanted))

    assert set(body) == {"status", "final_return_value"} | keys
    if "namespace_snapshot" in keys:
        meta = {"tags": [], "consumers": ["*"], "producers": []}
        assert body["namespace_snapshot"] == {"a": {"value": 1, "meta": meta}}


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (Answer(value=AnswerValue(value="a\nb")), "a\nb"),
        (Answer(value=AnswerValue(value={"k": [1, None]})), '{"k": [1, null]}'),
        (Answer(value=AnswerValue(value=None)), "null"),
        (Answer(value=AnswerValue(value=97)), "97"),
        (Answer(error=TurnError(code="program_error", message="boom")), "boom"),
    ],
)
def test_a_stripped_answer_is_the_bare_value_or_message(answer: Answer, text: str) -> None:
    every = AnswerFormat(
        strip_response_content=True,
        include_program=True,
        include_policy_check_history=True,
        include_namespace_snapshot=True,
    )

    assert answer.content_text(every) == text


def test_a_seen_mismatch_is_said() -> None:
    answer = Answer(value=AnswerValue(value=1), history_mismatch=True)

    assert json.loads(answer.content_text(PLAIN))["message_history_mismatch_detected"] is True


def test_numbers_json_does_not_have_become_text() -> None:
    answer = Answer(value=AnswerValue(value=[float("nan"), float("-inf")], value_type="list"))

    assert json.loads(answer.content_text(PLAIN))["final_return_value"]["value"] == ["nan", "-inf"]


def test_the_control_flow_sentence_drops_its_last_clause_when_retries_were_used_up() -> None:
    assert control_flow_message(retries=False) == (
        "Control flow violation detected during program execution. The program violated control "
        "flow policies and cannot continue as retries on policy violations are disabled."
    )
    assert control_flow_message(retries=True).endswith("and cannot continue.")
