"""Workflows, queues and states as values."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["Argument", "Queue", "Status", "Workflow"]

Argument = str | int | bool | None
"""What a workflow may be given: ids and small numbers. Secrets and texts stay in their own
tables, where they are encrypted, corrected and erased."""

Status = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """Work that is done to the end, however often it is interrupted.

    Everything with an effect goes through `step`. What is between steps runs again after an
    interruption, in the same order, and must come to the same steps.
    """

    name: str
    """What the store knows it by: never to be given to something else."""
    run: Callable[..., Awaitable[object]]
    """Gets the arguments it was enqueued with. What it returns is not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Where workflows wait."""

    name: str
    concurrency: int | None = None
    """How many run at a time in one process; None: any number."""
    poll_s: float = 0.1
    """How often a process looks for work."""
