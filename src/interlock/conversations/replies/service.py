"""Takes replies on, makes them, and brings them to an end whatever happens.

A reply is one piece of durable work. Its text is written as it comes; every finished round, with
the results of its tools, is in its journal before the next one begins. So a process that died
in the middle is gone on with: finished rounds are not asked again, finished tool calls are not
made again, and the round that was cut off is asked again without a word being said twice.

Source: conversations.md sections 11.6, 12 and 14.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.conversations.attachments.service import Attachments
from interlock.conversations.model import UNFINISHED, Agent
from interlock.conversations.ports import CancelOutcome, Trigger
from interlock.conversations.replies.context import gather
from interlock.conversations.replies.emitting import Emitter
from interlock.conversations.replies.model import Asked, Journal, Trail
from interlock.conversations.replies.possession import OnRestart, Possession
from interlock.conversations.replies.repository import ReplyRepository
from interlock.conversations.replies.rounds import Diverged, Rounds
from interlock.conversations.replies.turns import Turns
from interlock.conversations.replying import Ending, ReplyWriter
from interlock.conversations.spine import Spine, Work
from interlock.durable.model import Status
from interlock.gateway.door import Door
from interlock.gateway.toolbox import Toolbox
from interlock.identity.callers import key_of
from interlock.identity.model import KeyInfo
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.storage.engine import after_commit
from interlock.storage.errors import StoreUnavailable

__all__ = ["QUEUE", "WORKFLOW", "AgentReplies", "ReplySettings"]

_log = logging.getLogger("interlock.chat")
QUEUE: Final = "replies"
WORKFLOW: Final = "chat.reply"
_ENQUEUE_TRIES: Final = 5
_STORE_AGAIN_S: Final = 0.2
_STORE_LONGEST_S: Final = 10.0


class ReplyWork(Protocol):
    """Durable work on replies, by the ids of their messages."""

    async def enqueue(self, message_id: str) -> None:
        """Hands a reply over; the same id again is nothing."""
        ...

    async def status(self, message_id: str) -> Status | None:
        """How far the work is; None: it was never handed over."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplySettings:
    """How replies are made."""

    timeout_s: float
    most_at_once: int
    flush_s: float
    context_limit: int
    default_model: Callable[[], str]
    on_restart: OnRestart


@dataclass(slots=True)
class _Running:
    """A reply that this process makes now."""

    task: "asyncio.Task[None]"
    cancelled: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self) -> None:
        """Ends the making; the reply has ended, or is to end as cancelled."""
        self.cancelled = True
        self.task.cancel()


