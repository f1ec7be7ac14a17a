"""The labels a tool's result starts with, before any policy speaks (10.5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from interlock.policy.model import DEFAULT_LABELS, Labels, ToolCall

__all__ = ["CombineMeta", "Wrapped", "combine_labels", "initial_labels", "unwrap"]

CombineMeta = Literal["merge", "replace", "ignore"]
_COMBINE: dict[object, CombineMeta] = {"merge": "merge", "replace": "replace", "ignore": "ignore"}
_FIELDS = ("producers", "consumers", "tags")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapped:
    """A result whose tool labelled it itself."""

    value: object
    labels: Labels
    combine: CombineMeta = "merge"


def initial_labels(call: ToolCall) -> Labels:
    """The merge of all arguments' labels and of what decided that the call is made."""
    merged: Labels | None = None if call.control is DEFAULT_LABELS else call.control
    for name in call.args:
        labels = call.labels.get(name, DEFAULT_LABELS)
        merged = labels if merged is None else merged.merge(labels)
    return DEFAULT_LABELS if merged is None else merged


def unwrap(value: object) -> Wrapped | None:
    """The parts of a wrapped result, None for any other value.

    Only a whole result may be a wrapper: the caller passes what the tool
    returned, never a part of it. An unknown `combine_meta` reads as `merge`.
    """
    if not isinstance(value, Mapping) or value.get("is_sequrity_var") is not True:
        return None
    meta = value.get("meta")
    if "value" not in value or not isinstance(meta, Mapping):
        return None
    for field in _FIELDS:
        labels = meta.get(field)
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            return None
    given = Labels.of(tags=meta["tags"], producers=meta["producers"], consumers=meta["consumers"])
    how = value.get("combine_meta", "merge")
    combine = _COMBINE.get(how, "merge") if isinstance(how, str) else "merge"
    return Wrapped(value=value["value"], labels=given, combine=combine)


def combine_labels(initial: Labels, wrapped: Wrapped) -> Labels:
    """What a wrapped result starts with."""
    match wrapped.combine:
        case "merge":
            return initial.merge(wrapped.labels)
        case "replace":
            return wrapped.labels
        case "ignore":
            return initial
