"""Planning: attempts, steps, budgets, candidates, review (gateway.md 6.1, 10.2)."""

import json
from typing import Any

import pytest
from tests.support.turns import Denied, Failure, Play, config, fenced, given, tool

from interlock.dual.turn import (
    Answer,
    Ask,
    ClearSession,
    DualConfig,
    Final,
    Fsm,
    Message,
    PlannerPrompt,
    Prompts,
    ReviewPrompt,
    ToolFilterPrompt,
    Turn,
)
from interlock.kernel.roles import role_of

GET = tool("get_doc", "id")
SEND = tool("send_email", "to", "body")
BAD = fenced("x = 1 / 0")
GOOD = fenced("final_return_value = 97")


def value(answer: Answer) -> Any:
    assert answer.error is None, answer.error
    assert answer.value is not None
    return answer.value.value


def code(answer: Answer) -> str:
    assert answer.error is not None
    return answer.error.code


# One program


def test_a_plain_question_goes_through_a_program() -> None:
    play = Play(given("Largest prime below 100?"), {"pllm": [GOOD]})

    answer = play.run()

    assert value(answer) == 97
    assert answer.value is not None
    assert answer.value.value_type == "int"
    assert not answer.derived
    [question] = play.questions
    assert role_of(question.system) == "pllm"
    assert question.messages[-1].text == "Largest prime below 100?"


@pytest.mark.parametrize(
    ("program", "wanted"),
    [
        ("1\n'last'", "last"),
        ("x = 3", None),
        ("final_return_value = 1\n2", 1),
        ("final_return_value = {'a': [1, (2, 3)]}", {"a": [1, [2, 3]]}),
    ],
)
def test_the_answer_is_the_variable_or_the_last_expression(program: str, wanted: object) -> None:
    assert value(Play(given(), {"pllm": [fenced(program)]}).run()) == wanted


@pytest.mark.parametrize(
    "reply",
    [
        "```python\nfinal_return_value = 5\n```",
        "First:\n```python\nfinal_return_value = 4\n```\n```py\nfinal_return_value = 5\n```",
        "```\nfinal_return_value = 5\n```",
        "```python\nfinal_return_value = 5",
        "~~~python\nfinal_return_value = 5\n~~~\nDone.",
        "final_return_value = 5",
        "```python\r\nfinal_return_value = 5\r\n```",
    ],
)
def test_a_program_is_found_however_it_is_fenced(reply: str) -> None:
    assert value(Play(given(), {"pllm": [reply]}).run()) == 5


# Clarification


def test_an_answer_without_a_program_is_a_question_to_the_user() -> None:
    answer = Play(given(), {"pllm": ["Which of the two Anns?"]}).run()

    assert value(answer) == "Which of the two Anns?"
    assert answer.program is None


def test_without_clarification_it_is_a_failed_attempt() -> None:
    settings = config(pllm={"clarify_ambiguous_queries": False}, max_pllm_steps=2)
    play = Play(given(config=settings), {"pllm": ["Which Ann?", "Which Ann?"]})

    answer = play.run()

    assert code(answer) == "planner_error"
    assert len(play.questions) == 2
    assert "no program between" in play.questions[1].messages[-1].text
    assert "just one short question" not in play.told()


# Attempts and budgets


def test_a_failed_attempt_is_followed_by_another_one_that_knows_the_error() -> None:
    play = Play(given(), {"pllm": [fenced("a = 1\nb = a / 0"), GOOD]})

    assert value(play.run()) == 97
    roles = [(one.role, one.text) for one in play.questions[1].messages]
    assert [role for role, _ in roles] == ["user", "assistant", "user"]
    assert "b = a / 0" in roles[1][1]
    assert "ZeroDivisionError in line 2: division by zero" in roles[2][1]


