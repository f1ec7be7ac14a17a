"""What the policy engine decides about, and what a decision is.

Pure values: no I/O, no clock. Argument values are plain JSON values (or
`datetime`), labels travel beside them.

Source: gateway.md section 11 (SQRT), 10.5 (labels), 11.13 (decision record).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    "Mode",
    "Origin",
    "PolicySource",
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

    @classmethod
    def of(cls, *labels: str) -> "LabelSet":
        """The finite set of exactly these labels."""
        return cls(frozenset(labels))

    @classmethod
    def from_wire(cls, labels: Iterable[str]) -> "LabelSet":
        """Reads the list form: `["a", "b"]`, `["*"]`, or `["*", "!x"]` for all but `x`."""
        seen = frozenset(labels)
        if "*" not in seen:
            return cls(seen)
        missing = frozenset(label[1:] for label in seen if label.startswith("!")) - seen
        return cls(missing, True)

    def to_wire(self) -> list[str]:
        """The sorted list form; see `from_wire`."""
        if self.negated:
            return ["*", *(f"!{label}" for label in sorted(self.items))]
        return sorted(self.items)

    @property
    def is_empty(self) -> bool:
        """Whether it has no member."""
        return not self.negated and not self.items

    @property
    def is_universal(self) -> bool:
        """Whether every label is a member."""
        return self.negated and not self.items

    def contains(self, label: str) -> bool:
        """Whether `label` is a member."""
        return (label in self.items) is not self.negated

    def __contains__(self, label: object) -> bool:
        return (label in self.items) is not self.negated

    def touched(self) -> "LabelSet":
        """The same set as something assigned, no longer the default."""
        return LabelSet(self.items, self.negated) if self.untouched else self

    def complement(self) -> "LabelSet":
        """Every label that is not a member."""
        return LabelSet(self.items, not self.negated)

    def union(self, other: "LabelSet") -> "LabelSet":
        """Members of either."""
        if self.negated:
            kept = self.items & other.items if other.negated else self.items - other.items
            return LabelSet(kept, True)
        if other.negated:
            return LabelSet(other.items - self.items, True)
        return LabelSet(self.items | other.items)

    def intersect(self, other: "LabelSet") -> "LabelSet":
        """Members of both; the default universal set leaves the other as it is."""
        if self.untouched:
            return other
        if other.untouched:
            return self
        if self.negated:
            if other.negated:
                return LabelSet(self.items | other.items, True)
            return LabelSet(other.items - self.items)
        kept = self.items - other.items if other.negated else self.items & other.items
        return LabelSet(kept)

    def minus(self, other: "LabelSet") -> "LabelSet":
        """Members of this that are not members of `other`."""
        return self.touched().intersect(other.complement())

    def xor(self, other: "LabelSet") -> "LabelSet":
        """Members of exactly one of the two."""
        return LabelSet(self.items ^ other.items, self.negated is not other.negated)

    def with_label(self, label: str) -> "LabelSet":
        """These and `label`; `*` stands for every label."""
        return self.union(_one(label))

    def without_label(self, label: str) -> "LabelSet":
        """These less `label`; `*` stands for every label."""
        return self.minus(_one(label))

    def subset(self, other: "LabelSet") -> bool:
        """Whether every member is a member of `other`."""
        if self.negated:
            return other.negated and other.items <= self.items
        return self.items.isdisjoint(other.items) if other.negated else self.items <= other.items

    def overlaps(self, other: "LabelSet") -> bool:
        """Whether some label is a member of both."""
        if self.negated:
            return other.negated or not other.items <= self.items
        if other.negated:
            return not self.items <= other.items
        return not self.items.isdisjoint(other.items)


def _one(label: str) -> LabelSet:
    return LabelSet(frozenset(), True) if label == "*" else LabelSet(frozenset((label,)))


EMPTY = LabelSet()
UNIVERSAL = LabelSet(frozenset(), True, untouched=True)


@dataclass(frozen=True, slots=True)
class Labels:
    """Where a value comes from (producers), who may have it (consumers), what it is (tags)."""

    tags: LabelSet = EMPTY
    producers: LabelSet = EMPTY
    consumers: LabelSet = UNIVERSAL
    worlds: Mapping[str, "Labels"] = field(default_factory=dict, hash=False)
    """The same value's labels as another set of policies would have made them, by name.

    Only names whose labels differ are present. The engine keeps two kinds:
    `bound` (the bound policies without the header's) and one for each
    watch-only policy. Whoever merges labels uses `merge`, which carries them.
    """

    @classmethod
    def of(
        cls,
        *,
        tags: Iterable[str] = (),
        producers: Iterable[str] = (),
        consumers: Iterable[str] = ("*",),
    ) -> "Labels":
        """Labels from three lists in wire form.

        Consumers `["*"]` read as the untouched default: the wire form cannot
        say whether someone assigned them, and untouched is the stricter reading.
        """
        who = LabelSet.from_wire(consumers)
        return cls(
            LabelSet.from_wire(tags),
            LabelSet.from_wire(producers),
            UNIVERSAL if who.is_universal else who,
        )

    @classmethod
    def from_wire(cls, meta: Mapping[str, Any]) -> "Labels":
        """Reads `{"tags": [...], "producers": [...], "consumers": [...]}`, and `worlds` if any."""
        worlds = meta.get("worlds") or {}
        plain = cls.of(
            tags=meta.get("tags", ()),
            producers=meta.get("producers", ()),
            consumers=meta.get("consumers", ("*",)),
        )
        return replace(plain, worlds={n: cls.from_wire(m) for n, m in worlds.items()})

    def to_wire(self) -> dict[str, list[str]]:
        """Exactly the three published members, as sorted lists."""
        return {
            "tags": self.tags.to_wire(),
            "consumers": self.consumers.to_wire(),
            "producers": self.producers.to_wire(),
        }

    def to_record(self) -> dict[str, Any]:
        """`to_wire` and the other worlds: what a store must keep so that nothing is lost."""
        record: dict[str, Any] = dict(self.to_wire())
        assigned = [name for name in _FIELDS if _is_assigned(getattr(self, name))]
        if assigned:
            record["assigned"] = assigned
        if self.worlds:
            record["worlds"] = {name: labels.to_record() for name, labels in self.worlds.items()}
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Labels":
        """Reads `to_record`, exactly; what the wire form leaves open is as `from_wire` has it."""
        found = cls.from_wire({name: record[name] for name in _FIELDS if name in record})
        assigned = {name: getattr(found, name).touched() for name in record.get("assigned", ())}
        worlds = record.get("worlds") or {}
        return replace(
            found, **assigned, worlds={name: cls.from_record(item) for name, item in worlds.items()}
        )

    def world(self, name: str) -> "Labels":
        """The labels as that world sees them."""
        if not self.worlds:
            return self
        return self.worlds.get(name) or self.alone()

    def alone(self) -> "Labels":
        """The labels without their other worlds."""
        return Labels(self.tags, self.producers, self.consumers) if self.worlds else self

    def with_worlds(self, worlds: Mapping[str, "Labels"]) -> "Labels":
        """These labels, with those other worlds that differ from them."""
        kept = {name: other for name, other in worlds.items() if not self._same(other)}
        if not kept and not self.worlds:
            return self
        return Labels(self.tags, self.producers, self.consumers, kept)

    def _same(self, other: "Labels") -> bool:
        return other is self or (
            self.tags == other.tags
            and self.producers == other.producers
            and self.consumers == other.consumers
            and self.consumers.untouched is other.consumers.untouched
        )

    def merge(self, other: "Labels") -> "Labels":
        """What a value made from both carries: tags and producers unite, consumers intersect.

        Source: 10.5.
        """
        merged = Labels(
            self.tags.union(other.tags),
            self.producers.union(other.producers),
            self.consumers.intersect(other.consumers),
        )
        if not self.worlds and not other.worlds:
            return merged
        names = {*self.worlds, *other.worlds}
        return merged.with_worlds({n: self.world(n).merge(other.world(n)) for n in sorted(names)})


_FIELDS = ("tags", "producers", "consumers")


def _is_assigned(labels: LabelSet) -> bool:
    return labels.is_universal and not labels.untouched


DEFAULT_LABELS = Labels()


Mode = Literal["standard", "strict", "custom"]
"""Source: 11.9. The engine itself distinguishes only `strict`: evaluation errors deny."""

Origin = tuple[str, str, str, int]
"""A label added to the session: (field, label, declaration, line)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySource:
    """One policy text and where it comes from."""

    name: str
    """The binding, `header`, or a file name; stands in messages and traces."""
    text: str
    language: Literal["sqrt", "cedar"] = "sqrt"
    enforcement: Literal["enforce", "watch"] = "enforce"
    replaces: str | None = None
    """Of a watched one: the enforced text (by name) it is a new version of."""


class Verdict(StrEnum):
    """Outcome of a decision. Source: 11.7."""

    HARD_DENIED = "hard_denied"
    SOFT_DENIED = "soft_denied"
    SOFT_ALLOWED = "soft_allowed"
    HARD_ALLOWED = "hard_allowed"

    @property
    def allowed(self) -> bool:
        """Whether the call may go ahead."""
        return self is Verdict.SOFT_ALLOWED or self is Verdict.HARD_ALLOWED

    @property
    def strictness(self) -> int:
        """Order from `hard_allowed` (0) to `hard_denied` (3)."""
        return _STRICTNESS[self]


_STRICTNESS = {
    Verdict.HARD_ALLOWED: 0,
    Verdict.SOFT_ALLOWED: 1,
    Verdict.SOFT_DENIED: 2,
    Verdict.HARD_DENIED: 3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One attempted call: name, argument values, labels of the arguments that have any."""

    tool: str
    args: Mapping[str, Any]
    labels: Mapping[str, Labels] = field(default_factory=dict)
    """Missing names have `DEFAULT_LABELS`."""
    control: Labels = DEFAULT_LABELS
    """Of the conditions that decided that the call is made (11.9, strict); `@args` includes it."""


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
    shadow: Sequence[Mapping[str, str | None]] = ()
    """`{policy, verdict, rule}` of each watch-only policy (11.2)."""
    rules: Sequence[RuleTrace] = ()
    """Every check rule about the tool, in the order looked at; only of a traced decision."""
    origins: Sequence[Origin] = ()
    """Labels that `session before` updates added to the session."""
    errors: Sequence[str] = ()
    """What could not be evaluated, updates included; each failed closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultUpdate:
    """What a finished call leaves behind (11.8)."""

    labels: Labels
    session: Session
    args: Mapping[str, Labels] = field(default_factory=dict)
    """Argument labels after `NAME.field` updates."""
    origins: Sequence[Origin] = ()
    """Labels added to the session: (field, label, declaration, line), for lineage."""
    errors: Sequence[str] = ()
    """What could not be evaluated; each failed closed (11.6)."""
