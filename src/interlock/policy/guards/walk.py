"""Walking a JSON value: every string, number and member name gets a visit and may be replaced.

Values are copied only where something changed. Nesting deeper than `MAX_DEPTH` is not
looked into but replaced: what cannot be inspected does not pass.
"""

from collections.abc import Callable, Mapping

from interlock.policy.guards.spans import encodable

__all__ = ["MAX_DEPTH", "TOO_DEEP", "Visit", "is_too_deep", "walk", "walk_members"]

MAX_DEPTH = 100
TOO_DEEP = "[BLOCKED:TOO_DEEP]"

Visit = Callable[[str, str, str, bool], str]
"""(text, path, member name, whether the text is a member name itself) -> text."""


def walk(value: object, path: str, name: str, visit: Visit, *, depth: int = 0) -> object:
    """`value` with every text visited; the same object when nothing changed."""
    if isinstance(value, str):
        return visit(value, path, name, False)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        return _number(value, path, name, visit)
    if not isinstance(value, (dict, list, tuple)):
        return value
    if depth >= MAX_DEPTH:
        return TOO_DEEP
    if isinstance(value, dict):
        return _members(value, path, visit, depth)
    items = [
        walk(item, f"{path}[{index}]", name, visit, depth=depth + 1)
        for index, item in enumerate(value)
    ]
    unchanged = all(new is old for new, old in zip(items, value, strict=True))
    return value if unchanged else items


def walk_members(value: Mapping[str, object], visit: Visit) -> dict[str, object]:
    """`walk` for the outermost object; always a new one."""
    return dict(_members(dict(value), "", visit, 0))


def is_too_deep(value: object) -> bool:
    """Whether `walk` would cut something off, the member it stands in counted as one level."""
    level: list[object] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, (dict, list, tuple))
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, (dict, list, tuple))
        ]
        if not level:
            return False
    return True


def _members(value: dict[str, object], path: str, visit: Visit, depth: int) -> dict[str, object]:
    changed = False
    members: dict[str, object] = {}
    for key, item in value.items():
        new_key = visit(key, path, "", True) if isinstance(key, str) else key
        shown = encodable(str(new_key))
        where = f"{path}.{shown}" if path else shown
        hint = key if isinstance(key, str) else ""
        new_item = walk(item, where, hint, visit, depth=depth + 1)
        changed = changed or new_item is not item or new_key != key
        if new_key != key:
            # Two members may be blanked to the same marker; neither may swallow the other.
            base, number = new_key, 2
            while new_key in members or new_key in value:
                new_key = f"{base}#{number}"
                number += 1
        members[new_key] = new_item
    return members if changed else value


def _number(value: int | float, path: str, name: str, visit: Visit) -> object:
    """A whole number of eight digits or more can be a card, an account, a phone."""
    if isinstance(value, float):
        if not value.is_integer() or abs(value) >= 1e19:
            return value
        whole = int(value)
    else:
        whole = value
    if not 10_000_000 <= whole < 10**24:
        return value
    text = str(whole)
    new = visit(text, path, name, False)
    return value if new == text else new
