"""What can go wrong with a program: before it runs, while it runs, and inside the machine.

Three families that must not be confused:

- `ProgramError`: the text is no program of the language; raised by the compiler.
- `Raise`: a Python exception *of the program*, raised by operations and natives; the program
  may catch it. `LimitExceeded` and `BranchDenied` end the program and cannot be caught.
- `RunError`: the value that says how a program ended badly.

Source: gateway.md 10.4 (limits, what is refused), 11.10 (branching).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from interlock.kernel.errors import ErrorKind, InterlockError

if TYPE_CHECKING:
    from interlock.dual.marks import Mark
    from interlock.dual.values import ExcObj

__all__ = [
    "BranchDenied",
    "ErrorClass",
    "LimitExceeded",
    "ProgramError",
    "ProgramExit",
    "Raise",
    "RunError",
]

ErrorClass = Literal["syntax", "unsupported", "name", "too_large"]
"""Of a `ProgramError`: not Python; Python we do not run; a name nobody binds; over a size."""

RunErrorKind = Literal["exception", "limit", "control_flow_violation", "tool_calls"]


class ProgramError(InterlockError):
    """Raised when a text cannot be compiled; derived from the text alone, so safe to show."""

    kind: ClassVar = ErrorKind.INVALID
    code: ClassVar = "program_error"

    def __init__(
        self, error_class: ErrorClass, message: str, *, line: int = 0, column: int = 0
    ) -> None:
        place = f" (line {line})" if line else ""
        super().__init__(f"{message}{place}")
        self.error_class = error_class
        self.text = message
        """The message without the place."""
        self.line = line
        """From 1; 0: about the text as a whole."""
        self.column = column
        """From 1, in characters; 0: unknown."""


class Raise(Exception):  # noqa: N818 - it is an event of the program, not an error of ours
    """A Python exception of the program on its way to a handler."""

    def __init__(
        self,
        type_name: str,
        message: str = "",
        mark: "Mark | None" = None,
        *,
        exc: "ExcObj | None" = None,
    ) -> None:
        super().__init__(type_name, message)
        self.type_name = type_name
        """Name of a built-in exception, e.g. `ValueError`."""
        self.message = message
        self.mark = mark
        """What the message derives from; None: the machine uses the marks of the operands."""
        self.exc = exc
        """The exception object, when the program made it."""


class LimitExceeded(Exception):  # noqa: N818 - see Raise
    """A resource of the run is used up; no program can catch it."""

    def __init__(self, what: str, message: str) -> None:
        super().__init__(message)
        self.what = what
        """`steps`, `memory`, `integer`, `recursion` or `tool_calls`."""
        self.message = message


class BranchDenied(Exception):  # noqa: N818 - see Raise
    """A branch on labels the policy forbids; no program can catch it."""

    def __init__(self, message: str, mark: "Mark") -> None:
        super().__init__(message)
        self.message = message
        self.mark = mark


class ProgramExit(Exception):  # noqa: N818 - see Raise
    """The program called `exit()`: it ends as if its text did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunError:
    """How a program ended badly."""

    kind: RunErrorKind
    type_name: str
    """Exception class, or the resource of a limit."""
    message: str
    """May hold data the program read: show it to a planner only when `mark` is neutral."""
    line: int
    frames: Sequence[tuple[str, int]] = ()
    """Function name and line of each frame, outermost first."""
    mark: "Mark"
    """What the message, and that it came to this, derive from."""
