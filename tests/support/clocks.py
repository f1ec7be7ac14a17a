"""A clock that moves when told to."""

from datetime import UTC, datetime

__all__ = ["FrozenClock"]


class FrozenClock:
    """Both clocks show `seconds`."""

    def __init__(self, seconds: float = 1_000_000.0) -> None:
        self.seconds = seconds

    def now(self) -> datetime:
        """The instant as an aware UTC value."""
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        """The instant as seconds."""
        return self.seconds