def test_a_new_attempt_starts_from_nothing() -> None:
    play = Play(given(), {"pllm": [fenced("kept = 1\nx = 1 / 0"), fenced("kept"), GOOD]})

    assert value(play.run()) == 97
    assert "kept" in play.questions[2].messages[-1].text


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        (config(), 4),
        (config(max_pllm_steps=1), 1),
        (config(max_pllm_steps=3), 3),
        (config(max_pllm_failed_steps=2), 2),
        (config(max_pllm_steps=1, max_pllm_failed_steps=5), 1),
    ],
)
def test_attempts_are_bounded(settings: DualConfig, asked: int) -> None:
    play = Play(given(config=settings), {"pllm": [BAD]})

    answer = play.run()

    assert code(answer) == "program_error"
    assert answer.error is not None
    assert answer.error.message == "ZeroDivisionError: division by zero (line 1)"
    assert len(play.questions) == asked


def test_a_program_that_does_not_compile_is_told_to_the_planner() -> None:
    play = Play(given(), {"pllm": [fenced("x = 1\nopen('x')"), GOOD]})

    assert value(play.run()) == 97
    assert "The program was not run" in play.questions[1].messages[-1].text
    assert "open" in play.questions[1].messages[-1].text


def test_history_can_be_forgotten_every_n_attempts() -> None:
    settings = config(clear_history_every_n_attempts=2, max_pllm_steps=6)
    program = fenced("send_email(to='a', body='b')\nx = 1 / 0")
    play = Play(
        given("Go.", SEND, config=settings), {"pllm": [program]}, tools={"send_email": "sent"}
    )

    play.run()

    shown = [len([m for m in one.messages if m.role == "assistant"]) for one in play.questions]
    assert shown == [0, 1, 0, 1, 0, 1]
    # What was done stays known.
    assert "send_email (2 times)" in play.questions[2].messages[0].text


def test_calls_made_are_listed_so_that_they_are_not_repeated() -> None:
    program = fenced("send_email(to='a', body='b')\nsend_email(to='c', body='d')\nx = 1 / 0")
    play = Play(given("Go.", SEND), {"pllm": [program, GOOD]}, tools={"send_email": "sent"})

    play.run()

    report = play.questions[1].messages[-1].text
    assert "- send_email (2 times)" in report
    assert "sent" not in report.replace("send", "")


@pytest.mark.parametrize(("limit", "fails"), [(3, True), (4, False), (None, False)])
def test_tool_calls_of_a_step_are_bounded(limit: int | None, fails: bool) -> None:
    program = fenced("for n in '1234':\n    get_doc(id=n)\nfinal_return_value = 'done'")
    settings = config(max_tool_calls_per_step=limit, max_pllm_steps=2)
    play = Play(given("Go.", GET, config=settings), {"pllm": [program]}, {"get_doc": "text"})

    answer = play.run()

    if fails:
        assert code(answer) == "max_tool_calls_exceeded"
        assert len(play.sent) == 6
        assert "more than 3 tool calls, in line 2" in play.questions[1].messages[-1].text
    else:
        assert value(answer) == "done"


@pytest.mark.parametrize(
    ("when", "cleared"), [("never", 0), ("every_turn", 1), ("every_attempt", 3)]
)
def test_session_labels_are_cleared_as_configured(when: Any, cleared: int) -> None:
    play = Play(given(config=config(clear_session_meta=when)), {"pllm": [BAD, BAD, GOOD]})

    play.run()

    steps = [one.step for one in play.commands if isinstance(one, ClearSession)]
    assert steps == list(range(1, cleared + 1))


# Upstream


@pytest.mark.parametrize(
    ("said", "wanted"), [("upstream_error", "upstream_error"), ("upstream_timeout", "timeout")]
)
def test_a_planner_that_cannot_be_asked_ends_the_turn(said: str, wanted: str) -> None:
    answer = Play(given(), {"pllm": [Failure(said, "no answer")]}).run()

    assert (code(answer), answer.error and answer.error.message) == (wanted, "no answer")


def test_a_deadline_ends_the_turn() -> None:
    play = Play(given(), {"pllm": [GOOD]})
    play.turn.next()

    play.turn.stop("timeout", "the turn took too long")

    command = play.turn.next()
    assert isinstance(command, Final)
    assert code(command.answer) == "timeout"


# Violations


