"""The rail: one line a page."""

from dataclasses import dataclass

__all__ = ["NAV", "Entry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A page of the rail."""

    group: str
    name: str
    path: str
    icon: str
    key: str = ""
    """Pressed after `g`."""
    admin: bool = False
    phone: bool = False
    """In the bottom bar at phone width."""


NAV: tuple[Entry, ...] = (
    Entry(group="Watch", name="Home", path="/console", icon="home", key="h", phone=True),
    Entry(
        group="Watch",
        name="Decisions",
        path="/console/decisions",
        icon="decision",
        key="d",
        phone=True,
    ),
    Entry(
        group="Watch", name="Approvals", path="/console/approvals", icon="half", key="a", phone=True
    ),
    Entry(group="Watch", name="Usage", path="/console/usage", icon="chart", key="u"),
    Entry(group="Work", name="Chat", path="/console/chat", icon="chat", key="c", phone=True),
    Entry(
        group="Control",
        name="Policies",
        path="/console/policies",
        icon="shield",
        key="p",
    ),
    Entry(group="Control", name="Keys", path="/console/keys", icon="key", key="k"),
    Entry(group="Control", name="Users", path="/console/users", icon="people", admin=True),
    Entry(group="Control", name="Limits", path="/console/limits", icon="gauge", admin=True),
    Entry(group="Control", name="Providers", path="/console/providers", icon="plug", admin=True),
    Entry(group="Control", name="Settings", path="/console/settings/profile", icon="gear"),
)
