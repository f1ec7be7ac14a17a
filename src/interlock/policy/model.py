"""What the policy engine decides about, and what a decision is.

Pure values: no I/O, no clock. Argument values are plain JSON values (or
`datetime`), labels travel beside them.

Source: gateway.md section 11 (SQRT), 10.5 (labels), 11.13 (decision record).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

__all__ = [
    "DEFAULT_LABELS",
    "EMPTY",
    "UNIVERSAL",
    "Caller",
    "Condition",
    "Decision",
    "LabelSet",
    "Labels",
    "Presets",
    "ResultUpdate",
    "RuleTrace",
    "Session",
    "ToolCall",
    "Verdict",
]


@dataclass(frozen=True, slots=True)
class LabelSet:
    """A finite set of labels, or everything except a finite set.

    `LabelSet(frozenset({"a"}))` is {a}; `LabelSet(frozenset({"a"}), True)` is
    every label but `a`; `UNIVERSAL` is every label. Closed under union,
    intersection, difference and symmetric difference, all exact.
    """

    items: frozenset[str] = frozenset()
    negated: bool = False
    untouched: bool = field(default=False, compare=False)
    """True only for the universal set a value starts with; see 11.4 on `|=`."""


EMPTY = LabelSet()
UNIVERSAL = LabelSet(frozenset(), True, untouched=True)


@dataclass(frozen=True, slots=True)
class Labels:
    """Where a value comes from (producers), who may have it (consumers), what it is (tags)."""

    tags: LabelSet = EMPTY
    producers: LabelSet = EMPTY
    consumers: LabelSet = UNIVERSAL


DEFAULT_LABELS = Labels()


class Verdict(StrEnum):
    """Outcome of a decision. Source: 11.7."""

    HARD_DENIED = "hard_denied"
    SOFT_DENIED = "soft_denied"
    SOFT_ALLOWED = "soft_allowed"
    HARD_ALLOWED = "hard_allowed"

    @property
    def allowed(self) -> bool:
        """Whether the call may go ahead."""
        return self in {Verdict.SOFT_ALLOWED, Verdict.HARD_ALLOWED}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One attempted call: name, argument values, labels of the arguments that have any."""

    tool: str
    args: Mapping[str, Any]
    labels: Mapping[str, Labels] = field(default_factory=dict)
    """Missing names have `DEFAULT_LABELS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Session metadata that rules read and update, plus an optional stored value."""

    labels: Labels = DEFAULT_LABELS
    value: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks; constants of a session, folded into the policy at compile time (11.2)."""

    user: str = ""
    key: str = ""
    account: str = ""
    groups: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    surface: Literal["control", "platform", "chat", "workbench"] = "control"


@dataclass(frozen=True, slots=True, kw_only=True)
class Presets:
    """What holds where no rule speaks. Source: section 5, 11.7 step 6, 11.12."""

    default_allow: bool = True
    default_allow_enforcement_level: Literal["hard", "soft"] = "soft"
    enable_non_executable_memory: bool = True
    enable_llm_blocked_tag: bool = True
    llm_blocked_tag_enforcement_level: Literal["hard", "soft"] = "hard"
    fail_fast: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One comparison of a rule as it came out, for explanations."""

    text: str
    line: int
    value: bool | None
    """None: not evaluated (short circuit), or it failed to evaluate."""
    operands: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTrace:
    """What one check rule did in one decision. Source: 11.13."""

    policy: str
    """`<tool-id>#<index>`: declaration and position of the rule, e.g. `send_email#0`."""
    source: str
    """Name of the policy text it stands in (binding, header, preset)."""
    rule: str
    """The rule as printed, one line."""
    line: int
    level: Literal["hard", "soft"]
    outcome: Literal["allow", "deny"]
    state: Literal["fired", "not_fired", "not_reached"]
    description: str | None = None
    conditions: Sequence[Condition] = ()
    error: str | None = None
    """Why a condition could not be evaluated, if so (fail closed, 11.6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The stored value a decision is: verdict, the rule that made it, what else was seen."""

    verdict: Verdict
    tool: str
    rule: RuleTrace | None
    """The deciding rule; None when the default or an unmatched allow-list decided."""
    reason: Literal["rule", "allow_list", "default", "error"]
    """`allow_list`: the tool has allow rules and none fired (11.7 step 5)."""
    denied: Sequence[RuleTrace] = ()
    """Fired deny rules."""
    allowed: Sequence[RuleTrace] = ()
    """Fired allow rules."""
    session: Session = field(default_factory=Session)
    """Session metadata after `session before` updates; persists even on denial."""
    labels: Mapping[str, Labels] = field(default_factory=dict)
    """Argument labels the decision was made on, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultUpdate:
    """What a finished call leaves behind (11.8)."""

    labels: Labels
    session: Session
    args: Mapping[str, Labels] = field(default_factory=dict)
    """Argument labels after `NAME.field` updates."""
    origins: Sequence[tuple[str, str, str, int]] = ()
    """Labels added to the session: (field, label, declaration, line), for lineage."""
