"""The rounds of a reply over a restart in the middle of its tools."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.talk_site import TalkSite, context

from interlock.conversations.assembly import Assembled, Turn
from interlock.conversations.posting import Draft
from interlock.conversations.replies.context import Gathered
from interlock.conversations.replies.emitting import Emitter
from interlock.conversations.replies.model import Asked
from interlock.conversations.replies.repository import ReplyRepository
from interlock.conversations.replies.rounds import Rounds
from interlock.conversations.replying import Ending
from interlock.conversations.spine import Work
from interlock.gateway.door import Answer, Called

pytestmark = pytest.mark.anyio
ANN = context("ann")


class Door:
    """Calls two tools first, then answers."""

    def __init__(self) -> None:
        self.asked = 0

    async def ask(self, key: Any, question: Any, *, told: Any) -> Answer:
        self.asked += 1
        told(f"answer {self.asked} ")
        calls = tuple(Called(id=name, name=name, arguments="{}") for name in ("one", "two"))
        return Answer(
            text=f"answer {self.asked} ",
            calls=calls if self.asked == 1 else (),
            usage={"total_tokens": 10},
            finish_reason="stop",
            model="m",
            session_id="s",
            request_id="r",
            decisions=(),
        )


class Tools:
    """Two tools; the second one never ends while `hangs`."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.hangs = True
        self.hanging = asyncio.Event()

    def __iter__(self) -> Any:
        return iter([SimpleNamespace(name="one"), SimpleNamespace(name="two")])

    def knows(self, name: str) -> bool:
        return True

    def offered(self, name: str) -> dict[str, str]:
        return {"name": name}

    async def run_allowed(self, name: str, arguments: str) -> tuple[str, bool]:
        self.ran.append(name)
        if name == "two" and self.hangs:
            self.hanging.set()
            await asyncio.Event().wait()
        return f"result of {name}", False


async def test_tools_that_ended_before_a_restart_are_not_run_again(site: TalkSite) -> None:
    posted = await site.talks.posting.prompt(ANN, Draft(content="go"))
    reply = posted.assistant_message_ids[0]
    asked = Asked(user_id="u", account_id="a", email="e", agent_id="g", model="m")
    async with site.database.transaction() as connection:
        await ReplyRepository(connection).add(reply, asked, now=1.0)
        await ReplyRepository(connection).take(reply, "p")
    door, tools = Door(), Tools()

    async def make() -> Ending | None:
        async with site.database.read() as connection:
            found = await ReplyRepository(connection).find(reply)
            message = await Work(connection).messages.find(reply)
            assert found is not None
            assert message is not None
            conversation = await Work(connection).conversations.find(message.conversation_id)
            assert conversation is not None
        assembled = Assembled(turns=(Turn(role="user", content="go"),))
        rounds = Rounds(
            spine=site.talks.spine,
            door=door,  # type: ignore[arg-type]  # says what the test wants
            toolbox=tools,  # type: ignore[arg-type]  # the same
            key=None,  # type: ignore[arg-type]  # nobody looks at it here
            asked=asked,
            gathered=Gathered(
                conversation=conversation,
                message=message,
                assembled=assembled,
                sources=(),
                found=(),
            ),
            journal=found[1],
            trail=found[2],
        )
        writer = site.talks.writer
        return await rounds.run(
            lambda already, stopped: Emitter(
                writer, reply, by="p", already=already, flush_s=0, stopped=stopped
            )
        )

    first = asyncio.create_task(make())
    async with asyncio.timeout(20):
        await tools.hanging.wait()
        while True:
            async with site.database.read() as connection:
                found = await ReplyRepository(connection).find(reply)
            if found is not None and found[1].begun is not None and found[1].begun.results:
                break
            await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    tools.hangs = False

    ending = await make()

    assert tools.ran == ["one", "two", "two"]
    assert door.asked == 2
    assert ending is not None
    assert ending.usage == {"total_tokens": 20}
    async with site.database.read() as connection:
        found = await ReplyRepository(connection).find(reply)
    assert found is not None
    assert [(one.kind, one.name, one.status) for one in found[2].nodes] == [
        ("prompt", "context", "succeeded"),
        ("responder", "m", "succeeded"),
        ("tool", "one", "succeeded"),
        ("tool", "two", "succeeded"),
        ("reducer", "results", "succeeded"),
        ("responder", "m", "succeeded"),
    ]