def test_a_denial_ends_the_turn() -> None:
    program = fenced(
        "try:\n    send_email(to='a', body='b')\nexcept Exception:\n    pass\n"
        "finally:\n    get_doc(id='1')\nfinal_return_value = 1"
    )
    play = Play(given("Go.", SEND, GET), {"pllm": [program]}, decide=lambda _: Denied("no"))

    answer = play.run()

    assert (code(answer), answer.error and answer.error.message) == ("policy_violation", "no")
    assert answer.denied
    assert [entry["tool"] for entry in answer.history] == ["send_email"]
    assert play.sent == []
    assert len(play.questions) == 1


@pytest.mark.parametrize(("hard", "verdict"), [(True, "is forbidden"), (False, "was not approved")])
def test_after_a_denial_another_plan_is_tried_when_that_is_wanted(hard: bool, verdict: str) -> None:
    play = Play(
        given("Go.", SEND, config=config(retry_on_policy_violation=True)),
        {"pllm": [fenced("x = 1\nsend_email(to='a', body='b')"), GOOD]},
        decide=lambda _: Denied("denied because of SECRET", hard=hard),
    )

    answer = play.run()

    assert value(answer) == 97
    assert answer.denied
    report = play.questions[1].messages[-1].text
    assert f"the call of `send_email` in line 2 {verdict}" in report
    assert "SECRET" not in play.told()


def test_the_last_denial_is_the_answer_when_retries_are_used_up() -> None:
    play = Play(
        given("Go.", SEND, config=config(retry_on_policy_violation=True, max_pllm_steps=2)),
        {"pllm": [fenced("send_email(to='a', body='b')")]},
        decide=lambda _: Denied("no"),
    )

    assert code(play.run()) == "policy_violation"
    assert len(play.questions) == 2


def test_a_guard_may_deny_under_its_own_code() -> None:
    play = Play(given("Go.", SEND), {"pllm": [fenced("send_email(to='a', body='b')")]})
    play.step()
    decide = play.turn.next()

    play.turn.denied(decide.calls[0].no, "PII found", code="classifier_blocked")  # type: ignore[union-attr]

    assert code(play.run()) == "classifier_blocked"


# Several steps

STEPS = {"enable_multistep_planning": True}
FIRST = fenced("# in_progress\ndoc = get_doc(id='1')\nn = 2\nnames = ['a']")


def test_steps_build_on_each_other() -> None:
    second = fenced("final_return_value = [doc, n + 1, names]")
    play = Play(
        given("Go.", GET, config=config(**STEPS)), {"pllm": [FIRST, second]}, {"get_doc": "text"}
    )

    assert value(play.run()) == ["text", 3, ["a"]]
    report = play.questions[1].messages[-1].text
    assert "Step 1 ran to its end." in report
    assert "- doc: str\n- n: int\n- names: list" in report


def test_a_step_without_a_final_value_is_not_the_last() -> None:
    play = Play(
        given(config=config(**STEPS)),
        {"pllm": [fenced("n = 1\nn"), fenced("final_return_value = n")]},
    )

    assert value(play.run()) == 1
    assert "did not set `final_return_value`" in play.questions[1].messages[-1].text


def test_functions_of_a_step_are_there_in_the_next() -> None:
    first = fenced("# in_progress\nimport math\ndef double(x):\n    return x * 2")
    second = fenced("final_return_value = double(math.floor(2.5))")

    assert value(Play(given(config=config(**STEPS)), {"pllm": [first, second]}).run()) == 4


def test_a_failed_step_keeps_what_it_had() -> None:
    failing = fenced("# in_progress\nkept = 5\nx = 1 / 0")
    play = Play(
        given(config=config(**STEPS)), {"pllm": [failing, fenced("final_return_value = kept")]}
    )

    assert value(play.run()) == 5
    assert "Step 1 failed." in play.questions[1].messages[-1].text
    assert "- kept: int" in play.questions[1].messages[-1].text


def test_the_program_of_a_turn_is_all_its_steps_but_those_that_failed() -> None:
    good, last = "# in_progress\nn = 1", "final_return_value = n"
    replies = [fenced(good), fenced("# in_progress\n1 / 0"), fenced(last)]
    play = Play(given(config=config(**STEPS)), {"pllm": replies})
    assert play.turn.program is None

    assert value(play.run()) == 1
    assert play.turn.program == f"{good}\n{last}"