class AgentReplies:
    """The `Replies` of conversations."""

    def __init__(
        self,
        spine: Spine,
        writer: ReplyWriter,
        attachments: Attachments,
        door: Door,
        toolbox: Toolbox,
        *,
        settings: ReplySettings,
        work: ReplyWork,
    ) -> None:
        self._spine = spine
        self._writer = writer
        self._attachments = attachments
        self._door = door
        self._toolbox = toolbox
        self._settings = settings
        self._work = work
        self._mine = Possession(spine, on_restart=settings.on_restart)
        self._turns = Turns(settings.most_at_once)
        self._running: dict[str, _Running] = {}
        self._handing: set[asyncio.Task[None]] = set()

    # --- taking on ---------------------------------------------------------------------

    async def accept(self, connection: AsyncConnection, trigger: Trigger) -> list[str]:
        """See `Replies`."""
        ids = []
        for agent in trigger.agents:
            asked = self._asked(trigger, agent)
            message = await self._writer.queue(connection, trigger, agent, model=asked.model)
            await ReplyRepository(connection).add(message.id, asked, now=self._spine.now())
            await Work(connection).messages.change(message, {"has_reasoning": True})
            ids.append(message.id)
        if ids:
            after_commit(connection, lambda: self._hand_over(ids))
        return ids

    async def regenerate(self, connection: AsyncConnection, trigger: Trigger) -> list[str]:
        """See `Replies`."""
        return await self.accept(connection, trigger)

    async def trail(self, connection: AsyncConnection, message_id: str) -> Mapping[str, Any] | None:
        """See `Replies`."""
        found = await ReplyRepository(connection).find(message_id)
        message = await Work(connection).messages.find(message_id)
        if found is None or message is None:
            return None
        return found[2].told(ended=None if message.unfinished else message.status)

    async def trails(self, message_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Trails of several replies at once, for whoever may read their messages."""
        async with self._spine.database.read() as connection:
            found = await ReplyRepository(connection).trails(message_ids)
        return {
            message_id: trail.told(ended=None if status in UNFINISHED else status)
            for message_id, (status, trail) in found.items()
        }

    async def cancel(self, message_id: str) -> CancelOutcome:
        """See `Replies`."""
        running = self._running.get(message_id)
        ending = Ending(status="cancelled", finish_reason="cancelled")
        if running is None:
            return "cancelled" if await self._writer.end(message_id, ending) else "completed"
        running.stop()
        await running.over.wait()
        async with self._spine.database.read() as connection:
            message = await Work(connection).messages.find(message_id)
        if message is None or message.status == "cancelled":
            return "cancelled"
        return "timed_out" if message.status == "timeout" else "completed"

    async def resume(self) -> None:
        """Sees to replies that no work is on: those never handed over, those whose work is over.

        Work that waits or runs is left alone, whichever process has it: when that one is dead,
        durable work gives it to another, and `chat.on_restart` says what becomes of the reply.
        """
        async with self._spine.database.read() as connection:
            left = await ReplyRepository(connection).unfinished()
        for message_id in left:
            match await self._work.status(message_id):
                case None:
                    await self._work.enqueue(message_id)
                case "waiting" | "running":
                    pass
                case "done" | "failed" | "cancelled":
                    await self._writer.end(message_id, _INTERRUPTED)

    def _asked(self, trigger: Trigger, agent: Agent) -> Asked:
        ctx, ask, conversation = trigger.ctx, trigger.ask, trigger.conversation
        model = ask.model or agent.model or conversation.model or self._settings.default_model()
        options = {
            "temperature": ask.temperature,
            "max_tokens": ask.max_tokens,
            "stop": list(ask.stop) or None,
        }
        retrieval, reasoning = ask.retrieval, ask.reasoning
        tools = list(ask.tools) if isinstance(ask.tools, tuple) else None
        return Asked(
            user_id=ctx.user_id or "",
            account_id=ctx.account_id,
            email=ctx.email,
            groups=sorted(ctx.groups),
            roles=sorted(key_of(ctx).roles),
            agent_id=agent.id,
            model=model,
            system=ask.system,
            tools=[] if ask.tools == "none" else tools,
            search=trigger.message.content[:500] if retrieval.get("enabled") else None,
            top_k=_bounded(retrieval.get("top_k"), default=5, most=20),
            mode="off" if reasoning.get("mode") == "off" else "auto",
            max_steps=_bounded(reasoning.get("max_steps"), default=6, most=6),
            options={name: value for name, value in options.items() if value is not None},
        )

    def _hand_over(self, ids: list[str]) -> None:
        """After the commit; what cannot be handed over now is found again by `resume`."""

        async def hand() -> None:
            for message_id in ids:
                await self._handed(message_id)

        task = asyncio.get_running_loop().create_task(hand())
        self._handing.add(task)
        task.add_done_callback(self._handing.discard)

    async def _handed(self, message_id: str) -> None:
        for attempt in range(_ENQUEUE_TRIES):
            try:
                await self._work.enqueue(message_id)
            except InterlockError as error:
                _log.warning("a reply could not be handed over: %s", error.message)
                await asyncio.sleep(0.2 * 2**attempt)
            else:
                return
        await self._writer.end(message_id, _failed("unavailable", "The work could not begin."))

    async def close(self) -> None:
        """Waits until what was accepted has been handed over."""
        await asyncio.gather(*self._handing, return_exceptions=True)

    # --- making ------------------------------------------------------------------------

    async def make(self, message_id: str) -> None:
        """Makes a reply when it is its turn, from wherever it is; one that has ended: nothing.

        Waits while the store does not answer: an error would be the end of the work, and leave
        a reply that never ends.
        """
        wait_s = _STORE_AGAIN_S
        while True:
            try:
                await self._in_turn(message_id)
            except StoreUnavailable:
                _log.warning("a reply waits for the store: %s", message_id)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _STORE_LONGEST_S)
            else:
                return

    async def _in_turn(self, message_id: str) -> None:
        waiting, goes_on = await self._mine.take(message_id)
        if waiting is None:
            return
        if not goes_on:
            await self._end(message_id, _INTERRUPTED)
            return
        await self._mine.precede(waiting)
        person, lane = waiting.requested_by or "", f"{waiting.root_id}:{waiting.agent_id}"
        async with self._turns.turn(person, lane, message_id):
            await self._make(message_id)

    async def _make(self, message_id: str) -> None:
        async with self._spine.database.read() as connection:
            found = await ReplyRepository(connection).find(message_id)
            message = await Work(connection).messages.find(message_id)
        if found is None or message is None or not message.unfinished:
            return
        asked, journal, trail = found
        task = asyncio.ensure_future(self._made(message_id, asked, journal, trail))
        running = self._running[message_id] = _Running(task)
        watching = asyncio.ensure_future(self._mine.watch(message_id, running.stop))
        try:
            await task
        except asyncio.CancelledError:
            if not running.cancelled:
                task.cancel()
                raise  # the server stops: somebody goes on with it later
            await self._end(message_id, Ending(status="cancelled", finish_reason="cancelled"))
        finally:
            watching.cancel()
            self._running.pop(message_id, None)
            running.over.set()

    async def _end(self, message_id: str, ending: Ending) -> None:
        """Ends a reply of this process; one that another has taken: nothing."""
        await self._writer.end(message_id, ending, by=self._mine.process)

    async def _made(self, message_id: str, asked: Asked, journal: Journal, trail: Trail) -> None:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                ending = await self._ending(message_id, asked, journal, trail)
        except TimeoutError:
            text = "The reply took too long."
            ending = Ending(
                status="timeout", finish_reason="timeout", error=("assistant_timeout", text)
            )
        except Diverged:
            ending = _INTERRUPTED
        except InterlockError as error:
            ending = await self._told_failure(message_id, error)
        except Exception:
            _log.exception("a reply failed")
            ending = _failed("assistant_stream_error", "The reply could not be made.")
        if ending is not None:
            await self._end(message_id, ending)

    async def _ending(
        self, message_id: str, asked: Asked, journal: Journal, trail: Trail
    ) -> Ending | None:
        """Makes the reply to its end; None: somebody else has ended it."""
        key = _key_of(asked)
        gathered = await gather(
            self._spine,
            self._attachments,
            self._door,
            key,
            asked,
            message_id,
            context_limit=self._settings.context_limit,
        )
        if gathered is None:
            return None
        rounds = Rounds(
            spine=self._spine,
            door=self._door,
            toolbox=self._toolbox,
            key=key,
            asked=asked,
            gathered=gathered,
            journal=journal,
            trail=trail,
        )

        def emitter(already: str, stopped: Callable[[], None]) -> Emitter:
            return Emitter(
                self._writer,
                message_id,
                by=self._mine.process,
                already=already,
                flush_s=self._settings.flush_s,
                stopped=stopped,
            )

        return await rounds.run(emitter)

    async def _told_failure(self, message_id: str, error: InterlockError) -> Ending:
        """A failure in words a reader can use; no key and no prompt is in it."""
        async with self._spine.database.read() as connection:
            message = await Work(connection).messages.find(message_id)
        begun = message is not None and bool(message.content)
        code, text = _reason(error, begun=begun)
        if not begun:
            await self._writer.write(message_id, [text], by=self._mine.process)
        return _failed(code, text)


def _key_of(asked: Asked) -> KeyInfo:
    """The person who asked, as `key_of` said when it was asked."""
    return KeyInfo(
        id=asked.user_id,
        account_id=asked.account_id,
        user_id=asked.user_id,
        user_email=asked.email,
        label="chat",
        groups=frozenset(asked.groups),
        roles=frozenset(asked.roles),
        surface="chat",
    )


def _reason(error: InterlockError, *, begun: bool) -> tuple[str, str]:
    match error.error_kind:
        case ErrorKind.RATE_LIMITED:
            return "rate_limited", "Too many requests at the moment."
        case ErrorKind.QUOTA:
            return "rate_limited", "The budget for models is spent."
        case ErrorKind.FORBIDDEN:
            return "policy_denied", "A policy does not allow this."
        case ErrorKind.NOT_FOUND | ErrorKind.INVALID | ErrorKind.UNPROCESSABLE:
            return "provider_error", "The model does not take this request."
        case ErrorKind.UNAVAILABLE | ErrorKind.UPSTREAM | ErrorKind.UPSTREAM_TIMEOUT if not begun:
            return "provider_unavailable", "The model provider is not available."
        case _:
            return "assistant_stream_error", "The reply broke off."


def _failed(code: str, text: str) -> Ending:
    return Ending(status="error", finish_reason="error", error=(code, text))


_INTERRUPTED: Final = _failed("assistant_interrupted", "The reply was interrupted.")


def _bounded(value: object, *, default: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        return default
    return min(value, most)
