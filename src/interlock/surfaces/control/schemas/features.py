"""X-Features: architecture, content classifiers, content blockers.

Source: gateway.md section 4.
"""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from interlock.surfaces.control.schemas.base import HeaderModel

__all__ = ["CLASSIFIER_MODES", "BlockerItem", "ClassifierItem", "FeaturesHeader", "mode_threshold"]

CLASSIFIER_MODES: Final = {
    "strict": 0.2,
    "high sensitivity": 0.3,
    "normal": 0.5,
    "low sensitivity": 0.8,
}
"""Named thresholds; a mode overrides the number beside it."""


def mode_threshold(mode: str) -> float | None:
    """The threshold a mode stands for, None for an unknown one; case and `_`/`-` do not matter."""
    words = mode.casefold().replace("_", " ").replace("-", " ").split()
    return CLASSIFIER_MODES.get(" ".join(words))


def _known_mode(mode: str) -> str:
    if mode_threshold(mode) is None:
        names = ", ".join(f"'{name}'" for name in CLASSIFIER_MODES)
        raise ValueError(f"unknown mode, use one of {names}")
    return mode


class ClassifierItem(HeaderModel):
    """One content classifier."""

    name: Literal[
        "pii_redaction", "toxicity_filter", "healthcare_topic_guardrail", "finance_topic_guardrail"
    ]
    threshold: float | None = Field(None, ge=0.0, le=1.0)
    mode: Annotated[str, AfterValidator(_known_mode)] | None = None


class BlockerItem(HeaderModel):
    """One content blocker."""

    name: Literal["url_blocker", "file_blocker"]


class FeaturesHeader(HeaderModel):
    """The X-Features header."""

    agent_arch: Literal["single-llm", "dual-llm"] | None = None
    content_classifiers: list[ClassifierItem] | None = None
    content_blockers: list[BlockerItem] | None = None
