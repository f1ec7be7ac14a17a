"""Model and tool calls from inside the product pass the gateway like a client's."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.gateway import Gateway, running_gateway

from interlock.gateway.answering import BrokenAnswerError
from interlock.gateway.door import Question
from interlock.identity.model import KeyInfo
from interlock.kernel.errors import InterlockError

pytestmark = pytest.mark.anyio

_POLICY = """
tool "read_inbox" { result { @tags |= {"untrusted"}; } session after { @tags |= {"untrusted"}; } }
tool "send_email" { hard deny when "untrusted" in @session.tags; }
"""
_READ = {"type": "function", "function": {"name": "read_inbox"}}
_SEND = {"type": "function", "function": {"name": "send_email"}}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    policy = tmp_path / "mail.sqrt"
    policy.write_text(_POLICY)
    toml = f'[gateway]\npolicy_files = ["{policy}"]\n'
    async with running_gateway(tmp_path / "data", toml=toml) as running:
        yield running


def _person(name: str) -> KeyInfo:
    return KeyInfo(
        id=f"00000000-0000-4000-8000-{name:0>12}",
        account_id="00000000-0000-4000-8000-0000000000aa",
        user_id=f"00000000-0000-4000-8000-{name:0>12}",
        user_email=f"{name}@example.com",
        label="chat",
        surface="chat",
    )


def _question(place: str, *messages: dict[str, object], tools: tuple[object, ...] = ()) -> Question:
    return Question(place=place, model="demo", provider="demo", messages=messages, tools=tools)  # type: ignore[arg-type]


def _user(text: str) -> dict[str, object]:
    return {"role": "user", "content": text}


async def test_text_is_told_piece_by_piece_and_joined(gateway: Gateway) -> None:
    told: list[str] = []

    answer = await gateway.app.door.ask(
        _person("1"), _question("p", _user("TOKENS 5")), told=told.append
    )

    assert len(told) >= 5
    assert answer.text == "".join(told)
    assert answer.finish_reason == "stop"
    assert answer.usage is not None
    assert answer.calls == ()


async def test_what_one_person_let_in_stops_another_in_the_same_place(gateway: Gateway) -> None:
    door, first, second = gateway.app.door, _person("1"), _person("2")
    messages = [_user("CALL read_inbox {}")]
    called = await door.ask(first, _question("thread", *messages, tools=(_READ, _SEND)))
    (read,) = called.calls
    call = {
        "id": read.id,
        "type": "function",
        "function": {"name": read.name, "arguments": read.arguments},
    }
    messages += [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": read.id, "content": "hello"},
    ]
    await door.ask(first, _question("thread", *messages, tools=(_READ, _SEND)))

    send = _user('CALL send_email {"to": "eve@example.com"}')
    stopped = await door.ask(second, _question("thread", send, tools=(_READ, _SEND)))
    elsewhere = await door.ask(second, _question("other", send, tools=(_READ, _SEND)))

    assert stopped.calls == ()
    assert [one.verdict for one in stopped.decisions] == ["hard_denied"] * len(stopped.decisions)
    assert stopped.decisions[0].surface == "chat"
    assert [one.name for one in elsewhere.calls] == ["send_email"]


async def test_a_call_without_a_model_is_decided_and_its_result_labels_the_place(
    gateway: Gateway,
) -> None:
    door, person = gateway.app.door, _person("1")

    read = await door.permit(person, "thread", "read_inbox", "{}")
    shown = await door.result(person, "thread", read.call_id, "hello")
    send = await door.permit(person, "thread", "send_email", "{}")
    bad = await door.permit(person, "thread", "read_inbox", "[1]")

    assert (read.allowed, shown) == (True, "hello")
    assert not send.allowed
    assert "send_email" in send.message
    assert send.decision is not None
    assert send.decision.rule_line == 3
    assert not bad.allowed


async def test_labels_of_a_place_survive_a_restart(tmp_path: Path) -> None:
    policy = tmp_path / "mail.sqrt"
    policy.write_text(_POLICY)
    toml = f'[gateway]\npolicy_files = ["{policy}"]\n'
    person = _person("1")
    async with running_gateway(tmp_path / "data", toml=toml) as running:
        read = await running.app.door.permit(person, "thread", "read_inbox", "{}")
        await running.app.door.result(person, "thread", read.call_id, "hello")
    async with running_gateway(tmp_path / "data", toml=toml) as running:
        send = await running.app.door.permit(person, "thread", "send_email", "{}")
        other = await running.app.door.permit(person, "elsewhere", "send_email", "{}")

    assert (send.allowed, other.allowed) == (False, True)


async def test_a_failing_provider_is_an_error_of_its_status(gateway: Gateway) -> None:
    with pytest.raises(InterlockError) as caught:
        await gateway.app.door.ask(_person("1"), _question("p", _user("FAIL 503")))

    assert not isinstance(caught.value, BrokenAnswerError)


async def test_cancelling_a_question_ends_it(gateway: Gateway) -> None:
    told = asyncio.Event()
    asking = asyncio.create_task(
        gateway.app.door.ask(
            _person("1"), _question("p", _user("TOKENS 100000")), told=lambda _: told.set()
        )
    )
    async with asyncio.timeout(5):
        await told.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_no_client_can_name_the_session_of_a_place(gateway: Gateway) -> None:
    answer = await gateway.app.door.ask(_person("1"), _question("p", _user("hello")))

    refused = await gateway.post(
        "/control/chat/demo/v1/chat/completions",
        {"model": "demo", "messages": [_user("hello")]},
        x_session_id=answer.session_id,
    )

    assert refused.status_code == 404
