"""How a person wants pages to look: a cookie, so that the first paint is right."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

__all__ = ["COOKIE", "Look"]

COOKIE = "INTERLOCK-LOOK"
_CHOICES = {
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

    @classmethod
    def of(cls, cookie: str | None) -> Self:
        """Reads the cookie, `theme:dark.keys:off`."""
        return cls().changed(
            dict(part.split(":", 1) for part in (cookie or "").split(".") if ":" in part)
        )

    def changed(self, wanted: Mapping[str, str]) -> Self:
        """With these choices, as far as they exist."""
        good = {name: value for name, value in wanted.items() if value in _CHOICES.get(name, ())}
        return replace(self, **good)

    def cookie(self) -> str:
        """The value of the cookie."""
        return ".".join(f"{name}:{getattr(self, name)}" for name in _CHOICES)
