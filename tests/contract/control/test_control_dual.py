"""Dual-llm through the official SDKs: three formats, whole and streamed, on the demo planner.

A fenced block ```plan in the user's message is the program the demo planner writes.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from tests.support.control_site import Site
from tests.support.dialogue import Answer, Dialogue, tool
from tests.support.gateway import running_gateway
from tests.support.requirements import requirement

pytestmark = pytest.mark.anyio

Talk = Callable[..., Dialogue]

DUAL = {"X-Features": json.dumps({"agent_arch": "dual-llm"})}
DOC = tool("get_doc", "id", description="Fetch a document")
MAIL = tool("send_email", "to", "subject", "body", description="Send a mail")
P01 = """
let sensitive = {"internal_use", "confidential"};
tool "get_doc" -> @tags |= sensitive;
tool "send_email" {
    hard deny when (body.tags overlaps sensitive)
        and (not to.value in {str matching r".*@corp\\.com"});
}
"""


def plan(program: str, ask: str = "Do this") -> str:
    """A request whose program is given."""
    return f"{ask}\n```plan\n{program}\n```"


def headers(policy: str = "", config: Any = None, **x_policy: Any) -> dict[str, str]:
    found = dict(DUAL)
    if policy or x_policy:
        found["X-Policy"] = json.dumps({"codes": {"code": policy}, **x_policy})
    if config is not None:
        found["X-Config"] = json.dumps(config)
    return found


def content(answer: Answer) -> dict[str, Any]:
    """The object that a final answer's text is."""
    found: dict[str, Any] = json.loads(answer.text)
    assert found["status"] in {"success", "failure"}
    assert "final_return_value" in found
    return found


def value(answer: Answer) -> Any:
    found = content(answer)
    assert found["status"] == "success", found
    assert set(found["final_return_value"]["meta"]) == {"tags", "producers", "consumers"}
    return found["final_return_value"]["value"]


GOOD = {"chat": "stop", "messages": "end_turn", "responses": "completed"}
ASKS = {"chat": "tool_calls", "messages": "tool_use", "responses": "completed"}


@requirement("control.dual.answer")
async def test_a_program_answers_with_its_final_value(talk: Talk) -> None:
    async with talk(headers=headers()) as dialogue:
        answer = await dialogue.say(plan("final_return_value = 90 + 7"))

    assert content(answer) == {
        "status": "success",
        "final_return_value": {
            "value": 97,
            "meta": {"tags": [], "consumers": ["*"], "producers": []},
            "value_type": "int",
        },
    }
    assert answer.finish == GOOD[dialogue.wire]
    assert len(answer.session_id) == 36
    if dialogue.wire == "chat":
        assert answer.response_id == answer.session_id
    assert answer.usage[0] > 0
    assert answer.usage[1] > 0


@requirement("control.dual.exfiltration-denied")
async def test_a_labelled_document_cannot_be_mailed_outside(talk: Talk) -> None:
    program = (
        'doc = get_doc(id="D1")\n'
        'final_return_value = send_email(to="eve@gmail.com", subject="D1", body=doc)'
    )
    include = {"response_format": {"include_program": True}}
    async with talk(headers=headers(P01, include), tools=(DOC, MAIL)) as dialogue:
        first = await dialogue.say(plan(program))
        assert first.finish == ASKS[dialogue.wire]
        assert [(one.name, one.args) for one in first.calls] == [("get_doc", {"id": "D1"})]
        assert first.calls[0].id.startswith(f"tc-{first.session_id}-")
        last = await dialogue.results({first.calls[0].id: "Quarterly numbers"})

    assert last.calls == []
    assert last.session_id == first.session_id
    found = content(last)
    assert found["status"] == "failure"
    assert found["final_return_value"] is None
    assert found["error"]["code"] == "policy_violation"
    message = found["error"]["message"]
    assert message.startswith(
        "Tool call to 'send_email' is denied by argument checking policies. Context: {"
    )
    assert found["program"] == program
    denied = found["policy_check_history"][-1]
    assert (denied["tool"], denied["final_verdict"]) == ("send_email", "hard_denied")
    assert '"denied": [{' in last.text
    ends = {"chat": ("error", "stop")[dialogue.style[1]], "messages": "end_turn"}
    assert last.finish == ends.get(dialogue.wire, "failed")
    assert last.usage == (0, 0)


@requirement("control.dual.tool-loop")
async def test_an_allowed_program_runs_to_its_end(talk: Talk) -> None:
    program = (
        'doc = get_doc(id="D1")\n'
        'sent = send_email(to="a@corp.com", subject="D1", body=doc["text"].upper())\n'
        "final_return_value = f\"{sent}: {doc['pages'] * 2}\""
    )
    async with talk(headers=headers(P01), tools=(DOC, MAIL)) as dialogue:
        first = await dialogue.say(plan(program))
        second = await dialogue.results({first.calls[0].id: '{"text": "hi", "pages": 21}'})
        assert second.calls[0].args == {"to": "a@corp.com", "subject": "D1", "body": "HI"}
        last = await dialogue.results({second.calls[0].id: "sent"})

    assert value(last) == "sent: 42"
    meta = content(last)["final_return_value"]["meta"]
    assert meta["tags"] == ["__non_executable", "confidential", "internal_use"]


