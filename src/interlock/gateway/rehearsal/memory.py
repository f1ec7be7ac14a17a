"""What stands in for the store during a rehearsal: everything is kept in memory, and dropped."""

from collections.abc import Mapping, Sequence

from interlock.gateway.records import (
    DecisionRecord,
    SessionRecord,
    StoredResponse,
    UsageRecord,
)
from interlock.gateway.rules import BoundPolicies
from interlock.identity.model import KeyInfo
from interlock.policy.model import PolicySource
from interlock.providers.wire.exchange import OfferedTool

__all__ = ["FixedPolicies", "MemoryRecorder", "NoCounter", "NoPins", "WholeAnswer"]


class MemoryRecorder:
    """The `Recorder` of a rehearsal."""

    def __init__(self) -> None:
        self.decisions: list[DecisionRecord] = []
        self._sessions: dict[str, SessionRecord] = {}
        self._responses: dict[str, StoredResponse] = {}

    def usage(self, record: UsageRecord) -> None:
        """See `Recorder`. Nobody pays for a rehearsal."""

    def decision(self, record: DecisionRecord) -> None:
        """See `Recorder`."""
        self.decisions.append(record)

    def session(self, record: SessionRecord) -> None:
        """See `Recorder`."""
        self._sessions[record.id] = record

    async def save_session(self, record: SessionRecord) -> bool:
        """See `Recorder`."""
        self._sessions[record.id] = record
        return True

    def response(self, record: StoredResponse) -> None:
        """See `Recorder`."""
        self._responses[record.id] = record

    async def flush(self, *, wait_s: float) -> bool:
        """See `Recorder`."""
        del wait_s
        return True

    async def load_session(self, session_id: str) -> SessionRecord | None:
        """See `Recorder`."""
        return self._sessions.get(session_id)

    async def find_session(self, suffix: str) -> str | None:
        """See `Recorder`."""
        return next((one for one in self._sessions if one.endswith(suffix)), None)

    async def load_response(self, response_id: str) -> StoredResponse | None:
        """See `Recorder`."""
        return self._responses.get(response_id)

    async def delete_response(self, response_id: str) -> None:
        """See `Recorder`."""
        self._responses.pop(response_id, None)


class FixedPolicies(BoundPolicies):
    """The same texts for everybody."""

    def __init__(self, sources: Sequence[PolicySource]) -> None:
        self._sources = tuple(sources)

    def version(self) -> int:
        """See `BoundPolicies`."""
        return 0

    def of(self, key: KeyInfo, surface: str) -> Sequence[PolicySource]:
        """See `BoundPolicies`."""
        del key, surface
        return self._sources


class NoPins:
    """The `ToolPins` of a rehearsal: it offers no definitions that anybody approved."""

    async def check(self, key: KeyInfo, tools: Sequence[OfferedTool]) -> Mapping[str, str]:
        """See `ToolPins`."""
        del key, tools
        return {}


class NoCounter:
    """The `DecisionCounter` of a rehearsal."""

    def decided(self, verdict: str, reason: str) -> None:
        """See `DecisionCounter`."""


class WholeAnswer:
    """The `Sink` of a rehearsal: takes one whole answer."""

    opened = False
    must_drain = False

    def __init__(self) -> None:
        self.body = b""

    def note(self, name: str, value: str) -> None:
        """See `Sink`."""

    def answer(self, session_id: str, body: bytes) -> None:
        """See `Sink`."""
        del session_id
        self.body = body

    def open(self, session_id: str) -> None:
        """See `Sink`; answers are not streamed."""

    def write(self, data: bytes) -> None:
        """See `Sink`; answers are not streamed."""

    async def drain(self) -> None:
        """See `Sink`."""

    def end(self) -> None:
        """See `Sink`."""
