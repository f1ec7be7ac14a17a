"""Which assignment a request falls under: the most specific pattern wins.

Patterns are made of segments: literal ones; `:name`, `{name}` or `*` for exactly one; a
final `/*` for the prefix itself and everything below it; `*` alone for everything.

Source: conversations.md section 15.4.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from interlock.limits.errors import InvalidAssignmentError
from interlock.limits.model import METHODS, Assignment

__all__ = ["Matcher", "clean_method", "clean_path"]


def clean_method(method: str) -> str:
    """The method as it is kept. Raises InvalidAssignmentError."""
    name = method.strip().upper()
    if name not in METHODS:
        raise InvalidAssignmentError(
            f"method must be one of {', '.join(sorted(METHODS))}", field="method"
        )
    return name


def clean_path(path: str) -> str:
    """The pattern as it is kept, with a leading slash. Raises InvalidAssignmentError."""
    text = path.strip()
    if not text or len(text) > 500 or any(one.isspace() or not one.isprintable() for one in text):
        raise InvalidAssignmentError(
            "path must not be empty, longer than 500 characters, or contain white space",
            field="path",
        )
    return text if text.startswith("/") else f"/{text}"


@dataclass(frozen=True, slots=True)
class _Pattern:
    assignment: Assignment
    segments: tuple[str, ...]
    prefix: bool
    """Ends with `/*`: also everything below."""

    def matches(self, path: Sequence[str]) -> bool:
        if len(path) < len(self.segments) if self.prefix else len(path) != len(self.segments):
            return False
        return all(
            kind != "literal" or wanted == given
            for (kind, wanted), given in zip(
                ((_kind(one), one) for one in self.segments), path, strict=False
            )
        )

    def rank(self) -> tuple[int, int, int, int, float, str]:
        """Greater is more specific; of equals the oldest."""
        kinds = [_kind(one) for one in self.segments]
        return (
            kinds.count("literal"),
            len(kinds),
            int(not self.prefix),
            kinds.count("parameter"),
            -self.assignment.created_at,
            self.assignment.id,
        )


class Matcher:
    """Assignments, ready to be asked. Immutable: made anew when they change."""

    def __init__(self, assignments: Sequence[Assignment]) -> None:
        by_method: dict[str, list[_Pattern]] = {}
        for one in assignments:
            by_method.setdefault(one.method, []).append(_pattern(one))
        self._patterns = {
            method: sorted(patterns, key=_Pattern.rank, reverse=True)
            for method, patterns in by_method.items()
        }

    def find(self, method: str, path: str) -> Assignment | None:
        """The assignment of a request; `path` without its query."""
        patterns = self._patterns.get(method)
        if not patterns:
            return None
        segments = _segments(path)
        return next((one.assignment for one in patterns if one.matches(segments)), None)


def _pattern(assignment: Assignment) -> _Pattern:
    segments = _segments(assignment.path_pattern)
    if segments and segments[-1] == "*":
        return _Pattern(assignment, tuple(segments[:-1]), prefix=True)
    return _Pattern(assignment, tuple(segments), prefix=False)


def _segments(path: str) -> list[str]:
    return [one for one in path.split("/") if one]


def _kind(segment: str) -> str:
    if segment == "*":
        return "wildcard"
    if segment.startswith(":") or (segment.startswith("{") and segment.endswith("}")):
        return "parameter"
    return "literal"
