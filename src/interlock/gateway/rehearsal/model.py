"""A rehearsal and what came of it. Plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from interlock.policy.model import PolicySource

__all__ = ["Asked", "Attempt", "Origin", "Rehearsal", "Wanted"]

Origin = Literal["recorded", "injected", "changed"]
"""`recorded`: the session made this call too. `injected`: the text asked for it. `changed`: a
program made another call than recorded, because of the data it read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be rehearsed."""

    session: str
    text: str
    """What an attacker got into the tool result."""
    into: str | None = None
    """Tool, or tool-call id, whose result carries it; None: the first result."""
    policies: tuple[PolicySource, ...] | None = None
    """Instead of those the session was decided under."""
    mode: Literal["standard", "strict"] | None = None
    """Instead of the recorded one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A call the injected text asks for."""

    tool: str
    args: Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One decided call of the rehearsal."""

    turn: int
    """From 1: the recorded call that is replayed, in dual-llm the program that runs."""
    tool: str
    args: Mapping[str, Any]
    origin: Origin
    allowed: bool
    verdict: str
    reason: str
    call_id: str = ""
    """Within the rehearsal; empty for a call that never leaves the server."""
    rule: str | None = None
    rule_text: str | None = None
    rule_line: int | None = None
    policy: str | None = None
    lineage: Mapping[str, Any] = field(default_factory=dict)
    before: str | None = None
    """The verdict when the session was recorded, where it is known."""
    placeholders: bool = False
    """Whether arguments are placeholders, because the values were not kept."""
    result: str | None = None
    """What the dry-run tool said; None: nothing ran."""
    poisoned: bool = False
    """Whether that result carried the injected text."""

    @property
    def leaves(self) -> bool:
        """Whether the call would have reached the client."""
        return self.allowed and bool(self.call_id)

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "turn": self.turn,
            "tool": self.tool,
            "args": dict(self.args),
            "origin": self.origin,
            "leaves": self.leaves,
            "verdict": self.verdict,
            "reason": self.reason,
            "rule": self.rule,
            "rule_text": self.rule_text,
            "rule_line": self.rule_line,
            "policy": self.policy,
            "lineage": dict(self.lineage),
            "recorded_verdict": self.before,
            "placeholders": self.placeholders,
            "result": self.result,
            "poisoned": self.poisoned,
        }


@dataclass(slots=True, kw_only=True)
class Rehearsal:
    """What came of it."""

    session: str
    arch: str
    mode: str
    policies: Sequence[str]
    """Names of the texts that decided, in order."""
    text: str
    asked: Sequence[Asked]
    attempts: list[Attempt] = field(default_factory=list)
    endings: list[str] = field(default_factory=list)
    """Final answer of each program; empty in single-llm."""
    notes: list[str] = field(default_factory=list)
    """What the rehearsal could not know, and what follows from that."""

    @property
    def entered(self) -> Attempt | None:
        """The call whose result carried the text; None: none did."""
        return next((one for one in self.attempts if one.poisoned), None)

    @property
    def left(self) -> list[Attempt]:
        """Injected calls that would have left."""
        return [one for one in self.attempts if one.origin == "injected" and one.leaves]

    @property
    def stopped(self) -> list[Attempt]:
        """Injected calls that were denied."""
        return [one for one in self.attempts if one.origin == "injected" and not one.allowed]

    @property
    def changed(self) -> list[Attempt]:
        """Calls that would have left otherwise than recorded."""
        return [one for one in self.attempts if one.origin == "changed" and one.leaves]

    @property
    def changed_stopped(self) -> list[Attempt]:
        """Calls otherwise than recorded that were denied."""
        return [one for one in self.attempts if one.origin == "changed" and not one.allowed]

    def document(self) -> dict[str, Any]:
        """For programs."""
        entered = self.entered
        return {
            "session": self.session,
            "architecture": self.arch,
            "mode": self.mode,
            "policies": list(self.policies),
            "injected": self.text,
            "asked": [{"tool": one.tool, "args": dict(one.args)} for one in self.asked],
            "entered": None if entered is None else entered.tool,
            "calls": [one.document() for one in self.attempts],
            "left": len(self.left),
            "stopped": len(self.stopped),
            "changed": len(self.changed),
            "changed_stopped": len(self.changed_stopped),
            "endings": list(self.endings),
            "notes": list(self.notes),
        }
