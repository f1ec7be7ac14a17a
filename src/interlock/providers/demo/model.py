"""What the demo model decides to do with a request: one `Script`, ready to be spoken."""

from dataclasses import dataclass
from typing import Literal

from interlock.providers.wire.model import StopReason, Usage

__all__ = ["Call", "FaultLine", "Script"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call it makes; `arguments` is compact JSON text of an object."""

    name: str
    arguments: str
    namespace: str | None = None

    @property
    def qualified(self) -> str:
        """The name a CALL line uses."""
        return f"{self.namespace}.{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultLine:
    """A transport fault to play, for tests of whoever reads the answer."""

    kind: Literal["cut", "stall", "garbage"]
    after_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A whole answer, and how it is to be delivered."""

    pieces: tuple[str, ...] = ()
    """The text, cut as it is streamed; empty when there is none."""
    calls: tuple[Call, ...] = ()
    stop: StopReason = StopReason.END
    stop_sequence: str | None = None
    usage: Usage = Usage()
    fail_status: int | None = None
    """Fail with this HTTP status instead of answering."""
    delay_s: float = 0.0
    fault: FaultLine | None = None

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.pieces)
