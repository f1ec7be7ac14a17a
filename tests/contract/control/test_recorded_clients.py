"""What Claude Code and Codex CLI really send, played again.

The recordings are made by `make record-clients` under the policy `tests/clients/coding.sqrt`.
They are played against a provider of the same format, so that everything the programs
send can be seen to arrive there as it was sent.
"""

import asyncio
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.control_site import Site
from tests.support.recorded import CALL_ID, Conversation, Recorded, names
from tests.support.requirements import requirement

from interlock.providers.demo import DemoReply

pytestmark = pytest.mark.anyio

POLICY = Path(__file__).parents[2] / "clients" / "coding.sqrt"
MIXED = "claude-code-mixed-calls"
"""One of the calls is denied; the provider is told so between what the program sends."""

ANY_CALL_ID = re.compile(rf"{CALL_ID.pattern}|\b(?:call|toolu)_\w+")


@dataclass(slots=True, kw_only=True)
class Played:
    """What came of a recorded conversation."""

    sent: list[bytes] = field(default_factory=list)
    answers: list[httpx.Response] = field(default_factory=list)
    arrived: list[bytes] = field(default_factory=list)
    """The body that each request became for the provider."""
    call_ids: list[str] = field(default_factory=list)

    @property
    def sessions(self) -> set[str | None]:
        """The sessions of all completions."""
        counts = ("count_tokens",)
        return {
            answer.headers.get("x-session-id")
            for answer in self.answers
            if not answer.request.url.path.endswith(counts)
        }

    @property
    def session(self) -> str:
        """The one session that all requests belonged to."""
        (session,) = self.sessions
        assert session is not None
        return session


async def _key(site: Site) -> str:
    return await site.new_key(base_config={"x_policy": {"codes": {"code": POLICY.read_text()}}})


def _native(request: Recorded) -> str:
    """The provider that speaks the program's format."""
    return "anthropic" if "/v1/messages" in request.path else "openai"


async def _play(site: Site, name: str, *, provider: str | None = None) -> Played:
    """Plays a conversation; the ids of its calls are those the server makes now."""
    key, played = await _key(site), Played()
    for request in Conversation.load(name).requests:
        await _ask(site, request, key, played, provider=provider)
    return played


async def _ask(
    site: Site, request: Recorded, key: str, played: Played, *, provider: str | None = None
) -> None:
    body = request.body(played.call_ids)
    before = len(site.upstream.asked)
    answer = await site.gateway.http.request(
        request.method,
        request.path.replace("/demo/", f"/{provider or _native(request)}/"),
        content=body,
        headers=request.sent_headers(key),
    )
    played.sent.append(body)
    played.answers.append(answer)
    if len(site.upstream.asked) > before:
        played.arrived.append(site.upstream.asked[before].raw)
    fresh = dict.fromkeys(CALL_ID.findall(answer.text))
    played.call_ids += [one for one in fresh if one not in played.call_ids]


def _without_ids(body: bytes) -> Any:
    return json.loads(ANY_CALL_ID.sub("ID", body.decode()))


@requirement("control.coding.claude-code", "control.coding.codex")
@pytest.mark.parametrize("name", names())
async def test_everything_the_programs_send_is_welcome(site: Site, name: str) -> None:
    played = await _play(site, name)

    refused = [(one.status_code, one.text) for one in played.answers if one.status_code != 200]
    assert refused == []
    assert max(map(len, played.sent)) > 6_000


@requirement("control.coding.claude-code", "control.coding.codex")
@pytest.mark.parametrize("name", [one for one in names() if one != MIXED])
async def test_what_the_programs_send_arrives_with_nothing_but_the_ids_changed(
    site: Site, name: str
) -> None:
    played = await _play(site, name)

    assert len(played.arrived) == len(played.sent)
    for sent, arrived in zip(played.sent, played.arrived, strict=True):
        assert _without_ids(arrived) == _without_ids(sent)
        assert CALL_ID.search(arrived.decode()) is None


@requirement("control.coding.session-header")
@pytest.mark.parametrize("name", [one for one in names() if "count-tokens" not in one])
async def test_a_conversation_of_a_program_is_one_session(site: Site, name: str) -> None:
    """Later runs and subagents included."""
    assert (await _play(site, name)).session


@requirement("control.coding.session-header")
@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("claude-code-injected", "Bash#1"),
        (MIXED, "Bash#0"),
        ("claude-code-subagent", "Bash#1"),
        ("claude-code-tainted", "Bash#1"),
        ("codex-cli-namespace-denied", "multi_agent_v1.close_agent#0"),
        ("codex-cli-subagent", "exec_command#1"),
        ("codex-cli-tainted", "exec_command#1"),
    ],
)
async def test_the_policy_of_the_key_holds_in_recorded_conversations(
    site: Site, name: str, rule: str
) -> None:
    played = await _play(site, name)

    decisions = await site.decisions(played.session)
    denied = [one for one in decisions if one.verdict == "hard_denied"]
    assert {one.rule for one in denied} == {rule}
    assert not {one.call_id for one in denied} & set(played.call_ids)


@requirement("control.coding.side-by-side")
@pytest.mark.parametrize("name", ["claude-code-subagent", "codex-cli-subagent"])
async def test_subagents_of_one_conversation_are_served_side_by_side(
    site: Site, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider answers neither before it has both."""
    both, answer_at_once = asyncio.Barrier(2), site.upstream.handle

    async def handle(*given: Any) -> DemoReply:
        async with asyncio.timeout(5):
            await both.wait()
        return await answer_at_once(*given)

    key, main, agent = await _key(site), Played(), Played()
    first = Conversation.load(name).requests[0]
    monkeypatch.setattr(site.upstream, "handle", handle)
    async with asyncio.TaskGroup() as group:
        group.create_task(_ask(site, first, key, main))
        group.create_task(_ask(site, first, key, agent))

    assert [one.status_code for one in (*main.answers, *agent.answers)] == [200, 200]
    assert main.session == agent.session


@requirement("control.coding.claude-code")
async def test_a_denied_sibling_is_answered_in_the_place_of_the_program(site: Site) -> None:
    played = await _play(site, MIXED)

    sent, arrived = (json.loads(one[-1])["messages"][-1] for one in (played.sent, played.arrived))
    assert len(sent["content"]) == 2
    assert sum(block["type"] == "tool_result" for block in arrived["content"]) == 3
    assert "'Bash' is denied" in json.dumps(arrived)


@requirement("control.coding.translated")
@pytest.mark.parametrize(
    "name", ["claude-code-call", "claude-code-tool-search", "claude-code-subagent"]
)
async def test_claude_code_works_in_front_of_a_provider_of_another_format(
    site: Site, name: str
) -> None:
    played = await _play(site, name, provider="openrouter")

    refused = [(one.status_code, one.text) for one in played.answers if one.status_code != 200]
    assert refused == []
    assert played.call_ids
    assert site.upstream.last.path.endswith("/chat/completions")


@requirement("control.coding.codex")
async def test_calls_of_a_namespace_keep_it(site: Site) -> None:
    played = await _play(site, "codex-cli-many-calls")

    first = played.answers[0].text
    assert first.count('"namespace":"multi_agent_v1"') >= 1
    assert len(played.call_ids) == 3


@requirement("control.coding.count-tokens")
async def test_claude_code_is_told_the_size_of_its_parts(site: Site) -> None:
    played = await _play(site, "claude-code-count-tokens")

    assert all(answer.json()["input_tokens"] > 0 for answer in played.answers)