@requirement("control.dual.stripped")
async def test_a_stripped_answer_is_the_bare_value(talk: Talk) -> None:
    strip = {"response_format": {"strip_response_content": True}}
    async with talk(headers=headers(config=strip), tools=(DOC,)) as dialogue:
        good = await dialogue.say(plan("final_return_value = 'plain'"))
        number = await dialogue.say(plan("final_return_value = {'a': [1, None]}"))
        dialogue.headers["X-Policy"] = json.dumps(
            {"codes": {"code": 'tool "get_doc" { must deny always; }'}}
        )
        bad = await dialogue.say(plan("get_doc(id='1')"))

    assert good.text == "plain"
    assert json.loads(number.text) == {"a": [1, None]}
    assert bad.text.startswith("Tool call to 'get_doc' is denied by argument checking policies")


@requirement("control.turns.result-and-message")
async def test_a_result_and_a_new_message_come_in_one_request(talk: Talk) -> None:
    async with talk(headers=headers(), tools=(DOC, MAIL)) as dialogue:
        first = await dialogue.say(plan('final_return_value = get_doc(id="A")'))
        second = await dialogue.results(
            {first.calls[0].id: "ref ABC"},
            then=plan('final_return_value = get_doc(id="B")', "Now this"),
        )
        assert [one.args for one in second.calls] == [{"id": "B"}]
        last = await dialogue.results({second.calls[0].id: "ref XYZ"})

    assert value(last) == "ref XYZ"
    assert last.session_id == first.session_id


@requirement("control.turns.abandon")
async def test_a_new_message_abandons_outstanding_calls(talk: Talk) -> None:
    async with talk(headers=headers(), tools=(DOC,)) as dialogue:
        first = await dialogue.say(plan('final_return_value = get_doc(id="A")'))
        dialogue.headers["X-Session-ID"] = first.session_id
        dialogue.history[:] = dialogue.history[:-1] if dialogue.wire != "responses" else []
        if dialogue.wire != "responses":
            dialogue.history.clear()
        second = await dialogue.say(plan("final_return_value = 1"))
        dialogue.history.clear()
        del dialogue.headers["X-Session-ID"]
        with pytest.raises((openai.NotFoundError, anthropic.NotFoundError)) as late:
            await dialogue.results({first.calls[0].id: "too late"})

    assert value(second) == 1
    assert "no tool call" in str(late.value)


@requirement("control.turns.repeated-results")
async def test_a_repeated_request_gets_the_same_answer_and_calls_nothing_twice(
    talk: Talk, site: Site
) -> None:
    program = (
        'doc = get_doc(id="D1")\n'
        'final_return_value = send_email(to="a@corp.com", subject="s", body=doc)'
    )
    async with talk(headers=headers(), tools=(DOC, MAIL)) as dialogue:
        first = await dialogue.say(plan(program))
        second = await dialogue.results({first.calls[0].id: "text"})
        kept = list(dialogue.history)
        dialogue.history[:] = kept[: _before_last_answer(dialogue, kept)]
        again = await dialogue.send()
        last = await dialogue.results({second.calls[0].id: "sent"})

    assert again.calls == second.calls
    assert value(last) == "sent"
    assert [one.tool for one in await site.decisions(first.session_id)] == [
        "get_doc",
        "send_email",
    ]


def _before_last_answer(dialogue: Dialogue, history: list[Any]) -> int:
    """Where the last answer begins."""
    if dialogue.wire != "responses":
        return len(history) - 1
    return (
        max(i for i, item in enumerate(history) if item.get("type") == "function_call_output") + 1
    )


@requirement("control.dual.restart")
async def test_a_suspended_program_goes_on_after_a_restart(tmp_path: Path) -> None:
    program = (
        "total = 0\n"
        "for name in ['a', 'b', 'c']:\n"
        "    total = total + get_doc(id=name)['n']\n"
        "final_return_value = total"
    )
    style = ("chat", False)
    calls: list[Any] = []
    history: list[Any] = []
    session = ""
    for number in range(4):
        async with running_gateway(tmp_path) as gateway:
            opened = Dialogue(
                base_url=gateway.base_url,
                key=gateway.key,
                style=style,  # type: ignore[arg-type]
                headers=headers(),
                tools=(DOC,),
                history=history,
            )
            async with opened as dialogue:
                if number == 0:
                    answer = await dialogue.say(plan(program))
                else:
                    given = json.dumps({"n": 10**number})
                    answer = await dialogue.results({calls[-1].id: given})
            calls += answer.calls
            session = session or answer.session_id
            assert answer.session_id == session

    assert [one.args["id"] for one in calls] == ["a", "b", "c"]
    assert value(answer) == 1110


