"""A program's soft denial put to a person, answered from the command line."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.dialogue import Dialogue, tool
from tests.support.gateway import Gateway, running_gateway

from interlock.identity.model import Actor, KeySpec

pytestmark = pytest.mark.anyio

BOSS = Actor(name="boss@corp.example", surface="cli")
DOC = tool("get_doc", "id", description="Fetch a document")
MAIL = tool("send_email", "to", "body", description="Send a mail")
POLICY = (
    'tool "get_doc" -> @tags |= {"internal"};'
    'tool "send_email" { should deny when body.tags overlaps {"internal"};'
    ' must deny when to.value in {"mob"}; }'
)
PROGRAM = (
    "```plan\ndoc = get_doc(id='1')\nsent = send_email(to='ann', body=doc)\n"
    "final_return_value = f'{sent} {len(doc)}'\n```"
)


async def command(gateway: Gateway, *words: str, group: str = "approvals") -> Any:
    """Runs `interlock approvals ... --json` beside the server, in a process of its own."""
    code = "from interlock.cli.main import main; main()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, group, *words, "--data", str(gateway.data), "--json"),
        stdout=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if "INTERLOCK" not in name},
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(out)


async def asked(gateway: Gateway) -> Any:
    """The one question that waits, as the command line lists it."""
    async with asyncio.timeout(30):
        while True:
            if found := await command(gateway, "list"):
                return found[0]


@pytest.mark.parametrize("answer", ["allow", "edit", "deny"])
async def test_a_waiting_program_goes_on_as_the_person_says(tmp_path: Path, answer: str) -> None:
    async with running_gateway(tmp_path) as gateway:
        made = await gateway.app.store.admin.create_key(KeySpec(label="asks", approval="ask"), BOSS)
        talk = Dialogue(
            base_url=gateway.base_url,
            key=made.token,
            style=("chat", True),
            headers={
                "X-Features": json.dumps({"agent_arch": "dual-llm"}),
                "X-Policy": json.dumps({"codes": {"code": POLICY}}),
            },
            tools=(DOC, MAIL),
        )
        async with talk as dialogue, asyncio.TaskGroup() as group:
            first = await dialogue.say(PROGRAM)
            waiting = group.create_task(dialogue.results({first.calls[0].id: "numbers"}))
            question = await asked(gateway)
            shown = await command(gateway, "show", question["id"])
            assert shown["arguments"] == {"to": "ann", "body": "numbers"}
            assert "get_doc" in json.dumps(shown["lineage"])
            words = shown["lineage"]["words"]
            (body,) = [one for one in words["texts"] if one["path"] == "/body"]
            (span,) = body["spans"]
            assert body["text"][span["start"] : span["end"]] == "numbers"
            sources = {one["n"]: one for one in words["sources"]}
            assert "get_doc" in {sources[n].get("tool") for n in span["from"]}
            edit = ["--args", json.dumps({"to": "ben", "body": "numbers"})]
            verbs = {"allow": ["allow"], "edit": ["allow"], "deny": ["deny", "--reason", "no"]}
            more = edit if answer == "edit" else []
            await command(gateway, *verbs[answer], question["id"], *more)
            second = await waiting
            assert await gateway.app.store.recorder.flush(wait_s=5)
            told = await command(gateway, "show", question["decision_id"], group="decisions")
            assert told["words"] == words
            if answer == "deny":
                assert second.calls == []
                assert "A person was asked and denied it: no." in second.text
                return
            sent_to = "ben" if answer == "edit" else "ann"
            assert second.calls[0].args == {"to": sent_to, "body": "numbers"}
            last = await dialogue.results({second.calls[0].id: "sent"})

    assert json.loads(last.text)["final_return_value"]["value"] == "sent 7"


def talk_of(gateway: Gateway, token: str) -> Dialogue:
    """A dual-llm conversation under the policy."""
    return Dialogue(
        base_url=gateway.base_url,
        key=token,
        style=("chat", False),
        headers={
            "X-Features": json.dumps({"agent_arch": "dual-llm"}),
            "X-Policy": json.dumps({"codes": {"code": POLICY}}),
        },
        tools=(DOC, MAIL),
    )


async def test_a_program_that_nobody_answers_is_denied(tmp_path: Path) -> None:
    environ = {"INTERLOCK_GATEWAY_APPROVAL_WAIT_S": "0.05"}
    async with running_gateway(tmp_path, environ=environ) as gateway:
        made = await gateway.app.store.admin.create_key(
            KeySpec(label="asks", approval="ask", retention="masked"), BOSS
        )
        async with talk_of(gateway, made.token) as dialogue:
            first = await dialogue.say(PROGRAM)
            second = await dialogue.results({first.calls[0].id: "numbers"})
        found = await gateway.app.store.approvals.listed()

    assert second.calls == []
    assert "did not answer in time" in second.text
    assert {(one.state, one.arguments is None) for one in found} == {("expired", True)}
    assert {json.dumps(one.lineage) for one in found} == {"{}"}


async def test_nobody_is_asked_about_a_hard_denial_of_a_program(tmp_path: Path) -> None:
    async with running_gateway(tmp_path) as gateway:
        made = await gateway.app.store.admin.create_key(KeySpec(label="asks", approval="ask"), BOSS)
        async with talk_of(gateway, made.token) as dialogue:
            first = await dialogue.say(PROGRAM.replace("ann", "mob"))
            second = await dialogue.results({first.calls[0].id: "numbers"})
        assert await gateway.app.store.approvals.listed() == []

    assert second.calls == []


async def test_other_arguments_for_a_program_are_decided_again(tmp_path: Path) -> None:
    async with running_gateway(tmp_path) as gateway:
        approvals = gateway.app.store.approvals
        made = await gateway.app.store.admin.create_key(KeySpec(label="asks", approval="ask"), BOSS)
        async with talk_of(gateway, made.token) as dialogue:
            first = await dialogue.say(PROGRAM)
            waiting = asyncio.create_task(dialogue.results({first.calls[0].id: "numbers"}))
            async with asyncio.timeout(30):
                while not waiting.done():
                    for one in await approvals.listed(state="pending"):
                        edit = {"to": "mob", "body": "numbers"}
                        await approvals.decide(one.id, BOSS, allow=True, arguments=edit)
                    await asyncio.sleep(0.02)
            second = await waiting

    assert second.calls == []
