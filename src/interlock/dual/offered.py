"""What programs are offered: the library's natives and modules, and those about classes."""

from collections.abc import Mapping

from interlock.dual.lib import registry
from interlock.dual.native import Member, Native
from interlock.dual.ops import reflect
from interlock.dual.ops.types import EXCEPTIONS

__all__ = ["BUILTINS", "MODULES", "NATIVES"]

_ELSEWHERE = frozenset({"JSONDecodeError", "PatternError", "StatisticsError", "ValidationError"})
"""Exceptions that are found in a module, not among the built-ins."""

NATIVES: Mapping[str, Native] = {**registry.NATIVES, **reflect.NATIVES}

BUILTINS: Mapping[str, Member] = {
    **{name: member for name, member in registry.BUILTINS.items() if name[0] != "_"},
    **{
        name: Member("native", name)
        for name in reflect.NATIVES
        if name.isidentifier() and name[0] != "_"
    },
    **{name: Member("type", name) for name in EXCEPTIONS if name not in _ELSEWHERE},
}

MODULES: Mapping[str, Mapping[str, Member]] = {**registry.MODULES, **reflect.MODULES}
