"""Planners, models and tools that answer anything at all, in bounded time."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.turns import Play, config, fenced, tool
from tests.support.turns import given as starts

from interlock.dual.turn import AnswerFormat, DualConfig
from interlock.dual.turn.planning import json_object, read_reply

GET = tool("get_doc", "id")
HUGE = 200_000


@pytest.mark.parametrize(
    "text",
    [
        "~" * HUGE,
        "`" * HUGE,
        "~~~\n" * 20_000,
        "```python\n" * 20_000,
        "```" + " " * HUGE,
        "{" * HUGE,
        '{"a":' * 50_000,
        "\n" * HUGE,
    ],
)
def test_no_answer_takes_long_to_read(text: str) -> None:
    read_reply(text)
    assert json_object(text) is None


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("`~\n pythona=1{}\"'\\\r"), max_size=80))
def test_any_planner_ends_in_an_answer(text: str) -> None:
    answer = Play(starts(config=config(max_pllm_steps=2)), {"pllm": [text]}).run()

    assert answer.content_text(AnswerFormat())


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_any_model_and_any_tool_end_in_an_answer(text: str) -> None:
    program = fenced(
        "d = get_doc(id='1')\ntry:\n"
        "    p = parse_with_ai(query=str(d), output_schema={'type': 'object'})\n"
        "except ValueError as e:\n    p = str(e)\nfinal_return_value = [d, p]"
    )
    roles = ("rllm", "grllm", "qllm", "tllm", "selector", "error_detector_llm")
    models: dict[str, Any] = {key: [text] for key in roles}
    fsm = config(
        disable_rllm=False,
        n_pllm_plans=2,
        detect_tool_errors="llm",
        min_num_tools_for_filtering=2,
        max_pllm_steps=2,
    )
    start = starts("Go.", GET, tool("other"), config=fsm)
    answer = Play(start, {"pllm": [program], **models}, {"get_doc": text}).run()

    assert answer.content_text(AnswerFormat())


DOUBLING = "a = ['x']\nfor _ in range(60):\n    a = [a, a]\n"


def test_a_value_that_multiplies_when_written_out_is_a_failure() -> None:
    play = Play(
        starts(config=config(max_pllm_steps=1)),
        {"pllm": [fenced(f"{DOUBLING}final_return_value = a")]},
    )
    answer = play.run()

    assert answer.error is not None
    assert answer.error.code == "program_error"
    assert "the final value" in answer.error.message


def test_such_a_value_is_not_shown_anywhere() -> None:
    settings_ = config(pllm={"context_var_visibility": "all"}, enable_multistep_planning=True)
    first = fenced(f"# in_progress\n{DOUBLING}")
    wanted = AnswerFormat(include_namespace_snapshot=True)
    start = starts(
        config=DualConfig(fsm=settings_.fsm, prompt=settings_.prompt, response_format=wanted)
    )
    play = Play(start, {"pllm": [first, fenced("final_return_value = 1")]})
    answer = play.run()

    assert "- a: list (too large to show)" in play.told()
    assert answer.namespace["a"].value == "<too large to show>"


def test_a_long_message_of_an_exception_is_cut() -> None:
    play = Play(
        starts(config=config(max_pllm_steps=1)),
        {"pllm": [fenced("raise ValueError('x' * 100000)")]},
    )
    answer = play.run()

    assert answer.error is not None
    assert len(answer.error.message) < 3_000
