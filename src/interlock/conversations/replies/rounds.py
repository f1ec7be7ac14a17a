"""The rounds of one reply: the model answers, its tools run, it is asked again.

Every step is a node of the trail, with an id made of what went into it, so that the same turn
gives the same graph. Tool calls of one round run side by side; identical ones run once.

Source: conversations.md section 14.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from interlock.conversations.announcing import conversation_stream, node_changed, tool_called
from interlock.conversations.replies.context import Gathered, messages_of, place_of
from interlock.conversations.replies.emitting import Emitter
from interlock.conversations.replies.model import (
    RESULTS,
    Asked,
    Journal,
    Node,
    NodeKind,
    NodeStatus,
    Round,
    Trail,
    digest_of,
    preview,
)
from interlock.conversations.replies.repository import ReplyRepository
from interlock.conversations.replying import Ending
from interlock.conversations.spine import Spine
from interlock.conversations.views import instant
from interlock.gateway.door import Answer, Called, Door, Question
from interlock.gateway.records import DecisionRecord
from interlock.gateway.toolbox import Toolbox
from interlock.identity.model import KeyInfo
from interlock.policy.model import Verdict

__all__ = ["Diverged", "Rounds"]

_PARALLEL: Final = 4
_MOST_NODES: Final = 32
_CLOSING: Final = 2
"""Nodes a round with tools still needs after them: the reducer and the answer."""
_TOO_MANY: Final = '{"error":"not run: this reply has too many steps"}'

MakeEmitter = Callable[[str, Callable[[], None]], Emitter]
"""(text this round has written before, what to call when to stop) -> emitter."""


class Diverged(Exception):  # noqa: N818 - what happened, not an error of anybody
    """After a restart the model said something else than before."""


class Rounds:
    """Makes one reply."""

    def __init__(
        self,
        *,
        spine: Spine,
        door: Door,
        toolbox: Toolbox,
        key: KeyInfo,
        asked: Asked,
        gathered: Gathered,
        journal: Journal,
        trail: Trail,
    ) -> None:
        self._spine = spine
        self._door = door
        self._toolbox = toolbox
        self._key = key
        self._asked = asked
        self._gathered = gathered
        self._journal = journal
        self._trail = trail
        self._place = place_of(gathered.conversation, gathered.message)
        self._slots = asyncio.Semaphore(_PARALLEL)
        self._usage = dict(journal.usage)
        self._before = {one.id: one for one in trail.nodes}
        """What the trail said before a restart."""
        self._began: dict[str, float] = {}
        names = [one.name for one in toolbox] if asked.tools is None else asked.tools
        self._offered = [] if asked.mode == "off" else [n for n in names if toolbox.knows(n)]

    async def run(self, emitter: MakeEmitter) -> Ending | None:
        """Makes the reply to its end; None: somebody else has ended the message.

        Raises:
            Diverged: the round that was cut off cannot be gone on with.
            InterlockError: the gateway or the provider refuses, or fails.
        """
        begun = self._journal.begun
        after = self._trail.resume(len(self._journal.rounds), begun=begun is not None)
        if not self._trail.nodes:
            after = await self._opening()
        history = messages_of(self._gathered.assembled)
        written = self._gathered.message.content
        for done in self._journal.rounds:
            history += _said(done)
            written = written[len(done.text) :]
        if begun is not None:
            done = await self._run_calls(begun, self._asking_node(), ())
            history += _said(done)
            written, after = "", [self._trail.nodes[-1].id]
        while True:
            last = len(self._journal.rounds) >= self._asked.max_steps
            room = len(self._trail.nodes) + _CLOSING + 2 <= _MOST_NODES
            tools = self._offered if room and not last else []
            answer, node = await self._ask(history, after, emitter, written, tools)
            if answer is None:
                return None
            written = ""
            if not answer.calls or not tools:
                return Ending(
                    status="complete",
                    finish_reason=_finish(answer.finish_reason),
                    usage=self._used(answer),
                )
            done = await self._called(answer, node)
            history += _said(done)
            after = [self._trail.nodes[-1].id]

    # --- steps -------------------------------------------------------------------------

    async def _opening(self) -> list[str]:
        """The nodes before the first question."""
        given = [[turn.role, turn.content] for turn in self._gathered.assembled.turns]
        prompt = self._begin("prompt", "context", digest_of(given), [])
        prompt.provenance = [{"message_id": one} for one in self._gathered.sources]
        await self._end(prompt, "succeeded")
        if not self._asked.search:
            return [prompt.id]
        found = self._begin("retriever", "conversation", self._asked.search, [prompt.id])
        found.provenance = [{"message_id": one} for one in self._gathered.found]
        await self._end(found, "succeeded")
        reducer = self._begin("reducer", "passages", list(self._gathered.found), [found.id])
        await self._end(reducer, "succeeded")
        return [reducer.id]

    async def _ask(
        self,
        history: Sequence[Mapping[str, Any]],
        after: list[str],
        make: MakeEmitter,
        already: str,
        offered: Sequence[str],
    ) -> tuple[Answer | None, Node]:
        given = [_canonical(history), list(offered), self._asked.options]
        node = self._begin("responder", self._asked.model, given, after)
        await self._tell(node)
        question = Question(
            place=self._place,
            model=self._asked.model,
            messages=history,
            tools=[self._toolbox.offered(name) for name in offered],
            options=self._asked.options,
            endpoint="chat/reply",
        )
        asking: asyncio.Task[Answer] | None = None

        def stop() -> None:
            if asking is not None:
                asking.cancel()

        out = make(already, stop)
        flushing = asyncio.ensure_future(out.run())
        try:
            asking = asyncio.ensure_future(self._door.ask(self._key, question, told=out.tell))
            answer = await asking
        except asyncio.CancelledError:
            if out.diverged:
                await self._end(node, "failed", error={"code": "assistant_interrupted"})
                raise Diverged from None
            if out.ended:
                return None, node
            raise
        except BaseException:
            await self._end(node, "failed", error={"code": "provider_error"})
            raise
        finally:
            if asking is not None and not asking.done():
                asking.cancel()
            out.finish()
            await flushing
        if out.diverged or out.owes:
            raise Diverged
        node.output_preview, node.output_hash = preview(answer.text), digest_of(answer.text)
        node.usage = dict(answer.usage or {}) or None
        for name, count in (answer.usage or {}).items():
            if isinstance(count, int):
                self._usage[name] = self._usage.get(name, 0) + count
        await self._end(node, "succeeded")
        await self._denied(answer.decisions, node)
        return answer, node

    async def _denied(self, decisions: Sequence[DecisionRecord], node: Node) -> None:
        """Calls that a policy kept from the model, so that people can ask why."""
        for one in decisions:
            full = len(self._trail.nodes) + _CLOSING >= _MOST_NODES
            if Verdict(one.verdict).allowed or full:
                continue
            denied = self._begin("tool", one.tool, one.args or {}, [node.id])
            denied.error = {
                "code": "policy_denied",
                "decision_id": one.id,
                "verdict": one.verdict,
                "rule": one.rule,
                "line": one.rule_line,
            }
            await self._end(denied, "denied")

    async def _called(self, answer: Answer, node: Node) -> Round:
        """Runs the calls of an answer; the answer is in the journal before the first one runs."""
        begun = self._journal.begun = Round(
            text=answer.text,
            calls=[
                {"id": call.id, "name": call.name, "arguments": call.arguments}
                for call in answer.calls
            ],
            results={},
        )
        self._journal.usage = dict(self._usage)  # stored with the first call's node
        return await self._run_calls(begun, node, answer.decisions)

    def _asking_node(self) -> Node:
        """The node of the newest answer."""
        return next(one for one in reversed(self._trail.nodes) if one.kind == "responder")

    async def _run_calls(
        self, begun: Round, node: Node, decisions: Sequence[DecisionRecord]
    ) -> Round:
        """Runs the calls that have no result yet; afterwards the round is in the journal."""
        calls = [Called(**call) for call in begun.calls]
        unique: dict[tuple[str, str], Called] = {}
        for call in calls:
            unique.setdefault((call.name, call.arguments), call)
        room = max(0, _MOST_NODES - _CLOSING - len(self._trail.nodes))
        run = list(unique)[:room]
        made = await asyncio.gather(
            *(self._tool(unique[one], node, decisions, begun.results) for one in run)
        )
        texts = dict(zip(run, made, strict=True))
        done = Round(
            text=begun.text,
            calls=begun.calls,
            results={
                call.id: texts.get((call.name, call.arguments), (_TOO_MANY, ""))[0]
                for call in calls
            },
        )
        before = [one[1] for one in made] or [node.id]
        reducer = self._begin("reducer", RESULTS, list(done.results.values()), before)
        self._journal.rounds.append(done)
        self._journal.begun = None
        await self._end(reducer, "succeeded")
        return done

    async def _tool(
        self,
        call: Called,
        node: Node,
        decisions: Sequence[DecisionRecord],
        results: dict[str, str],
    ) -> tuple[str, str]:
        """What a call gave, and the id of its node; `results`: what has ended is not done again."""
        async with self._slots:
            tool = self._begin("tool", call.name, call.arguments, [node.id])
            known = self._before.get(tool.id)
            if known is not None and call.id in results:
                tool.output_preview, tool.output_hash = known.output_preview, known.output_hash
                tool.provenance = known.provenance
                await self._end(tool, "failed" if known.error else "succeeded", error=known.error)
                return results[call.id], tool.id
            await self._tell(tool)
            text, failed = await self._toolbox.run_allowed(call.name, call.arguments)
            results[call.id] = text
            tool.output_preview, tool.output_hash = preview(text), digest_of(text)
            if failed:
                tool.error = {"code": "tool_failed", "message": preview(text)[:300]}
            decision = next((one for one in decisions if one.call_id == call.id), None)
            if decision is not None:
                tool.provenance = [{"decision_id": decision.id, "verdict": decision.verdict}]
            await self._end(tool, "failed" if failed else "succeeded")
            return text, tool.id

    # --- the trail ---------------------------------------------------------------------

    def _begin(self, kind: NodeKind, name: str, given: object, after: list[str]) -> Node:
        node = self._trail.begin(kind, name, given, after, at=instant(self._spine.now()))
        node.status = "running"
        self._began[node.id] = time.monotonic()
        return node

    async def _end(
        self, node: Node, status: NodeStatus, *, error: dict[str, Any] | None = None
    ) -> None:
        node.status = status
        node.error = error or node.error
        node.finished_at = instant(self._spine.now())
        node.duration_ms = round((time.monotonic() - self._began[node.id]) * 1000, 3)
        await self._tell(node)

    async def _tell(self, node: Node) -> None:
        """Stores the trail and tells readers that ask for it."""
        message = self._gathered.message
        shown = msgspec.to_builtins(node)
        events = [node_changed(message, shown)]
        if node.kind == "tool":
            events.append(tool_called(message, shown))
        async with self._spine.database.transaction() as connection:
            await ReplyRepository(connection).save(message.id, self._journal, self._trail)
            await self._spine.log.append(
                connection,
                conversation_stream(message.conversation_id),
                events,
            )

    def _used(self, answer: Answer) -> dict[str, int] | None:
        return dict(self._usage) if answer.usage is not None else None


def _said(done: Round) -> list[Mapping[str, Any]]:
    """A finished round in the words of Chat Completions."""
    calls = [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": call["arguments"]},
        }
        for call in done.calls
    ]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": done.results[call["id"]]}
        for call in done.calls
    ]
    return [{"role": "assistant", "content": done.text or None, "tool_calls": calls}, *results]


def _canonical(history: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """A history without the ids of its calls, which are new every time."""
    ids: dict[str, str] = {}

    def plain(call: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**call, "id": ids.setdefault(call["id"], f"call {len(ids)}")}

    told: list[Mapping[str, Any]] = []
    for one in history:
        if "tool_calls" in one:
            told.append({**one, "tool_calls": [plain(call) for call in one["tool_calls"]]})
        elif "tool_call_id" in one:
            told.append({**one, "tool_call_id": ids.get(one["tool_call_id"], "")})
        else:
            told.append(one)
    return told


def _finish(reason: str) -> str:
    return reason if reason in {"stop", "length", "content_filter"} else "stop"
