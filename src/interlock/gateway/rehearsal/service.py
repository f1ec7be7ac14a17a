"""Forks a recorded session, puts a text into a tool result, and plays it.

The store is only read: what the rehearsal decides and remembers is in memory.

Source: gateway.md sections 7, 9, 10, 11.13; architecture.md section 6.
"""

from collections.abc import Callable, Sequence

from interlock.gateway.history import History
from interlock.gateway.ids import parse_call_id
from interlock.gateway.rehearsal.errors import RehearsalTargetError
from interlock.gateway.rehearsal.injection import asked_calls
from interlock.gateway.rehearsal.model import Asked, Rehearsal, Wanted
from interlock.gateway.rehearsal.playing import DualPlay, Progress, SinglePlay, Stage
from interlock.gateway.rehearsal.recorded import Call, Recorded, key_of, read_session
from interlock.gateway.rehearsal.terms import Terms, TermsReader
from interlock.kernel.clock import Clock

__all__ = ["Rehearsals"]


class Rehearsals:
    """Rehearses recorded sessions of one store."""

    def __init__(
        self,
        *,
        history: History,
        terms: TermsReader,
        stage: Callable[[Terms], Stage],
        clock: Clock,
    ) -> None:
        """`stage` builds the gateway of one rehearsal."""
        self._history = history
        self._terms = terms
        self._stage = stage
        self._clock = clock

    async def run(self, wanted: Wanted, progress: Progress) -> Rehearsal:
        """Rehearses a session.

        Raises:
            InvalidInjectionError: the text cannot be rehearsed.
            SessionNotRecordedError, SessionUnreadableError, NothingToRehearseError: there is
                no such session, or nothing of it to play.
            RehearsalTargetError: it has no such result.
            PolicyNotKeptError, PolicyError: its policies are gone, or do not compile.
        """
        asked = asked_calls(wanted.text)
        now = self._clock.now().timestamp()
        recorded = await read_session(self._history, wanted.session, until=now)
        ours = None if wanted.into is None else parse_call_id(wanted.into)
        into = wanted.into if ours is None else ours.canonical
        target = _target(recorded.calls, into)
        terms = await self._terms.of(recorded, wanted)
        found = Rehearsal(
            session=recorded.state.id,
            arch=recorded.state.arch,
            mode=terms.config.policy.mode,
            policies=terms.names,
            text=wanted.text,
            asked=asked,
            notes=[*recorded.notes, *terms.notes],
        )
        if recorded.conversation is None:
            await self._single(found, recorded, terms, target, progress)
        else:
            named = target if ours is not None else into
            await self._dual(found, recorded, terms, named, progress)
        found.notes += _findings(found)
        return found

    async def _single(
        self,
        found: Rehearsal,
        recorded: Recorded,
        terms: Terms,
        target: Call | None,
        progress: Progress,
    ) -> None:
        stage = self._stage(terms)
        if stage.evidence:
            found.notes.append(
                "the user's words are not kept in single-llm: what allowed calls carried counts "
                "as the user's"
            )
        try:
            play = SinglePlay(
                stage=stage,
                calls=recorded.calls,
                text=found.text,
                asked=found.asked,
                target=-1 if target is None else list(recorded.calls).index(target),
            )
            await play.run(progress)
        finally:
            stage.close()
        found.attempts = play.attempts

    async def _dual(
        self,
        found: Rehearsal,
        recorded: Recorded,
        terms: Terms,
        into: str | Call | None,
        progress: Progress,
    ) -> None:
        """Plays the programs twice: only what the text changes is its doing."""
        known = {key_of(call.tool, call.args) for call in recorded.calls}
        for text in (None, found.text):
            play = await self._programs(found.asked, recorded, terms, text, into, known, progress)
            known |= {key_of(one.tool, one.args) for one in play.attempts}
        found.attempts, found.endings = play.attempts, play.endings

    async def _programs(  # noqa: PLR0917 - the parts of one run
        self,
        asked: Sequence[Asked],
        recorded: Recorded,
        terms: Terms,
        text: str | None,
        into: str | Call | None,
        known: set[tuple[str, str]],
        progress: Progress,
    ) -> DualPlay:
        assert recorded.conversation is not None  # noqa: S101 - it is a dual-llm session
        stage = self._stage(terms)
        try:
            play = DualPlay(
                stage=stage,
                conversation=recorded.conversation,
                calls=recorded.calls,
                text=text,
                asked=asked,
                into=into,
                known=known,
            )
            await play.run(progress)
        finally:
            stage.close()
        return play


def _target(calls: Sequence[Call], into: str | None) -> Call | None:
    """The recorded call whose result carries the text; None: no call was let through.

    Raises RehearsalTargetError for a name or an id that stands for none.
    """
    allowed = [call for call in calls if call.allowed]
    if into is None:
        return allowed[0] if allowed else None
    found = next((call for call in allowed if into in {call.call_id, call.tool}), None)
    if found is None:
        raise RehearsalTargetError(into, [call.tool for call in allowed])
    return found


def _findings(found: Rehearsal) -> list[str]:
    """What must be known to read the outcome."""
    notes = []
    if not found.asked:
        notes.append(
            "the text has no line `CALL tool {...}`: the demo model acts on nothing else, so "
            "nothing was asked for"
        )
    elif found.arch == "single-llm":
        tools = ", ".join(dict.fromkeys(one.tool for one in found.asked))
        notes.append(f"the model was offered the tools the text names ({tools}), known or not")
    if found.entered is None:
        notes.append("no result carried the text: the call it was meant for was not made")
    return notes