@requirement("control.dual.foreign-session")
async def test_calls_of_another_owner_do_not_exist(talk: Talk, site: Site) -> None:
    async with talk(headers=headers(), tools=(DOC,)) as dialogue:
        wire, stream = dialogue.style
        other = await site.new_key(user=f"other-{wire}-{stream}@x.example".lower())
        first = await dialogue.say(plan('final_return_value = get_doc(id="A")'))
        history = list(dialogue.history)
        async with talk(headers=headers(), tools=(DOC,), key=other, history=history) as foreign:
            with pytest.raises((openai.NotFoundError, anthropic.NotFoundError)):
                await foreign.results({first.calls[0].id: "mine now"})


@requirement("control.dual.history-mismatch")
@pytest.mark.parametrize("how", ["continue", "reject", "restart_turn"])
async def test_a_changed_history_is_treated_as_configured(talk: Talk, how: str) -> None:
    config = {"fsm": {"history_mismatch_policy": how}}
    async with talk(headers=headers(config=config)) as dialogue:
        first = await dialogue.say(plan("final_return_value = 1"))
        await dialogue.say(plan("final_return_value = 2"))
        dialogue.headers["X-Session-ID"] = first.session_id
        dialogue.history[0] = {"role": "user", "content": "something else was asked"}
        if how == "reject":
            with pytest.raises((openai.ConflictError, anthropic.ConflictError)) as refused:
                await dialogue.say(plan("final_return_value = 3"))
            assert "history_mismatch" in str(refused.value)
            return
        answer = await dialogue.say(plan("final_return_value = 3"))

    assert value(answer) == 3
    assert content(answer)["message_history_mismatch_detected"] is True


@requirement("control.dual.newest-message-only")
async def test_sending_only_the_newest_message_is_no_mismatch(talk: Talk) -> None:
    async with talk(headers=headers()) as dialogue:
        first = await dialogue.say(plan("final_return_value = 1"))
        dialogue.headers["X-Session-ID"] = first.session_id
        dialogue.history.clear()
        second = await dialogue.say(plan("final_return_value = 2"))

    assert value(second) == 2
    assert "message_history_mismatch_detected" not in content(second)


@requirement("control.turns.limit")
async def test_after_its_last_turn_a_session_is_gone(talk: Talk) -> None:
    config = {"fsm": {"max_n_turns": 2}}
    async with talk(headers=headers(config=config)) as dialogue:
        first = await dialogue.say(plan("final_return_value = 1"))
        dialogue.headers["X-Session-ID"] = first.session_id
        second = await dialogue.say(plan("final_return_value = 2"))
        with pytest.raises((openai.NotFoundError, anthropic.NotFoundError)) as gone:
            await dialogue.say(plan("final_return_value = 3"))

    assert value(second) == 2
    assert "turn limit" in str(gone.value)


@requirement("control.dual.model-pair")
async def test_the_model_of_an_answer_is_the_pair(site: Site) -> None:
    async with openai.AsyncOpenAI(base_url=site.gateway.chat(), api_key=site.key) as client:
        ask: Any = [{"role": "user", "content": plan("final_return_value = 1")}]
        one = await client.chat.completions.create(
            model="demo", messages=ask, extra_headers=headers()
        )
        two = await client.chat.completions.create(
            model="demo, demo-2", messages=ask, extra_headers=headers()
        )

    assert (one.model, two.model) == ("demo,demo", "demo,demo-2")


@requirement("control.dual.thoughts")
async def test_thoughts_of_the_planner_are_streamed_on_request(site: Site) -> None:
    config = {"response_format": {"stream_thoughts": True}}
    async with openai.AsyncOpenAI(base_url=site.gateway.chat(), api_key=site.key) as client:
        stream = await client.chat.completions.create(
            model="demo",
            messages=[{"role": "user", "content": plan("final_return_value = 1")}],
            stream=True,
            extra_headers=headers(config=config),
        )
        chunks = [chunk async for chunk in stream]

    assert chunks[0].choices[0].delta.role == "assistant"
    finishes = [c.choices[0].finish_reason for c in chunks if c.choices]
    assert finishes[-1] == "stop"


@requirement("control.dual.provider-tools")
async def test_tools_that_run_at_the_provider_are_refused(site: Site) -> None:
    body = {
        "model": "demo",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "web_search_20250305", "name": "web_search"}],
    }
    answer = await site.gateway.post(
        "/control/chat/demo/v1/messages", body, x_features=DUAL["X-Features"]
    )

    assert answer.status_code == 400
    assert "web_search_20250305" in answer.json()["message"]


@requirement("control.dual.bounded")
async def test_a_program_too_large_to_wait_is_told_so(tmp_path: Path) -> None:
    environ = {"INTERLOCK_GATEWAY_TURN_BYTES": "50000"}
    async with (
        running_gateway(tmp_path, environ=environ) as gateway,
        Dialogue(
            base_url=gateway.base_url,
            key=gateway.key,
            style=("messages", False),
            headers=headers(),
            tools=(DOC,),
        ) as dialogue,
    ):
        small = await dialogue.say(plan("get_doc(id='x' * 10)"))
        dialogue.history.clear()
        large = await dialogue.say(plan("kept = 'x' * 200000\nget_doc(id='1')\nkept"))

    assert len(small.calls) == 1
    assert large.calls == []
    assert content(large)["error"]["code"] == "program_error"
    assert "can be kept" in content(large)["error"]["message"]
