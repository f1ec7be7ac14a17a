"""How a person wants pages to look: a cookie, so that the first paint is right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import Self
from zoneinfo import ZoneInfo, available_timezones

__all__ = ["COOKIE", "Look", "zones"]

COOKIE = "INTERLOCK-LOOK"
_ZONE = "UTC"
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "theme": ("system", "light", "dark"),
    "density": ("normal", "compact", "relaxed"),
    "keys": ("on", "off"),
    "motion": ("system", "off"),
    "rail": ("wide", "narrow"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Choices of one browser; unknown ones are the first of their kind."""

    theme: str = "system"
    density: str = "normal"
    keys: str = "on"
    motion: str = "system"
    rail: str = "wide"
    zone: str = _ZONE
    """Name of a time zone; times are shown in it."""

    @classmethod
    def of(cls, cookie: str | None) -> Self:
        """Reads the cookie, `theme:dark.keys:off`."""
        return cls().changed(
            dict(part.split(":", 1) for part in (cookie or "").split(".") if ":" in part)
        )

    def changed(self, wanted: Mapping[str, str]) -> Self:
        """With these choices, as far as they exist."""
        good = {name: value for name, value in wanted.items() if value in _CHOICES.get(name, ())}
        zone = wanted.get("zone", "").replace("~", "/")
        if zone in zones():
            good["zone"] = zone
        return replace(self, **good)

    @property
    def clock(self) -> tzinfo:
        """The zone to show times in."""
        return UTC if self.zone == _ZONE else ZoneInfo(self.zone)

    def cookie(self) -> str:
        """The value of the cookie."""
        chosen = [f"{name}:{getattr(self, name)}" for name in _CHOICES]
        return ".".join([*chosen, f"zone:{self.zone.replace('/', '~')}"])


@lru_cache(maxsize=1)
def zones() -> Sequence[str]:
    """Names of time zones this machine knows, `UTC` first; those without a place left out."""
    named = {name for name in available_timezones() if "/" in name and not name.startswith("Etc/")}
    return (_ZONE, *sorted(named))
