"""Bad programs and bad tool results in dual-llm: the same answer in all three wire formats."""

import json
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from tests.support.dialogue import Answer, Dialogue, tool
from tests.support.requirements import requirement

pytestmark = pytest.mark.anyio

Talk = Callable[..., Dialogue]

HEADERS = {
    "X-Features": json.dumps({"agent_arch": "dual-llm"}),
    "X-Config": json.dumps({"fsm": {"max_pllm_steps": 1}}),
}
TOOLS = (tool("get_doc", "id"), tool("send", "to"))
MISSING = (openai.NotFoundError, anthropic.NotFoundError)
BAD = (openai.BadRequestError, anthropic.BadRequestError)


def plan(program: str) -> str:
    """A request whose program is given."""
    return f"Do this\n```plan\n{program}\n```"


def content(answer: Answer) -> dict[str, Any]:
    """The object that a final answer's text is."""
    found: dict[str, Any] = json.loads(answer.text)
    return found


def value(answer: Answer) -> Any:
    found = content(answer)
    assert found["status"] == "success", found
    return found["final_return_value"]["value"]


PROGRAMS = {
    "does not parse": ("x = = 1", "invalid syntax"),
    "import": ("import os", "module 'os' is not available"),
    "eval": ("eval('1')", "`eval` is not available"),
    "dunder": ("().__class__", "`__class__` is not available"),
    "10 MB literal": ("x = '" + "a" * (10 << 20) + "'", "larger than"),
    "infinite loop": ("while True: pass", "more than 200000 steps"),
    "huge range": ("x = list(range(10**12))", "values need more than"),
    "huge text": ("'a' * 10**9", "values need more than"),
}


@requirement("control.dual.bad-program")
@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_bad_program_is_a_failure_that_says_why(talk: Talk, name: str) -> None:
    program, said = PROGRAMS[name]
    extra = {"max_tokens": 1 << 23, "timeout": 60} if name == "10 MB literal" else {}
    async with talk(headers=dict(HEADERS), tools=TOOLS) as dialogue:
        if dialogue.wire == "messages":
            dialogue.extra = extra
        answer = await dialogue.say(plan(program))

    found = content(answer)
    assert (found["status"], found["final_return_value"]) == ("failure", None)
    assert found["error"]["code"] == "program_error"
    assert said in found["error"]["message"]
    assert answer.calls == []


@requirement("control.dual.bad-result")
async def test_a_result_that_is_not_json_is_text(talk: Talk) -> None:
    async with talk(headers=dict(HEADERS), tools=TOOLS) as dialogue:
        first = await dialogue.say(plan("final_return_value = get_doc(id='1')"))
        last = await dialogue.results({first.calls[0].id: "{not json"})

    assert value(last) == "{not json"


@requirement("control.dual.bad-result")
async def test_results_of_unknown_calls_are_not_found(talk: Talk) -> None:
    async with talk(headers=dict(HEADERS), tools=TOOLS) as dialogue:
        first = await dialogue.say(plan("final_return_value = get_doc(id='1')"))
        known, kept = first.calls[0].id, list(dialogue.history)
        unknown = known[:-4] + ("0000" if known[-4:] != "0000" else "1111")
        for given in ({unknown: "x"}, {known: "x", unknown: "y"}):
            dialogue.history[:] = kept
            with pytest.raises(MISSING) as refused:
                await dialogue.results(given)
            assert "no tool call" in str(refused.value)
        dialogue.history[:] = kept
        last = await dialogue.results({known: "fine"})

    assert value(last) == "fine"


@requirement("control.dual.bad-result")
async def test_results_that_come_twice_late_or_not_at_all(talk: Talk) -> None:
    program = "a = get_doc(id='1')\nb = get_doc(id='2')\nfinal_return_value = [a, b]"
    async with talk(headers=dict(HEADERS), tools=TOOLS) as dialogue:
        first = await dialogue.say(plan(program))
        kept = list(dialogue.history)
        dialogue.headers["X-Session-ID"] = first.session_id
        with pytest.raises(BAD) as missing:
            await dialogue.send()
        assert "are missing" in str(missing.value)
        assert first.calls[0].id in str(missing.value)
        dialogue.history[:] = kept
        second = await dialogue.results({first.calls[0].id: "A"})
        dialogue.history[:] = kept
        repeated = await dialogue.results({first.calls[0].id: "changed"})
        dialogue.history[:] = kept
        last = await dialogue.results({second.calls[0].id: "B", first.calls[0].id: "again"})

    assert repeated.calls == second.calls
    assert value(last) == ["A", "B"]


@requirement("control.dual.bad-result")
async def test_a_changed_tool_list_does_not_disturb_a_waiting_program(talk: Talk) -> None:
    async with talk(headers=dict(HEADERS), tools=TOOLS) as dialogue:
        first = await dialogue.say(plan("final_return_value = send(to=get_doc(id='1'))"))
        dialogue.tools = (tool("look_up", "word"),)
        second = await dialogue.results({first.calls[0].id: "A"})
        last = await dialogue.results({second.calls[0].id: "sent"})

    assert [(one.name, one.args) for one in second.calls] == [("send", {"to": "A"})]
    assert value(last) == "sent"
