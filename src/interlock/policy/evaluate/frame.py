"""What a condition or update can read while one call is decided."""

from collections.abc import Callable, Mapping
from typing import Literal

from interlock.policy.model import (
    DEFAULT_LABELS,
    EMPTY,
    UNIVERSAL,
    Caller,
    Condition,
    Labels,
    LabelSet,
    Origin,
)
from interlock.policy.syntax import nodes as n

__all__ = ["Bare", "Frame", "caller_labels", "label_reader", "value_reader"]

Bare = Literal["result", "session"]
"""What a bare `@field` means where the code stands."""


class Frame:
    """One call being decided; `labels`, `session` and `result` change as updates run."""

    __slots__ = (
        "args",
        "broken",
        "control",
        "errors",
        "labels",
        "origins",
        "result",
        "session",
        "session_value",
        "trail",
        "value",
    )

    def __init__(
        self,
        args: Mapping[str, object],
        labels: Mapping[str, Labels],
        session: Labels,
        *,
        session_value: object = None,
        result: Labels = DEFAULT_LABELS,
        value: object = None,
        control: Labels = DEFAULT_LABELS,
    ) -> None:
        self.args = args
        self.control = control
        self.labels = labels
        self.session = session
        self.session_value = session_value
        self.result = result
        self.value = value
        self.trail: list[Condition] = []
        self.origins: list[Origin] = []
        self.errors: list[str] = []
        self.broken = False
        """An update's value could not be computed, so labels may be missing."""


def caller_labels(caller: Caller, field: str) -> LabelSet:
    """A `@caller` field as a set; an unknown user, key or account is the empty set."""
    held = getattr(caller, field)
    if isinstance(held, frozenset):
        return LabelSet(held)
    return LabelSet(frozenset((held,))) if held else EMPTY


def label_reader(meta: n.Meta, bare: Bare) -> Callable[[Frame], LabelSet]:
    """The reader of a label operand other than `@caller`."""
    scope = bare if meta.scope == "bare" else meta.scope
    match scope, meta.field:
        case "session", "tags":
            return lambda frame: frame.session.tags
        case "session", "producers":
            return lambda frame: frame.session.producers
        case "session", _:
            return lambda frame: frame.session.consumers
        case "result", "tags":
            return lambda frame: frame.result.tags
        case "result", "producers":
            return lambda frame: frame.result.producers
        case "result", _:
            return lambda frame: frame.result.consumers
        case "argument", field:
            return _argument_reader(meta.name, field)
        case _, field:
            return _aggregate_reader(field, meta.name == "intersect")


def _argument_reader(name: str, field: str) -> Callable[[Frame], LabelSet]:
    default: LabelSet = getattr(DEFAULT_LABELS, field)
    match field:
        case "tags":

            def read(frame: Frame) -> LabelSet:
                held = frame.labels.get(name)
                return default if held is None or name not in frame.args else held.tags

        case "producers":

            def read(frame: Frame) -> LabelSet:
                held = frame.labels.get(name)
                return default if held is None or name not in frame.args else held.producers

        case _:

            def read(frame: Frame) -> LabelSet:
                held = frame.labels.get(name)
                return default if held is None or name not in frame.args else held.consumers

    return read


def _aggregate_reader(field: str, intersects: bool) -> Callable[[Frame], LabelSet]:
    def union(frame: Frame) -> LabelSet:
        labels = frame.labels
        joined = EMPTY if field == "consumers" else getattr(frame.control, field)
        for name in frame.args:
            joined = joined.union(getattr(labels.get(name, DEFAULT_LABELS), field))
        return joined

    def intersection(frame: Frame) -> LabelSet:
        labels = frame.labels
        met: LabelSet | None = None
        if field == "consumers" and frame.control is not DEFAULT_LABELS:
            met = frame.control.consumers
        for name in frame.args:
            held: LabelSet = getattr(labels.get(name, DEFAULT_LABELS), field)
            met = held if met is None else met.intersect(held)
        if met is not None:
            return met
        return UNIVERSAL if field == "consumers" else EMPTY

    return intersection if intersects else union


def value_reader(value: n.ValueOf) -> Callable[[Frame], object]:
    """The reader of a value operand; None when there is no such value."""
    match value.scope:
        case "argument":
            name = value.name
            return lambda frame: frame.args.get(name)
        case "result":
            return lambda frame: frame.value
        case "session":
            return lambda frame: frame.session_value
