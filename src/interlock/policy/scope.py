"""Which `let` a name means.

A name is looked up in its own policy text first and then in the texts before
it, because several bound policies are one program; two texts may still use one
name for two things.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from interlock.policy.syntax.nodes import Let

__all__ = ["Scope"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The `let`s of one text, and the scope of the text before it."""

    source: str
    text: str
    lets: Mapping[str, Let] = field(default_factory=dict)
    before: "Scope | None" = None

    def find(self, name: str) -> "tuple[Scope, Let] | None":
        """The `let` of that name and the scope its own names are looked up in."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.lets:
                return scope, scope.lets[name]
            scope = scope.before
        return None
