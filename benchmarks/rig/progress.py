"""What a person sees while the bench runs: one bar, the present step, remarks above it."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

__all__ = ["Progress"]


class Progress:
    """A bar over expected seconds, on standard error so that `--json` stays clean."""

    def __init__(self, title: str, *, seconds: float, console: Console) -> None:
        self._console = console
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}", table_column=None),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            refresh_per_second=2,  # the bar shares a core with the load
            transient=True,
        )
        self._task = self._bar.add_task(title, total=max(seconds, 1.0))
        self._pending = 0.0

    def step(self, what: str, seconds: float) -> None:
        """The next step begins and should take `seconds`; the one before it is done."""
        self._bar.update(self._task, advance=self._pending, description=f"{what:<46.46}")
        self._pending = seconds
        if not self._console.is_terminal:
            self._console.print(what, highlight=False)

    def say(self, remark: str) -> None:
        self._console.print(remark, style="yellow", highlight=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
