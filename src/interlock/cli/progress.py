"""A progress bar for work that may be done before anybody would want one."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["SlowBar"]

_AFTER_S = 1.0


class SlowBar:
    """Appears on standard error after a second, only on a terminal; call it with (done, of)."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._console = Console(stderr=True)
        self._began = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> "SlowBar":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, of: int) -> None:
        """Moves the bar, or makes it when a second has passed."""
        if self._bar is None:
            if not self._console.is_terminal or time.monotonic() - self._began < _AFTER_S:
                return
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._bar.add_task(self._title, total=of, completed=done)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done, total=of)
