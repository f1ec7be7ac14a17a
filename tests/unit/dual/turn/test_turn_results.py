"""What becomes of a tool's answer before the program gets it (gateway.md 10.5, 6.1)."""

import pytest

from interlock.dual.turn import results
from interlock.dual.turn.config import Fsm
from interlock.policy.model import Labels

CODEX = (
    "Chunk ID: fa3333\nWall time: 0.0000 seconds\nProcess exited with code 3\n"
    "Original token count: 16\nOutput:\nerror: no such file\nOutput:\n"
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
        ('"\\"quoted\\""', '"quoted"'),
        ("12", 12),
        ("plain", "plain"),
        ("", ""),
        ("{broken", "{broken"),
        ("NaN", "NaN"),
        ("[Infinity]", "[Infinity]"),
        ("[" * 100_000, "[" * 100_000),
        ("9" * 5_000, "9" * 5_000),
    ],
)
def test_json_is_decoded_and_everything_else_stays_text(text: str, value: object) -> None:
    received = results.detection_text(text, Fsm())

    assert results.decoded(received, parse=True) == value
    assert results.decoded(received, parse=False) == text


def test_the_codex_prefix_leaves_exit_code_and_output() -> None:
    fsm = Fsm(tool_result_transform="codex", detect_tool_errors="regex")

    received = results.detection_text(CODEX, fsm)

    assert received.text == "error: no such file\nOutput:\n"
    assert results.is_error_text(received, fsm)
    assert results.decoded(received, parse=True) == {
        "exit_code": 3,
        "output": "error: no such file\nOutput:\n",
    }
    assert results.detection_text(CODEX, Fsm()).text == CODEX


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"output": "x", "metadata": {"exit_code": 1}}', {"exit_code": 1, "output": "x"}),
        ("Exit code: 0\nWall time: 1 seconds\nOutput:\n[1]", {"exit_code": 0, "output": [1]}),
        ("no prefix\nOutput:\nx", "no prefix\nOutput:\nx"),
        ("Output:\nx", "Output:\nx"),
        ('{"output": 1}', {"output": 1}),
    ],
)
def test_only_a_real_prefix_is_taken_off(text: str, value: object) -> None:
    received = results.detection_text(text, Fsm(tool_result_transform="codex"))

    assert results.decoded(received, parse=True) == value


@pytest.mark.parametrize(
    ("fsm", "text", "error"),
    [
        (Fsm(), "Error: x", False),
        (Fsm(detect_tool_errors="regex"), "Error: x", True),
        (Fsm(detect_tool_errors="regex"), "All errors fixed", False),
        (Fsm(detect_tool_errors="regex", detect_tool_error_regex_pattern="boom"), "a boom", True),
        (
            Fsm(
                detect_tool_errors="regex",
                detect_tool_error_regex_pattern="boom",
                detect_tool_error_max_result_length=5,
            ),
            "a long boom",
            False,
        ),
    ],
)
def test_errors_are_detected_as_configured(fsm: Fsm, text: str, error: bool) -> None:
    assert results.is_error_text(results.detection_text(text, fsm), fsm) is error


def wrapped(combine: str) -> dict[str, object]:
    meta = {"producers": ["p"], "consumers": ["c"], "tags": ["t"]}
    return {"value": 1, "meta": meta, "is_sequrity_var": True, "combine_meta": combine}


@pytest.mark.parametrize(
    ("combine", "labels"),
    [
        ("merge", Labels.of(tags=["t", "i"], producers=["p"], consumers=["c"])),
        ("replace", Labels.of(tags=["t"], producers=["p"], consumers=["c"])),
        ("ignore", Labels.of(tags=["i"])),
    ],
)
def test_a_tool_may_label_its_result(combine: str, labels: Labels) -> None:
    initial = Labels.of(tags=["i"])

    assert results.labelled(wrapped(combine), initial, non_executable=False) == (1, labels)
    marked = labels.merge(Labels.of(tags=["__non_executable"]))
    assert results.labelled(wrapped(combine), initial, non_executable=True) == (1, marked)


def test_a_wrapper_inside_a_result_is_data() -> None:
    value = {"inner": wrapped("replace")}

    assert results.labelled(value, Labels.of(tags=["i"]), non_executable=False) == (
        value,
        Labels.of(tags=["i"]),
    )