def test_the_program_of_a_turn_is_the_last_attempt() -> None:
    play = Play(given(), {"pllm": [fenced("1 / 0"), fenced("final_return_value = 2")]})

    assert value(play.run()) == 2
    assert play.turn.program == "final_return_value = 2"


def test_a_last_step_that_was_denied_is_part_of_the_program() -> None:
    first, last = "# in_progress\nto = 'a'", "send_email(to=to, body='b')"
    play = Play(
        given("Go.", SEND, config=config(**STEPS)),
        {"pllm": [fenced(first), fenced(last)]},
        decide=lambda _: Denied(),
    )

    assert code(play.run()) == "policy_violation"
    assert play.turn.program == f"{first}\n{last}"


def test_a_denied_step_keeps_what_it_had() -> None:
    denied = fenced("# in_progress\nkept = 5\nsend_email(to='a', body='b')\nkept = 6")
    play = Play(
        given("Go.", SEND, config=config(retry_on_policy_violation=True, **STEPS)),
        {"pllm": [denied, fenced("final_return_value = kept")]},
        decide=lambda _: Denied(),
    )

    assert value(play.run()) == 5


def test_steps_run_out() -> None:
    play = Play(
        given(config=config(max_pllm_steps=3, **STEPS)), {"pllm": [fenced("# in_progress\nx = 1")]}
    )

    answer = play.run()

    assert code(answer) == "max_steps_exceeded"
    assert len(play.questions) == 3


def test_complete_turn_ends_everything_at_once() -> None:
    tools = ("complete_turn",)
    program = fenced("# in_progress\nx = get_doc(id='1')\ncomplete_turn({'x': x})\nget_doc(id='2')")
    settings = config(enabled_internal_tools=tools, **STEPS)
    play = Play(given("Go.", GET, config=settings), {"pllm": [program]}, {"get_doc": "text"})

    answer = play.run()

    assert value(answer) == {"x": "text"}
    assert answer.value is not None
    assert answer.value.value_type == "dict"
    assert answer.derived
    assert [call.tool for call in play.sent] == ["get_doc"]


@pytest.mark.parametrize(("prune", "kept"), [(True, 2), (False, 3)])
def test_failed_steps_are_dropped_from_the_history_that_is_kept(prune: bool, kept: int) -> None:
    first, second = fenced("# in_progress\na = 1"), fenced("final_return_value = a")
    settings = config(prune_failed_steps=prune, **STEPS)
    play = Play(given("One.", config=settings), {"pllm": [first, BAD, second]})
    play.run()

    history = play.turn.planner_history

    assert sum(one.role == "assistant" for one in history) == kept
    later = Play(given("Two.", config=settings, planner_history=history), {"pllm": [GOOD]})
    later.run()
    texts = [one.text for one in later.questions[0].messages]
    assert texts[0] == "One."
    assert texts[-1] == "Two."
    assert any("1 / 0" in text for text in texts) is not prune


def test_single_step_planning_keeps_no_history() -> None:
    play = Play(given(), {"pllm": [GOOD]})
    play.run()

    assert play.turn.planner_history == ()


# What is visible of variables

VALUES = fenced(
    "# in_progress\nnumber = 12345\nflags = [True, 12346]\nword = 'visible-text'\n"
    "table = {'key-text': 1}\nfrom datetime import date\nday = date(2026, 1, 2)\n"
    "doc = get_doc(id='1')\nsize = len(doc)"
)


@pytest.mark.parametrize(
    ("level", "there"),
    [
        ("none", []),
        ("basic-notext", ["12345", "12346", "777"]),
        ("basic-executable", ["12345", "12346", "visible-text", "key-text"]),
        ("all-executable", ["12345", "12346", "visible-text", "key-text", "2026-01-02"]),
        ("all", ["12345", "12346", "visible-text", "key-text", "2026-01-02", "777", "doc-text"]),
    ],
)
def test_values_are_visible_as_far_as_the_level_says(level: str, there: list[str]) -> None:
    settings = config(pllm={"context_var_visibility": level}, **STEPS)
    text = "doc-text".ljust(777)
    play = Play(given("Go.", GET, config=settings), {"pllm": [VALUES, GOOD]}, {"get_doc": text})
    play.run()

    report = play.questions[1].messages[-1].text

    every = ["12345", "12346", "visible-text", "key-text", "2026-01-02", "777", "doc-text"]
    assert [one for one in every if one in report] == there
    assert "- table: dict" in report


