"""What a run may use, and the meter that counts it.

Sizes are checked before anything is built: whoever makes a value whose size a program chooses
calls `Meter.memory` with an estimate in bytes first. The count only grows, so from time to time
the machine measures what is still alive and sets it back (`Meter.measure`).

Source: gateway.md 10.4 ("Limits (configurable)").
"""

from collections.abc import Callable
from dataclasses import dataclass

from interlock.dual.errors import LimitExceeded

__all__ = ["ELEMENT_BYTES", "Limits", "Meter"]

ELEMENT_BYTES = 96
"""Accounted for a value held by a container or variable, besides the text it may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one run."""

    steps: int = 200_000
    """Instructions of the machine, and what natives charge for long work."""
    memory_bytes: int = 64 * 1024 * 1024
    recursion: int = 200
    """Frames of program functions."""
    integer_bits: int = 4096
    tool_calls: int = 200
    source_bytes: int = 256 * 1024
    literal_bytes: int = 64 * 1024
    """Of one string or number literal."""
    syntax_depth: int = 100
    nesting: int = 100
    """Depth of data that is walked: compared, printed, converted."""
    trace_entries: int = 4096
    """Stores remembered for lineage."""
    debug_chars: int = 16 * 1024
    """Text that `print` may leave behind."""


class Meter:
    """Counts steps and bytes of one run."""

    __slots__ = ("limits", "measure", "steps", "used_bytes")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.steps = 0
        """Charged so far, besides the instructions the machine counts itself."""
        self.used_bytes = 0
        """Upper bound of the bytes alive."""
        self.measure: Callable[[], int] | None = None
        """Bytes alive now; set by the machine."""

    def work(self, steps: int) -> None:
        """Charge long work: about one step per microsecond.

        Raises:
            LimitExceeded: the steps are used up.
        """
        self.steps += steps
        if self.steps > self.limits.steps:
            raise LimitExceeded("steps", f"more than {self.limits.steps} steps")

    def memory(self, size_bytes: int) -> None:
        """Charge bytes about to be allocated.

        Raises:
            LimitExceeded: they do not fit, even when what is no longer used is discounted.
        """
        self.used_bytes += size_bytes
        limit = self.limits.memory_bytes
        if self.used_bytes > limit:
            if size_bytes <= limit and self.measure is not None:
                self.used_bytes = self.measure() + size_bytes
            if self.used_bytes > limit:
                raise LimitExceeded("memory", f"values need more than {limit} bytes")

    def elements(self, count: int) -> None:
        """Charge room for so many more elements of a container."""
        self.memory(count * ELEMENT_BYTES)

    def integer(self, bits: int) -> None:
        """Check the size of an integer about to be made.

        Raises:
            LimitExceeded: too many bits.
        """
        if bits > self.limits.integer_bits:
            raise LimitExceeded(
                "integer", f"an integer of more than {self.limits.integer_bits} bits"
            )
