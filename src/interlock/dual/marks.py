"""Marks: what a value derives from, interned so that the common case costs a comparison.

A mark is the labels of a value (tags, producers, consumers) and its sources, the numbers of the
tool results and context variables it derives from. Within one `MarkTable` equal marks are the
same object; `NEUTRAL` (default labels, no sources) is the same object everywhere.

INVARIANT: `join` is the only way to a new mark of derived data, and never weakens: tags,
producers and sources unite, consumers intersect.

Source: gateway.md 10.5.
"""

from collections.abc import Iterable

from interlock.policy.model import DEFAULT_LABELS, Labels, LabelSet

__all__ = ["NEUTRAL", "Mark", "MarkTable"]

_LabelsKey = tuple[object, ...]


class Mark:
    """Labels and sources of a value. Made by a `MarkTable` only; compare with `is`."""

    __slots__ = ("joins", "labels", "number", "sources")

    def __init__(self, labels: Labels, sources: frozenset[int], number: int) -> None:
        self.labels = labels
        self.sources = sources
        self.number = number
        """Position in its table; 0 is `NEUTRAL`."""
        self.joins: dict[Mark, Mark] = {}
        """Joins already computed, by the other mark."""

    def __repr__(self) -> str:
        return f"Mark({self.labels.to_wire()}, sources={sorted(self.sources)})"


NEUTRAL = Mark(DEFAULT_LABELS, frozenset(), 0)


class MarkTable:
    """All marks of one machine."""

    __slots__ = ("_known", "_labels", "epoch", "marks")

    def __init__(self) -> None:
        self.marks: list[Mark] = [NEUTRAL]
        self._labels: dict[_LabelsKey, Labels] = {_labels_key(DEFAULT_LABELS): DEFAULT_LABELS}
        """Equal labels are one object, which a dump stores once."""
        self._known: dict[tuple[_LabelsKey, frozenset[int]], Mark] = {
            (_labels_key(DEFAULT_LABELS), frozenset()): NEUTRAL
        }
        self.epoch = 1
        """Containers' cached deep marks hold while this does not change; see `values`."""

    @property
    def pure(self) -> bool:
        """Whether no value can have any mark but `NEUTRAL`."""
        return len(self.marks) == 1

    def shared(self, labels: Labels) -> Labels:
        """The one object that stands for labels equal to these."""
        return self._labels.setdefault(_labels_key(labels), labels)

    def mark(self, labels: Labels, sources: Iterable[int] = ()) -> Mark:
        """The mark with exactly these labels and sources."""
        held = frozenset(sources)
        labels_key = _labels_key(labels)
        key = (labels_key, held)
        found = self._known.get(key)
        if found is None:
            found = Mark(self.shared(labels), held, len(self.marks))
            self.marks.append(found)
            self._known[key] = found
        return found

    def join(self, a: Mark, b: Mark) -> Mark:
        """The mark of a value made from values with these two."""
        if b is NEUTRAL or a is b:
            return a
        if a is NEUTRAL:
            return b
        found = a.joins.get(b)
        if found is None:
            found = self.mark(a.labels.merge(b.labels), a.sources | b.sources)
            a.joins[b] = found
            b.joins[a] = found
        return found

    def join_all(self, marks: Iterable[Mark]) -> Mark:
        """The join of any number of marks."""
        joined = NEUTRAL
        for mark in marks:
            if mark is not joined:
                joined = self.join(joined, mark)
        return joined


def _labels_key(labels: Labels) -> _LabelsKey:
    """Everything that tells labels apart, `untouched` included, which equality leaves out."""
    worlds = tuple((name, _labels_key(other)) for name, other in sorted(labels.worlds.items()))
    return (
        _set_key(labels.tags),
        _set_key(labels.producers),
        _set_key(labels.consumers),
        worlds,
    )


def _set_key(held: LabelSet) -> tuple[object, ...]:
    return (held.items, held.negated, held.untouched)
