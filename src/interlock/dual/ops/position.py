"""Where an iterator stands is data too: what decided how far it was moved stays on it.

Whoever stops part of the way through an iterator (`any`, `in`, `zip`, a loop that breaks) lets
the next reader see where that was. The mark goes onto the iterator and onto every iterator it
draws from, and `ops.iterate.step` puts it onto each later element.

Source: gateway.md 10.5 (propagation), 11.9 (implicit flows in strict mode).
"""

from collections.abc import Iterable, Iterator

from interlock.dual.frames import Frame
from interlock.dual.marks import NEUTRAL, Mark
from interlock.dual.native import Env
from interlock.dual.values import CellObj, Data, GenObj, IterObj, ListObj, TupleObj, Value

__all__ = ["moved", "moved_by"]


def moved(env: Env, data: Data, mark: Mark) -> None:
    """Marks an iterator, and all it draws from, with what decided how far it was moved.

    Sequences are looked through for iterators; anything else is left as it is.
    """
    if mark is NEUTRAL:
        return
    seen: set[int] = set()
    waiting: list[Data] = [data]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, IterObj | GenObj) or id(one) in seen:
            continue
        seen.add(id(one))
        joined = env.marks.join(one.mark, mark)
        if joined is not one.mark:
            one.mark = joined
            env.touched(one)
        waiting.extend(value.data for value in _drawn_from(one))


def moved_by(env: Env, frame: Frame) -> None:
    """A frame of the prelude hands over: what it decided marks the iterators it was given."""
    for value in _values(frame.slots):
        moved(env, value.data, frame.gathered)
        if isinstance(value.data, ListObj | TupleObj):
            for item in value.data.items:
                moved(env, item.data, frame.gathered)


def _drawn_from(iterator: IterObj | GenObj) -> Iterable[Value]:
    if isinstance(iterator, IterObj):
        return iterator.sources
    frame = iterator.frame
    return (*frame.stack, *_values(frame.slots)) if isinstance(frame, Frame) else ()


def _values(slots: Iterable[Value | CellObj | None]) -> Iterator[Value]:
    for slot in slots:
        value = slot.value if isinstance(slot, CellObj) else slot
        if value is not None:
            yield value
