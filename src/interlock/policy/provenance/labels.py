"""The evidence for each argument of a call, as tags that rules can ask for."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from interlock.policy.model import Labels, LabelSet
from interlock.policy.provenance.dates import Said, moment
from interlock.policy.provenance.spans import Passage
from interlock.policy.provenance.text import Words, normal, number_key, references

__all__ = [
    "DATE_FROM_USER",
    "FROM_FIELD",
    "FROM_TRUSTED",
    "FROM_USER",
    "REFERENCES_FROM_TRUSTED",
    "REFERENCES_FROM_USER",
    "TRUSTED",
    "Evidence",
    "GivenResult",
    "speaks_of_provenance",
    "without_evidence",
]

FROM_USER = "__from_user"
"""Every value in the argument occurs in the user's words."""
DATE_FROM_USER = "__date_from_user"
"""Every value in the argument is a date, or date and time, whose day the user named."""
FROM_TRUSTED = "__from_trusted"
"""Every value occurs in the user's words or in a result that a rule tagged `__trusted`."""
REFERENCES_FROM_USER = "__references_from_user"
"""Whatever the texts in the argument point at occurs in the user's words."""
REFERENCES_FROM_TRUSTED = "__references_from_trusted"
"""The same, or in a result that a rule tagged `__trusted`."""
FROM_FIELD = "__from/"
"""`__from/TOOL.FIELD`: every value the user did not say is exactly a value of FIELD in a
result of TOOL; names with dots in them are not read. Values of a result that is no JSON
object or array, and members of a list at its top, are in the field `value`."""
TRUSTED = "__trusted"
"""On a result: a rule vouches for its content."""

_EVIDENCE = frozenset(
    (FROM_USER, DATE_FROM_USER, FROM_TRUSTED, REFERENCES_FROM_USER, REFERENCES_FROM_TRUSTED)
)
_PLANNED = Labels(tags=LabelSet(_EVIDENCE))
_MOST_VALUES = 256
"""Values in one argument; an argument with more gets no label."""
_MOST_FIELDS = 50_000
"""Fields read of one result; the rest is not evidence."""
_DEEPEST = 32


def speaks_of_provenance(text: str) -> bool:
    """Whether a policy asks for evidence, so that it must be looked for."""
    return any(name in text for name in ("__from", "__date_from_user", "__references_from"))


def without_evidence(labels: Labels) -> Labels:
    """Labels less the tags that only this package and rules may give.

    A tool that labels its own output may be repeating what somebody wrote into it.
    """
    tags = labels.tags
    if tags.negated:
        return Labels(
            tags.minus(LabelSet.of(TRUSTED, *_EVIDENCE)), labels.producers, labels.consumers
        )
    kept = frozenset(tag for tag in tags.items if not _is_evidence(tag))
    if kept == tags.items:
        return labels
    return Labels(LabelSet(kept), labels.producers, labels.consumers, labels.worlds)


def _is_evidence(tag: str) -> bool:
    return tag == TRUSTED or tag in _EVIDENCE or tag.startswith(FROM_FIELD)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenResult:
    """One tool result of the conversation."""

    tool: str
    """Empty when it is not known which tool gave it."""
    text: str
    trusted: bool = False
    ref: str = ""
    """Id of the call."""


