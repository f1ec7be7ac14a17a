"""Values of the content guards: what they are configured with and what they found.

Pure data. No value here but the rewritten arguments and the texts of
`undecided` ever holds matched text: hits can go to logs and records as they are.

Source: gateway.md section 4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

__all__ = [
    "Action",
    "ArgumentVerdict",
    "BlockerLike",
    "ClassifierLike",
    "Denial",
    "GuardHit",
    "ResultVerdict",
    "TagScore",
    "Undecided",
]

Action = Literal["redact", "block", "tag", "deny", "replace"]


class ClassifierLike(Protocol):
    """A configured classifier, as a session config holds it."""

    @property
    def name(self) -> str:
        """One of `CLASSIFIER_NAMES`."""

    @property
    def threshold(self) -> float:
        """0..1; a score at or above it triggers."""

    @property
    def mode(self) -> str | None:
        """A named threshold that overrides `threshold`."""


class BlockerLike(Protocol):
    """A configured blocker."""

    @property
    def name(self) -> str:
        """One of `BLOCKER_NAMES`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardHit:
    """One finding. `path` names the place (`body.items[2]`), never its content."""

    guard: str
    path: str
    type: str
    """What was found: `EMAIL`, `URL`, `healthcare`, ..."""
    score: float
    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """A guard's refusal of a call. `reason` is one lower-case sentence without matched text."""

    level: Literal["soft", "hard"]
    guard: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """A text the rules could not settle for one guard: evidence, but below its threshold.

    `text` is the original (cut to 8,000 characters) and may hold personal data; it is
    meant for the tagging model only.
    """

    guard: str
    path: str
    text: str = field(repr=False)
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TagScore:
    """A tagging model's answer about one undecided text."""

    score: float
    advice: float = 0.0
    """Topic guardrails: how surely the text gives professional advice."""
    spans: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """PII: (literal text, type) pairs to redact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentVerdict:
    """What the guards make of one call's arguments."""

    args: dict[str, Any] = field(repr=False)
    """The copy to send out; equal to the original unless `changed`."""
    changed: bool = False
    tags: frozenset[str] = frozenset()
    arg_tags: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By argument name, as in `args`; names without tags are missing."""
    denied: Denial | None = None
    hits: Sequence[GuardHit] = ()
    undecided: Sequence[Undecided] = ()
    tool: str = ""
    original: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The arguments as given, for `Guards.resolve`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultVerdict:
    """What the guards make of one tool result."""

    value: Any = field(repr=False)
    changed: bool = False
    tags: frozenset[str] = frozenset()
    hits: Sequence[GuardHit] = ()
    undecided: Sequence[Undecided] = ()
    original: Any = field(default=None, repr=False)
    replace_toxic: bool = True
