"""Published behaviours as data, and the tests that claim them.

`tests/contract/SURFACE/requirements.toml` has one entry per behaviour; a contract test
names the entries it proves with `@requirement("control.chat.text")`. An unknown name
fails when the test is collected; `tests/architecture/test_requirements.py` checks the rest.
"""

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["CONTRACT", "Entry", "entries", "requirement"]

CONTRACT = Path(__file__).parent.parent / "contract"
_FIELDS = {"source", "behaviour", "divergence", "deferred"}
Test = TypeVar("Test", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One promise."""

    name: str
    source: str
    behaviour: str
    divergence: str | None = None
    """What is done instead, and why."""
    deferred: str | None = None
    """Why there is no test yet."""


@cache
def entries(surface: str) -> dict[str, Entry]:
    """The entries of a surface by dotted name.

    Raises ValueError for an entry that lacks its source or behaviour, or has other members.
    """
    tree = tomllib.loads((CONTRACT / surface / "requirements.toml").read_text())
    if set(tree) != {surface}:
        raise ValueError(f"{surface}: every entry must be below [{surface}]")
    return {entry.name: entry for entry in _walk(surface, tree[surface])}


def requirement(*names: str) -> Callable[[Test], Test]:
    """Claims entries for a test. Raises KeyError for a name that is no entry."""
    for name in names:
        if name not in entries(name.partition(".")[0]):
            raise KeyError(f"no requirement {name!r}")

    def claim(test: Test) -> Test:
        return test

    return claim


def _walk(path: str, node: dict[str, Any]) -> Iterator[Entry]:
    if not any(isinstance(value, dict) for value in node.values()):
        if not {"source", "behaviour"} <= set(node) <= _FIELDS:
            raise ValueError(f"{path}: an entry has `source` and `behaviour`, not {sorted(node)}")
        if not all(isinstance(text, str) and text.strip() for text in node.values()):
            raise ValueError(f"{path}: every member is a text")
        yield Entry(name=path, **node)
        return
    for name, child in node.items():
        if not isinstance(child, dict):
            raise ValueError(f"{path}.{name}: neither an entry nor a group of entries")
        yield from _walk(f"{path}.{name}", child)