@pytest.mark.parametrize(("prune", "shown"), [(True, False), (False, True)])
def test_values_of_older_steps_are_pruned(prune: bool, shown: bool) -> None:
    settings = config(pllm={"context_var_visibility": "all"}, pllm_context_pruning=prune, **STEPS)
    first, second = fenced("# in_progress\nn = 98765\nm = n"), fenced("# in_progress\nn = 0")
    play = Play(given(config=settings), {"pllm": [first, second, GOOD]})
    play.run()

    first_report = play.questions[2].messages[2].text

    assert ("98765" in play.questions[1].messages[-1].text, "98765" in first_report) == (
        True,
        shown,
    )


# Candidates


def test_several_plans_are_asked_for_at_once_and_one_is_selected() -> None:
    settings = config(n_pllm_plans=3, pllm_candidate_models=("m1", "m2"))
    plans = [fenced(f"final_return_value = {n}") for n in range(3)]
    play = Play(given(config=settings), {"pllm": plans, "selector": ['{"choice": 1}']})

    assert value(play.run()) == 1
    [asked] = [one for one in play.commands if isinstance(one, Ask) and len(one.asks) > 1]
    assert [(one.model, one.again) for one in asked.asks] == [("m1", 0), ("m2", 0), ("m1", 1)]
    assert "Program 2:" in play.told("selector")


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [('{"choice": 2}', 2), ('{"choice": 9}', 0), ("nonsense", 0), (Failure(), 0)],
)
def test_a_selector_without_a_valid_answer_means_the_first(choice: Any, wanted: int) -> None:
    plans = [fenced(f"final_return_value = {n}") for n in range(3)]
    play = Play(given(config=config(n_pllm_plans=3)), {"pllm": plans, "selector": [choice]})

    assert value(play.run()) == wanted


@pytest.mark.parametrize(
    "plans",
    [
        [Failure(), GOOD, Failure()],
        ["Which?", GOOD, fenced("eval('1')")],
        [GOOD, GOOD, GOOD],
    ],
)
def test_only_different_plans_that_compile_are_candidates(plans: list[Any]) -> None:
    play = Play(given(config=config(n_pllm_plans=3)), {"pllm": plans})

    assert value(play.run()) == 97
    assert play.asked("selector") == []


def test_a_plan_that_was_cut_off_is_no_candidate() -> None:
    turn = Turn.begin(given(config=config(n_pllm_plans=2)))
    asked = turn.next()
    assert isinstance(asked, Ask)

    turn.answered(asked.asks[0].no, fenced("final_return_value = 1"), cut=True)
    turn.answered(asked.asks[1].no, fenced("final_return_value = 2"))

    ended = turn.next()
    assert isinstance(ended, Final)
    assert ended.answer.value is not None
    assert ended.answer.value.value == 2


def test_a_single_plan_goes_to_the_candidate_model() -> None:
    play = Play(given(config=config(pllm_candidate_models=("m1",))), {"pllm": [GOOD]})
    play.run()

    assert [(one.model, one.again) for one in play.questions] == [("m1", 0)]


# Tool filter

MANY = [tool(f"tool_{n}", "a") for n in range(10)]


def test_many_tools_are_filtered_first() -> None:
    play = Play(given("Go.", *MANY), {"tllm": ['{"tools": ["tool_3", "nope"]}'], "pllm": [GOOD]})
    play.run()

    assert [one.role for one in play.questions] == ["tllm", "pllm"]
    assert "def tool_3(" in play.told()
    assert "def tool_4(" not in play.told()


@pytest.mark.parametrize("least", [11, None])
def test_few_tools_are_not_filtered(least: int | None) -> None:
    settings = config(min_num_tools_for_filtering=least)
    play = Play(given("Go.", *MANY, config=settings), {"pllm": [GOOD]})
    play.run()

    assert [one.role for one in play.questions] == ["pllm"]


