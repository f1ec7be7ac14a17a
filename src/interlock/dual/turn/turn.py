"""The turn as a driver sees it: commands out, events in, stored in between.

`next` advances until something outside is needed and says what (see `commands`); events change
the state and nothing else happens in them, so a turn can be stored after any of them.

Source: gateway.md 7.3, 7.4, 10.2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import msgspec

from interlock.dual.dumps import StateError
from interlock.dual.errors import ProgramError
from interlock.dual.turn import attempts, calls, planning
from interlock.dual.turn.answer import ErrorCode
from interlock.dual.turn.commands import (
    CallRequest,
    Command,
    Final,
    Suspend,
)
from interlock.dual.turn.config import AnswerFormat
from interlock.dual.turn.engine import Engine
from interlock.dual.turn.model import (
    CacheEntry,
    Called,
    ContextVar,
    Message,
    PlannerMessage,
    TurnInput,
)
from interlock.dual.turn.phases import Phases
from interlock.dual.turn.policies import WriterFactory
from interlock.dual.turn.query import earlier, request_of
from interlock.dual.turn.state import (
    CallState,
    State,
    decode_state,
    pack,
)
from interlock.policy.model import Labels

__all__ = ["ResultStatus", "Turn"]

_GOOD_STEPS = frozenset({"running", "done"})

ResultStatus = Literal["accepted", "repeated", "unknown"]


class Turn(Phases):
    """One turn; see `commands` for what it wants and what it is to be told."""

    @classmethod
    def begin(cls, given: TurnInput, *, writer: WriterFactory | None = None) -> "Turn":
        """A new turn for the newest user message; `writer` is needed for `auto_gen`."""
        state = State(
            input=replace(given, messages=()),
            request=request_of(given.messages),
            around=earlier(given.messages, given.config.prompt.pllm),
            cache=dict(given.cache),
            session_labels=given.session_labels,
        )
        turn = cls(state, None, writer)
        turn._enter_attempt()
        return turn

    @classmethod
    def load(cls, data: bytes, *, writer: WriterFactory | None = None) -> "Turn":
        """A turn from what `dump` made, in any process.

        One that was writing policies begins to write them anew.

        Raises ValueError when the data is no such thing, or of an incompatible version.
        """
        try:
            stored, machine = msgspec.msgpack.decode(data, type=tuple[bytes, bytes | None])
            turn = cls(decode_state(stored), None, writer)
            if machine is not None:
                state = turn._state
                turn._engine = Engine.load(state.input, turn._offered(), state.programs, machine)
        except (msgspec.MsgspecError, ValueError, StateError, ProgramError) as error:
            raise ValueError(f"not a stored turn of this version: {error}") from error
        return turn

    def dump(self) -> bytes:
        """Everything, to be loaded later; between an event and the next command is fine too.

        A turn that is over leaves its interpreter behind: only what it said is asked for again.
        """
        running = self._engine if self._state.phase != "over" else None
        machine = None if running is None else running.dump()
        return msgspec.msgpack.encode((self._state.encode(), machine))

    # What is to be done

    def next(self) -> Command:
        """What the turn needs; the same again until an event changes something."""
        while True:
            command = self._advance()
            if command is not None:
                return command

    def outstanding(self) -> tuple[CallRequest, ...]:
        """The calls handed to the client that it has not answered."""
        if self._state.phase == "over":
            return ()
        return tuple(one.shown() for one in self._out())

    def answer_to(self, numbers: Sequence[int]) -> Suspend | Final | None:
        """What the turn said after these results, for a request that repeats them.

        None when they led to nothing yet, lie too far back, or are no results of this turn.
        """
        wanted = set(numbers)
        for stop in reversed(self._state.stops[-calls.STOPS_KEPT :]):
            if wanted & set(stop.consumed):
                if not stop.calls:
                    return Final(answer=self._answer()) if self._state.phase == "over" else None
                by_no = {one.no: one for one in self._state.calls}
                return Suspend(calls=tuple(by_no[no].shown() for no in stop.calls))
        return None

    # What the session keeps

    @property
    def session_labels(self) -> Labels:
        """The session's labels; the driver sets them whenever a decision changed them."""
        return self._state.session_labels

    @session_labels.setter
    def session_labels(self, labels: Labels) -> None:
        self._state.session_labels = labels

    @property
    def policy_problem(self) -> str:
        """Why a generated policy was dropped; empty when none was. For the log."""
        return self._state.policy_problem

    @property
    def cache(self) -> Mapping[str, CacheEntry]:
        """Results that the session's later turns need not ask for again."""
        return self._state.cache

    @property
    def program(self) -> str | None:
        """The program that runs, or ran last; None: there was none yet.

        Planned in several steps, they are one program together, less those that failed
        before the last one.
        """
        given = self._state.input
        if not given.config.fsm.enable_multistep_planning or given.user_program is not None:
            return self._last_program()
        steps = [one for one in self._state.steps if one.program is not None]
        texts = [
            one.program or "" for one in steps if one is steps[-1] or one.outcome in _GOOD_STEPS
        ]
        return "\n".join(texts) if texts else None

    @property
    def context_vars(self) -> Mapping[str, ContextVar]:
        """The variables its programs start with."""
        return self._state.input.context_vars

    @property
    def planner_history(self) -> tuple[PlannerMessage, ...]:
        """The planner's conversation for the session's next turn."""
        return planning.planner_history(self._state)

    def record(self, ids: Mapping[int, str], wanted: AnswerFormat) -> tuple[Message, ...]:
        """The messages this turn adds to the conversation, the user's included.

        `ids` are the tool-call ids the client knows, by number.
        """
        state = self._state
        by_no = {one.no: one for one in state.calls}
        said = [Message(role="user", text=state.request)]
        handed: set[int] = set()
        for stop in state.stops:
            batch = [by_no[no] for no in stop.calls if no not in handed]
            handed.update(stop.calls)
            if batch:
                said.append(Message(role="assistant", calls=tuple(_called(c, ids) for c in batch)))
                said += [
                    Message(role="tool", call_id=ids.get(c.no, ""), text=c.kept or "", derived=True)
                    for c in batch
                    if c.answered
                ]
        if state.phase == "over" and not state.abandoned:
            answer = self._answer()
            text = answer.content_text(wanted)
            said.append(Message(role="assistant", text=text, derived=answer.derived))
        return tuple(said)

    # Events

    def answered(self, no: int, text: str, *, cut: bool = False) -> None:
        """A model's answer to a question; one that is not open is ignored.

        `cut`: it ends where its token limit was reached. Half a plan is none.
        """
        question = self._question(no)
        if question is not None and question.open:
            question.answer = text
            question.cut = cut

    def ask_failed(self, no: int, code: str, message: str) -> None:
        """A question that could not be asked: an upstream's failure, a time-out."""
        question = self._question(no)
        if question is not None and question.open:
            question.failed = (code, message)

    def allowed(self, no: int, entry: Mapping[str, Any] | None = None) -> None:
        """A call may be made. `entry` is its line of the policy check history."""
        call = self._deciding(no)
        if call is None:
            return
        self._note(entry)
        if calls.start(self._state, self._running(), call, self._number):
            self._completed()

    def denied(
        self,
        no: int,
        message: str,
        *,
        hard: bool = True,
        entry: Mapping[str, Any] | None = None,
        code: ErrorCode = "policy_violation",
    ) -> None:
        """A call may not be made; the rest of the `Decide` it stood in is void.

        No program can catch it. `hard` is whether nobody could have allowed it; a call that
        waits for somebody's approval stays undecided, and the turn may be stored meanwhile.
        """
        call = self._deciding(no)
        if call is None:
            return
        self._note(entry)
        self._state.denied = True
        attempts.denied(self._state, call, message, code=code, hard=hard, engine=self._kept())
        self._after_failure(violation=True)

    def revise(self, no: int, args: Mapping[str, Any]) -> None:
        """A call under decision gets other arguments; it is decided again with them.

        The labels stay: an edited argument still derives from what the program made it of.
        """
        call = self._deciding(no)
        if call is not None:
            call.args = pack(dict(args))

    def result(self, no: int, text: str, is_error: bool = False) -> ResultStatus:
        """A tool's answer from the client; a repeated one changes nothing."""
        call = next((one for one in self._state.calls if one.no == no), None)
        if call is None or call.internal or call.stage in {"decide", "restrict"}:
            return "unknown"
        if call.answered or call.stage != "out":
            return "repeated"
        if self._state.phase == "over":
            return "unknown"
        self._state.consumed.append(no)
        calls.receive(self._state, call, text, is_error=is_error, number=self._number)
        return "accepted"

    def labelled(self, no: int, labels: Labels) -> None:
        """The labels of a result after the policy's rules."""
        call = next((c for c in self._state.calls if c.no == no and c.stage == "label"), None)
        if call is not None:
            calls.deliver(self._state, self._running(), call, labels)

    def restricted(self, no: int, error: str | None = None) -> None:
        """Policy code was added, or why it was not."""
        state = self._state
        if state.phase == "restrict" and no == state.restrict_no:
            state.policy_problem = error or ""
            state.written = True
            state.phase = "prepare"
            return
        call = next((c for c in state.calls if c.no == no and c.stage == "restrict"), None)
        if call is not None:
            calls.restricted(call, error)

    def cleared(self) -> None:
        """The session's labels were reset."""
        if self._state.phase == "clear":
            self._state.phase = "prepare"

    def stop(self, code: ErrorCode, message: str) -> None:
        """Ends the turn as a failure: a deadline, a budget of the caller."""
        if self._state.phase != "over":
            self._give_up(code, message)

    def abandon(self) -> None:
        """Ends the turn because its outstanding calls will not be answered."""
        if self._state.phase != "over":
            self._state.abandoned = True
            self._give_up("tool_error", "the turn was abandoned: its tool calls were not answered")


def _called(call: CallState, ids: Mapping[int, str]) -> Called:
    return Called(
        id=ids.get(call.no, ""), tool=call.tool, arguments=call.args, derived=call.derived
    )
