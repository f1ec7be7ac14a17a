"""Comparing label sets with sets that hold patterns (11.4).

Patterns match the elements of the other side. A co-finite set has infinitely
many elements, so a few questions have no computable answer; they raise
`EvaluationError`, and the rule that asked fails closed.
"""

from typing import NamedTuple

from interlock.policy.errors import EvaluationError
from interlock.policy.evaluate.values import Pattern, Test, each
from interlock.policy.model import EMPTY, LabelSet

__all__ = [
    "PatternSet",
    "drop",
    "equals",
    "keep",
    "member_test",
    "overlaps",
    "scalar_test",
    "subset",
    "superset",
]


class PatternSet(NamedTuple):
    """Labels, and patterns that stand for whatever they match."""

    base: LabelSet
    patterns: tuple[Pattern, ...]

    def matches(self, label: str) -> bool:
        """Whether the label is in the set or matched by a pattern of it."""
        return self.base.contains(label) or any(pattern.test(label) for pattern in self.patterns)

    def join(self, other: "PatternSet") -> "PatternSet":
        """Union."""
        return PatternSet(self.base.union(other.base), self.patterns + other.patterns)


def member_test(wanted: PatternSet) -> Test:
    """The test behind `value in set`, lists included."""
    scalar = scalar_test(wanted)

    def member(value: object) -> bool:
        kind = value.__class__
        if kind is str or kind is int or kind is float:
            return scalar(value)
        return each(value, scalar)

    return member


def scalar_test(wanted: PatternSet) -> Test:
    """`member_test` for one value that is not a list."""
    base, patterns = wanted
    items, negated = base.items, base.negated
    tests = tuple(pattern.test for pattern in patterns)
    if not tests and not negated:
        return lambda value: isinstance(value, str) and value in items
    if not items and not negated and len(tests) == 1:
        return tests[0]

    def scalar(value: object) -> bool:
        if isinstance(value, str):
            if (value in items) is not negated:
                return True
        elif negated:
            return True
        for test in tests:  # noqa: SIM110 - a generator costs more than the tests
            if test(value):
                return True
        return False

    return scalar


def overlaps(left: LabelSet, right: PatternSet) -> bool:
    """Whether some element of `left` is in `right`."""
    if left.overlaps(right.base):
        return True
    if not left.negated:
        return any(pattern.test(label) for pattern in right.patterns for label in left.items)
    unknown = False
    for pattern in right.patterns:
        if pattern.language is not None:
            if any(left.contains(label) for label in pattern.language):
                return True
        elif left.is_universal or pattern.endless:
            return True
        else:
            unknown = True
    if unknown:
        raise EvaluationError("a pattern cannot be compared with `everything except` some labels")
    return False


def subset(left: LabelSet, right: PatternSet) -> bool:
    """Whether every element of `left` is in `right`."""
    if not left.negated:
        return all(right.matches(label) for label in left.items)
    if any(pattern.universal for pattern in right.patterns):
        return True
    if not right.base.negated:
        return False
    return all(right.matches(label) for label in right.base.items - left.items)


def superset(left: LabelSet, right: PatternSet) -> bool:
    """Whether every label of `right` is in `left`, and every pattern matches some element."""
    return right.base.subset(left) and all(
        overlaps(left, PatternSet(EMPTY, (pattern,))) for pattern in right.patterns
    )


def equals(left: LabelSet, right: PatternSet) -> bool:
    """Both `subset` and `superset`."""
    return subset(left, right) and superset(left, right)


def keep(left: LabelSet, right: PatternSet) -> LabelSet:
    """The elements of `left` that are in `right`."""
    if not left.negated:
        return LabelSet(frozenset(label for label in left.items if right.matches(label)))
    if any(pattern.universal for pattern in right.patterns):
        return left
    return left.intersect(_all_labels(right))


def drop(left: LabelSet, right: PatternSet) -> LabelSet:
    """The elements of `left` that are not in `right`."""
    if not left.negated:
        return LabelSet(frozenset(label for label in left.items if not right.matches(label)))
    if any(pattern.universal for pattern in right.patterns):
        return EMPTY
    return left.minus(_all_labels(right))


def _all_labels(wanted: PatternSet) -> LabelSet:
    labels = wanted.base
    for pattern in wanted.patterns:
        if pattern.language is None:
            raise EvaluationError("a pattern cannot select from infinitely many labels")
        labels = labels.union(LabelSet(pattern.language))
    return labels