@pytest.mark.parametrize("said", ["nonsense", '{"tools": []}', Failure()])
def test_a_filter_without_a_valid_answer_leaves_all_tools(said: Any) -> None:
    play = Play(given("Go.", *MANY), {"tllm": [said], "pllm": [GOOD]})
    play.run()

    assert all(f"def tool_{n}(" in play.told() for n in range(10))


@pytest.mark.parametrize(
    ("prompt", "there", "not_there"),
    [
        (ToolFilterPrompt(), ["The tool tool_1."], ["properties"]),
        (ToolFilterPrompt(add_tool_description=False), ["- tool_1\n"], ["The tool tool_1."]),
        (ToolFilterPrompt(add_tool_input_schema=True), ['"properties"'], []),
    ],
)
def test_the_filter_sees_what_is_configured(
    prompt: ToolFilterPrompt, there: list[str], not_there: list[str]
) -> None:
    settings = DualConfig(prompt=Prompts(tllm=prompt))
    play = Play(given("Go.", *MANY, config=settings), {"tllm": ["{}"], "pllm": [GOOD]})
    play.run()

    told = play.told("tllm")
    assert [one for one in there if one not in told] == []
    assert [one for one in not_there if one in told] == []


# Review

REVIEW = {"disable_rllm": False}
REJECT = json.dumps({"accept": False, "advice": "Use send_email, the WORDS matter."})
POINTS = json.dumps({"points": [{"problem": "wrong_tool", "tool": "send_email", "line": 1}]})


def test_an_accepted_result_is_the_answer() -> None:
    play = Play(given(config=config(**REVIEW)), {"pllm": [GOOD], "rllm": ['{"accept": true}']})

    assert value(play.run()) == 97
    assert "final_return_value = 97" in play.told("rllm")
    assert "of type int" in play.told("rllm")


@pytest.mark.parametrize(
    ("grammar", "there", "not_there", "reduced"),
    [
        ("none", ["Another program is wanted."], ["review", "tool send_email"], False),
        ("bool", ["A review did not accept it."], ["tool send_email"], False),
        (
            "text",
            ["A review did not accept it.", "the wrong tool is used, tool send_email, line 1"],
            [],
            True,
        ),
    ],
)
def test_a_rejection_reaches_the_planner_as_far_as_configured(
    grammar: Any, there: list[str], not_there: list[str], reduced: bool
) -> None:
    settings = config(reduced_grammar_for_rllm_review=grammar, **REVIEW)
    play = Play(
        given("Go.", SEND, config=settings),
        {"pllm": [BAD, GOOD, GOOD], "rllm": [REJECT, '{"accept": true}'], "grllm": [POINTS]},
    )

    assert value(play.run()) == 97
    report = play.questions[-2].messages[-1].text
    assert [one for one in there if one not in report] == []
    assert [one for one in not_there if one in report] == []
    assert bool(play.asked("grllm")) is reduced
    assert "WORDS" not in play.told()


def test_words_of_the_reviewer_never_get_through_the_reduction() -> None:
    said = json.dumps(
        {
            "points": [
                {"problem": "WORDS", "tool": "WORDS", "line": "WORDS"},
                {"problem": "other", "tool": "WORDS", "line": 99},
                "WORDS",
            ]
        }
    )
    play = Play(
        given("Go.", SEND, config=config(**REVIEW)),
        {"pllm": [GOOD], "rllm": [REJECT, '{"accept": true}'], "grllm": [said]},
    )
    play.run()

    assert "WORDS" not in play.told()
    assert "- something else is wrong\n" in play.told() + "\n"


def test_rejections_use_up_the_steps() -> None:
    settings = config(max_pllm_steps=2, reduced_grammar_for_rllm_review="bool", **REVIEW)
    play = Play(given(config=settings), {"pllm": [GOOD], "rllm": [REJECT]})

    assert code(play.run()) == "max_steps_exceeded"
    assert len(play.asked("pllm")) == 2


