"""Finding personal data and credentials by rule: patterns, checksums, numbering plans.

One module per kind; each exports `find(view) -> Iterator[Span]` and scores what it
finds between 0 and 1: a checksum or a known prefix is near 1, a mere shape is below
0.5, and a word that names the thing ("card", "SSN") raises it. No model, no network.
"""

from collections.abc import Iterator

from interlock.policy.guards.pii import (
    contact,
    credentials,
    money,
    national,
    network,
    personal,
)
from interlock.policy.guards.spans import Span, View

__all__ = ["find", "hints_at_a_person"]

hints_at_a_person = personal.hints_at_a_person

_FINDERS = (
    credentials.find,
    contact.find,
    money.find,
    national.find,
    network.find,
    personal.find,
)


def find(view: View) -> Iterator[Span]:
    """All findings of all kinds, any score above 0, possibly overlapping."""
    if len(view.text) < 4:
        return
    for finder in _FINDERS:
        yield from finder(view)
