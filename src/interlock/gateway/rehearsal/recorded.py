"""What the store knows of a session: its calls, its programs, the results it was given.

Values a key does not keep are not there; they become placeholders, and the rehearsal says
so. Nothing is guessed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from interlock.gateway.dual.state import Conversation, decode_conversation
from interlock.gateway.history import DecisionFilter, History
from interlock.gateway.ids import parse_call_id
from interlock.gateway.records import DecisionRecord
from interlock.gateway.rehearsal.errors import (
    NothingToRehearseError,
    SessionNotRecordedError,
    SessionUnreadableError,
)
from interlock.gateway.rehearsal.injection import canonical
from interlock.gateway.session_state import SessionState, decode_state
from interlock.policy.model import Verdict

__all__ = ["NOT_KEPT", "Call", "Recorded", "read_session"]

NOT_KEPT = "[not kept]"
"""Stands for the value of an argument of which only the name is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call the session attempted."""

    tool: str
    args: Mapping[str, Any]
    call_id: str
    verdict: str = ""
    """Empty: its decision is not known any more."""
    placeholders: bool = False
    """Whether values of the arguments were not kept."""
    result: str | None = None
    """None: not kept."""

    @property
    def allowed(self) -> bool:
        """Whether it reached the client."""
        return not self.verdict or Verdict(self.verdict).allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A session as the store has it."""

    state: SessionState
    decisions: Sequence[DecisionRecord]
    """Oldest first."""
    calls: Sequence[Call]
    """Those that reached the client or were denied on their way to it, oldest first."""
    conversation: Conversation | None = None
    """None in single-llm."""
    notes: Sequence[str] = field(default_factory=list)

    @property
    def newest(self) -> DecisionRecord | None:
        """The newest decision that says what it was made under."""
        return next((one for one in reversed(self.decisions) if one.basis), None)


async def read_session(history: History, session_id: str, *, until: float) -> Recorded:
    """Reads a session and its decisions; `until` in seconds since the epoch.

    Raises:
        SessionNotRecordedError: the store does not have it.
        SessionUnreadableError: another version wrote it.
        NothingToRehearseError: it made no call, or (dual-llm) no program of it is kept.
    """
    session_id = session_id.strip().lower()
    record = await history.session(session_id)
    if record is None:
        raise SessionNotRecordedError(session_id)
    wanted = DecisionFilter(session_id=session_id, until=until)
    decisions = [one async for one in history.each(wanted) if one.surface == "control"]
    try:
        state = decode_state(record.state)
        conversation = decode_conversation(state.dual) if state.dual else None
    except msgspec.MsgspecError:
        raise SessionUnreadableError(session_id) from None
    if state.arch == "single-llm":
        calls, notes = _single(decisions)
        if not calls:
            raise NothingToRehearseError(session_id, "tool call")
        return Recorded(state=state, decisions=decisions, calls=calls, notes=notes)
    if conversation is None or not any(one.source for one in conversation.programs):
        raise NothingToRehearseError(session_id, "program")
    return Recorded(
        state=state,
        decisions=decisions,
        calls=_dual(conversation, decisions),
        conversation=conversation,
        notes=_shortened(conversation, state.turns),
    )


# Single-llm: the decisions are all there is


def _single(decisions: Sequence[DecisionRecord]) -> tuple[list[Call], list[str]]:
    calls: list[Call] = []
    unreadable = 0
    for one in decisions:
        if one.call_id is None:
            continue  # the offer of a tool that the provider runs itself
        if (
            one.reason == "arguments"
            or not one.tool
            or any(c.isspace() or c == "{" for c in one.tool)
        ):
            unreadable += 1
            continue
        args = one.args if one.args is not None else dict.fromkeys(_names(one), NOT_KEPT)
        masked = one.basis.get("values") == "masked" and bool(args)
        calls.append(
            Call(
                tool=one.tool,
                args=args,
                call_id=one.call_id,
                verdict=one.verdict,
                placeholders=one.args is None or masked,
            )
        )
    notes = ["the results of tools are not kept in single-llm: `(dry run)` stands for them"]
    hidden = sum(call.placeholders for call in calls)
    if hidden:
        notes.append(
            f"the arguments of {hidden} recorded calls were not kept (retention of the key): "
            "placeholders stand for them, and rules about values decide on these"
        )
    if unreadable:
        notes.append(f"{unreadable} recorded calls that no tool could have run are left out")
    return calls, notes


def _names(record: DecisionRecord) -> list[str]:
    """Names of a call's arguments, as far as its labels and its lineage tell them."""
    found = list(record.labels.get("args") or ())
    for node in record.lineage.get("nodes", ()):
        if node.get("id") == "call":
            found += node.get("args") or ()
    return sorted(set(found))


# Dual-llm: the conversation has calls and results


def _dual(conversation: Conversation, decisions: Sequence[DecisionRecord]) -> list[Call]:
    verdicts = {one.call_id: one.verdict for one in decisions if one.call_id}
    results = {
        _canonical_id(message.call_id): message.text
        for message in conversation.messages
        if message.role == "tool"
    }
    calls = []
    seen = set()
    for message in conversation.messages:
        for called in message.calls:
            call_id = _canonical_id(called.id)
            seen.add(call_id)
            calls.append(
                Call(
                    tool=called.tool,
                    args=_object(called.arguments),
                    call_id=call_id,
                    verdict=verdicts.get(call_id, ""),
                    result=results.get(call_id),
                )
            )
    for one in decisions:
        if one.call_id and one.call_id not in seen and one.args is not None:
            calls.append(
                Call(tool=one.tool, args=one.args, call_id=one.call_id, verdict=one.verdict)
            )
    return calls


def _canonical_id(call_id: str) -> str:
    ours = parse_call_id(call_id)
    return call_id if ours is None else ours.canonical


def _object(text: str) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _shortened(conversation: Conversation, turns: int) -> list[str]:
    notes = []
    earlier = turns - len(conversation.programs)
    if earlier > 0:
        notes.append(
            f"the programs of {earlier} earlier turns are not kept: labels they brought are missing"
        )
    for one in conversation.programs:
        if not one.source:
            notes.append(f"the program of turn {one.turn} was too long to be kept and is left out")
        elif not one.variables:
            notes.append(f"the variables of turn {one.turn} were too long to be kept")
    return notes


def key_of(tool: str, args: object) -> tuple[str, str]:
    """Equal for the same call."""
    return tool, canonical(args)