@pytest.mark.parametrize("said", ["nonsense", Failure()])
def test_a_review_without_a_valid_answer_accepts(said: Any) -> None:
    play = Play(given(config=config(**REVIEW)), {"pllm": [GOOD], "rllm": [said]})

    assert value(play.run()) == 97


@pytest.mark.parametrize(
    ("level", "there"), [("minimal", False), ("normal", True), ("extra", True)]
)
def test_the_reviewer_sees_errors_at_its_own_level(level: Any, there: bool) -> None:
    prompt = Prompts(
        pllm=PlannerPrompt(debug_info_level="minimal"), rllm=ReviewPrompt(debug_info_level=level)
    )
    settings = DualConfig(fsm=Fsm(disable_rllm=False), prompt=prompt)
    play = Play(given(config=settings), {"pllm": [BAD, GOOD], "rllm": ['{"accept": true}']})
    play.run()

    assert ("division by zero" in play.told("rllm")) is there
    assert "division by zero" not in play.told()


# Error details

NESTED = fenced("def inner(x):\n    return x / 0\ninner(1)")


@pytest.mark.parametrize(
    ("level", "lines"),
    [
        ("minimal", ["ZeroDivisionError"]),
        ("normal", ["ZeroDivisionError in line 2: division by zero"]),
        (
            "extra",
            [
                "ZeroDivisionError in line 2: division by zero",
                "Traceback, outermost first:",
                "  line 3 in <module>: inner(1)",
                "  line 2 in inner: return x / 0",
            ],
        ),
    ],
)
def test_errors_are_told_at_the_configured_level(level: Any, lines: list[str]) -> None:
    play = Play(given(config=config(pllm={"debug_info_level": level})), {"pllm": [NESTED, GOOD]})
    play.run()

    assert play.questions[1].messages[-1].text.split("What happened:\n")[1].splitlines() == lines


@pytest.mark.parametrize("level", ["minimal", "normal", "extra"])
def test_messages_from_outside_data_are_never_told(level: Any) -> None:
    program = fenced("doc = get_doc(id='1')\nraise ValueError(doc)")
    play = Play(
        given("Go.", GET, config=config(pllm={"debug_info_level": level})),
        {"pllm": [program, GOOD]},
        {"get_doc": "INJECTED"},
    )
    play.run()

    assert "ValueError" in play.questions[1].messages[-1].text
    assert "INJECTED" not in play.told()


# Prompts


def test_the_conversation_is_told_before_the_request() -> None:
    earlier = (
        Message(role="system", text="Only answer in French."),
        Message(role="user", text="First."),
        Message(role="assistant", text="SECRET", derived=True),
    )
    play = Play(given("Second.", messages=earlier), {"pllm": [GOOD]})
    play.run()

    context, request = play.questions[0].messages
    assert "> Only answer in French." in context.text
    assert "> First." in context.text
    assert "SECRET" not in context.text
    assert request.text == "Second."


@pytest.mark.parametrize(
    ("settings", "there", "not_there"),
    [
        (
            config(),
            ["parse_with_ai(query", "You have at most 4 attempts"],
            ["set_policy", "# in_progress"],
        ),
        (config(enabled_internal_tools=()), [], ["parse_with_ai", "verify_hypothesis"]),
        (config(enabled_internal_tools=("set_policy",)), ["set_policy(code"], ["parse_with_ai"]),
        (
            config(enable_multistep_planning=True),
            ["# in_progress", "at most 4 steps"],
            ["complete_turn"],
        ),
        (config(wrap_tool_result=True), [".is_ok"], ["ToolError"]),
        (config(max_tool_calls_per_step=7), ["7 tool calls"], []),
        (config(pllm={"flavor": "code"}), ["coding agent"], ["plan for an agent. "]),
        (config(pllm={"version": "v1"}), ["plan for an agent. "], ["coding agent"]),
    ],
)
def test_the_prompt_says_what_the_config_allows(
    settings: DualConfig, there: list[str], not_there: list[str]
) -> None:
    play = Play(given(config=settings), {"pllm": [GOOD]})
    play.run()

    system = play.questions[0].system
    assert [one for one in there if one not in system] == []
    assert [one for one in not_there if one in system] == []
