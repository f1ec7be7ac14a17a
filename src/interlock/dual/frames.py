"""A call in progress: everything the machine must remember of it, in plain sight."""

from interlock.dual.marks import NEUTRAL, Mark
from interlock.dual.program import Code
from interlock.dual.values import CellObj, GenObj, Value

__all__ = ["Frame", "Handler", "Saved"]

Saved = tuple[Mark, Mark, int]
"""Control mark, risk and number of open `try` statements, as they were before a construct."""
Handler = tuple[int, int, int, int]
"""Of a `try`: where to go, and the depths of stack, handled exceptions and saved controls."""


class Frame:
    """One activation of a code object."""

    __slots__ = (
        "code",
        "control",
        "controls",
        "gathered",
        "gathers",
        "generator",
        "handled",
        "handlers",
        "namespace",
        "ops",
        "pc",
        "slots",
        "stack",
        "tries",
        "unit",
    )

    def __init__(
        self,
        code: Code,
        unit: int,
        ops: list[tuple[object, object]],
        namespace: dict[str, Value],
        slots: list[Value | CellObj | None],
    ) -> None:
        self.code = code
        self.unit = unit
        self.ops = ops
        """The code bound to handlers; made anew when loaded."""
        self.namespace = namespace
        """Variables of the module the code belongs to."""
        self.slots = slots
        self.pc = 0
        self.stack: list[Value] = []
        self.handlers: list[Handler] = []
        """Of the `try` statements around the current instruction, innermost last."""
        self.handled: list[Value] = []
        """Exceptions being handled, for a bare `raise`."""
        self.controls: list[Saved] = []
        self.control: Mark = NEUTRAL
        """The caller's control mark, to go back to."""
        self.tries = 0
        """The caller's number of open `try` statements."""
        self.gathers = False
        """Generators and the prelude: what is returned derives from every decision made."""
        self.gathered: Mark = NEUTRAL
        """Joined onto what is returned."""
        self.generator: GenObj | None = None
        """The generator this is the frame of."""