@dataclass(slots=True)
class Evidence:
    """What is known of one conversation when a call is decided; made once per request."""

    said: Sequence[str]
    """The user's own words: no results, nothing an assistant wrote."""
    results: Sequence[GivenResult] = ()
    _user: Words | None = field(default=None, init=False)
    _trusted: Words | None = field(default=None, init=False)
    _days: Said | None = field(default=None, init=False)
    _fields: dict[str, set[str]] | None = field(default=None, init=False)

    def of(self, args: Mapping[str, Any]) -> dict[str, Labels]:
        """The labels of every argument of a call that has a value."""
        found = {}
        for name, value in args.items():
            tags = self._tags(value)
            if tags:
                found[name] = Labels(tags=LabelSet(tags))
        return found

    def of_plan(self, args: Mapping[str, Any], planned: Collection[str]) -> dict[str, Labels]:
        """The labels of the arguments of a call that a plan makes (dual-llm).

        `planned` are the arguments that derive from no result: the planner knew only what
        the user said, so they are the user's words, whatever the planner made of them. All
        others are looked for as in single-llm.
        """
        found = self.of({name: value for name, value in args.items() if name not in planned})
        found.update(dict.fromkeys(planned, _PLANNED))
        return found

    def passages(self) -> list[Passage]:
        """The conversation as texts: the user's words, then results, field by field."""
        found = [Passage(kind="user", text=text) for text in self.said]
        for result in self.results:
            for name, value in _paths(result.text):
                found.append(
                    Passage(
                        kind="tool_result",
                        text=str(value),
                        tool=result.tool,
                        ref=result.ref,
                        field=name,
                    )
                )
        return found

    def _tags(self, value: Any) -> frozenset[str]:  # noqa: ANN401 - any JSON value
        values = list(_values(value, _MOST_VALUES + 1))
        if value is None or len(values) > _MOST_VALUES:
            return frozenset()
        tags: set[str] = set()
        unsaid = [item for item in values if not self._by_user(item)]
        if not unsaid:
            tags.update((FROM_USER, FROM_TRUSTED))
        else:
            if all(self._in_trusted(item) for item in unsaid):
                tags.add(FROM_TRUSTED)
            tags.update(self._common_fields(unsaid))
        if values and all(self._day_by_user(item) for item in values):
            tags.add(DATE_FROM_USER)
        pointed = [item for text in values if isinstance(text, str) for item in references(text)]
        unsaid_pointed = [item for item in pointed if not self._words().say(item)]
        if not unsaid_pointed:
            tags.update((REFERENCES_FROM_USER, REFERENCES_FROM_TRUSTED))
        elif all(self._trusted_words().say(item) for item in unsaid_pointed):
            tags.add(REFERENCES_FROM_TRUSTED)
        return frozenset(tags)

    def _words(self) -> Words:
        if self._user is None:
            self._user = Words(self.said)
        return self._user

    def _trusted_words(self) -> Words:
        if self._trusted is None:
            self._trusted = Words(item.text for item in self.results if item.trusted)
        return self._trusted

    def _said_days(self) -> Said:
        if self._days is None:
            self._days = Said.of(self._words().text)
        return self._days

    def _by_user(self, value: str | float) -> bool:
        if not isinstance(value, str):
            return self._words().count(value)
        when = moment(value)
        if when is None:
            return self._words().say(value)
        day, at = when
        said = self._said_days()
        return said.day(day) and (at is None or said.time(at))

    def _day_by_user(self, value: str | float) -> bool:
        when = moment(value)
        return when is not None and self._said_days().day(when[0])

    def _in_trusted(self, value: str | float) -> bool:
        words = self._trusted_words()
        return words.say(value) if isinstance(value, str) else words.count(value)

    def _common_fields(self, values: Sequence[str | float]) -> set[str]:
        if self._fields is None:
            self._fields = _index(self.results)
        common: set[str] | None = None
        for value in values:
            where = self._fields.get(_key(value), set())
            common = set(where) if common is None else common & where
            if not common:
                return set()
        return {FROM_FIELD + name for name in common or ()}


def _values(value: Any, most: int) -> Iterator[str | float]:  # noqa: ANN401 - any JSON value
    """Every text and number in a value, at any depth, names of members too; at most so many.

    Truth values, nulls and empty texts hold nothing to look for and are left out.
    """
    pending = [value]
    while pending and most:
        item = pending.pop()
        if isinstance(item, Mapping):
            pending.extend(item.keys())
            pending.extend(item.values())
        elif isinstance(item, (list, tuple)):
            pending.extend(item)
        elif isinstance(item, str):
            if item.strip():
                most -= 1
                yield item
        elif isinstance(item, (int, float)) and not isinstance(item, bool):
            most -= 1
            yield item


def _key(value: str | float) -> str:
    return normal(value) if isinstance(value, str) else number_key(value) or ""


def _index(results: Iterable[GivenResult]) -> dict[str, set[str]]:
    """Every field value of every result -> `TOOL.FIELD` of each place it stands in."""
    found: dict[str, set[str]] = {}
    for result in results:
        if not result.tool:
            continue
        for name, value in _fields(result.text):
            key = _key(value)
            if key:
                found.setdefault(key, set()).add(f"{result.tool}.{name}")
    return found


def _fields(text: str) -> Iterator[tuple[str, str | float]]:
    tree: Any = text
    if text.lstrip()[:1] in ("{", "["):
        try:
            tree = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return
    pending: list[tuple[str, Any, int]] = [("value", tree, 0)]
    left = _MOST_FIELDS
    while pending and left:
        name, item, depth = pending.pop()
        if isinstance(item, dict) and depth < _DEEPEST:
            # A name with a dot could pose as another tool's: `x.to` of `get` as `to` of `get.x`.
            pending.extend((key, held, depth + 1) for key, held in item.items() if "." not in key)
        elif isinstance(item, list) and depth < _DEEPEST:
            pending.extend((name, held, depth + 1) for held in item)
        elif isinstance(item, str) or (
            isinstance(item, (int, float)) and not isinstance(item, bool)
        ):
            left -= 1
            yield name, item


def _paths(text: str) -> Iterator[tuple[str, str | float]]:
    """Texts and numbers of a result with their paths (`0.body`); itself when it is no JSON."""
    tree: Any = text
    if text.lstrip()[:1] in ("{", "["):
        try:
            tree = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            tree = text
    pending: list[tuple[str, Any]] = [("", tree)]
    left = _MOST_FIELDS
    while pending and left:
        path, item = pending.pop()
        dot = f"{path}." if path else ""
        if isinstance(item, dict):
            pending.extend(reversed([(f"{dot}{name}", held) for name, held in item.items()]))
        elif isinstance(item, list):
            pending.extend(reversed([(f"{dot}{n}", held) for n, held in enumerate(item)]))
        elif isinstance(item, (str, int, float)) and not isinstance(item, bool):
            left -= 1
            yield path, item
