"""How commands fail: one line that says what is wrong and what to do, exit code 1 or 2."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.storage.errors import StoreUnavailable

__all__ = ["reported"]


@contextmanager
def reported() -> Iterator[None]:
    """Turns errors into a message on standard error.

    Exit code 2 for what the caller can mend in the command or the settings, else 1. A
    task group's errors are reported one by one.
    """
    try:
        yield
    except InterlockError as error:
        _fail(error)
    except BaseExceptionGroup as group:
        known, rest = group.split(InterlockError)
        if known is None or rest is not None:
            raise
        first: BaseException = known
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        assert isinstance(first, InterlockError)  # noqa: S101 - what split selected
        _fail(first)


def _fail(error: InterlockError) -> None:
    problems = getattr(error, "problems", ()) or (error.message,)
    if isinstance(error, StoreUnavailable) and error.reason:
        problems = (f"{error.message}: {error.reason}",)
    for problem in problems:
        typer.echo(f"error: {problem}", err=True)
    if error.hint:
        typer.echo(f"hint: {error.hint}", err=True)
    raise typer.Exit(2 if error.error_kind is ErrorKind.INVALID else 1) from error
