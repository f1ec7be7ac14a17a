"""Groups of commands that import a command's module only when the command is chosen.

Most commands need the store or the whole server behind them, which takes over a second
to import; `interlock --help` and `interlock policy check` need neither. So a group is a
table: the name of a command, the line it has in its group's help, and where it is defined.
The modules are imported by name (`Lazy.where`) when one of their commands runs or its own
help is asked for.

The architecture tests hold the lines of the table against the commands they speak of,
and prove that the light commands import nothing heavy.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, Final

import typer
from msgspec import Struct
from typer.core import TyperCommand, TyperGroup

__all__ = ["MARKUP", "Lazy", "LazyGroup"]

MARKUP: Final = "markdown"
"""How the help texts of all commands are written."""


class Lazy(Struct, frozen=True):
    """A command or group that is not imported yet."""

    where: str
    """`module:name` of a command function, or of a `typer.Typer` that is a group."""
    help: str
    """First paragraph of its help."""


class LazyGroup(TyperGroup):
    """A group whose commands stand in a table; use a subclass as `cls` of a `typer.Typer`."""

    lazy: ClassVar[Mapping[str, Lazy]] = {}

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - handed on as they are
        super().__init__(**attributes)
        for name, entry in self.lazy.items():
            self.add_command(TyperCommand(name, help=entry.help, rich_markup_mode=MARKUP), name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - the types of the base class are private
        """The command the arguments name, imported."""
        if args and args[0] in self.lazy:
            self.load(args[0])
        return super().resolve_command(ctx, args)

    def load(self, name: str) -> None:
        """Puts the real command in the place of its line in the table."""
        module, _, attribute = self.lazy[name].where.partition(":")
        found = getattr(import_module(module), attribute)
        holder = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)
        if isinstance(found, typer.Typer):
            holder.add_typer(found, name=name)
        else:
            holder.command(name)(found)
        self.commands[name] = typer.main.get_group(holder).commands[name]

    def load_all(self) -> None:
        """Imports every command, also those of groups within."""
        for name in self.lazy:
            self.load(name)
            group = self.commands[name]
            if isinstance(group, LazyGroup):
                group.load_all()
