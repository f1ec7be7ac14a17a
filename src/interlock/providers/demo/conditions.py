"""What a clause says about the value of an argument, as a condition in SQRT.

Mail domains on an argument that takes addresses, bounds on one that takes numbers, quoted
texts on one that takes strings.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from interlock.providers.demo.clauses import Clause
from interlock.providers.demo.tools import Parameter, Tool

__all__ = ["Condition", "condition"]

_DOMAIN = re.compile(r"(?i)(@?)(?<![\w.-])((?:[a-z0-9-]+\.)+[a-z]{2,24})\b")
_ADDRESS = re.compile(r"(?i)\b[\w.+-]{1,64}@(?:[a-z0-9-]+\.)+[a-z]{2,24}\b")
_RECIPIENTS = (
    "to", "recipient", "recipients", "email", "address", "receiver", "cc", "bcc", "mail",
)  # fmt: skip
_AMOUNTS = (
    "amount", "total", "sum", "price", "value", "cost", "quantity", "count", "number", "limit",
)  # fmt: skip
_NUMBERS = frozenset({"number", "integer"})
_NUMBER = r"[$\u20ac\u00a3]?\s?(-?\d[\d,]*(?:\.\d+)?)(?:\s?(k|m))?\b"
_BOUNDS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"(?i){words}\s+{_NUMBER}"), shape)
    for words, shape in (
        (r"\bno (?:more|greater|larger|higher) than", "..{}"),
        (r"\bno (?:less|fewer|lower) than", "{}.."),
        (r"\b(?:at most|up to|maximum(?: of)?|max|limit(?:ed)? to|restrict(?:ed)? to)", "..{}"),
        (r"\b(?:at least|minimum(?: of)?)", "{}.."),
        (
            r"\b(?:above|over|more than|greater than|larger than|higher than|beyond|"
            r"exceed(?:s|ing)?|in excess of)",
            "{}<..",
        ),
        (r"\b(?:below|under|less than|fewer than|smaller than|lower than)", "..<{}"),
    )
)
_OR_MORE = re.compile(rf"(?i){_NUMBER}\s+(?:or|and)\s+(more|above|less|below)\b")
_TOKEN = re.compile(r"\w+")
_QUOTED = re.compile(r"\"([^\"\n]{1,200})\"|(?<!\w)'([^'\n]{1,200})'(?!\w)")
_PREFIX = re.compile(r"(?i)\b(?:under|below|in|inside|within|starting with|start with|starts with|"
                     r"beginning with|begin with|begins with)\s+[\"']")  # fmt: skip
_SUFFIX = re.compile(r"(?i)\b(?:ending in|ending with|end in|end with|ends in|ends with)\s+[\"']")
_INSIDE = re.compile(r"(?i)\b(?:containing|contain|contains|with|mentioning|mention)\s+[\"']")


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`ARGUMENT.value in {...}`."""

    text: str
    every: bool
    """The argument is a list, and the condition holds when all of its elements fit."""
    implies_only: bool = False
    """Without any word of order it means that nothing else is wanted."""
    telling: bool = True
    """The kind of value says which tools are meant, even when none is named."""


def condition(clause: Clause, tool: Tool) -> Condition | None:
    """The condition on an argument of the tool; None: the clause has none we know."""
    return _mail(clause, tool) or _amount(clause.text, tool) or _text(clause.text, tool)


def _mail(clause: Clause, tool: Tool) -> Condition | None:
    recipient = _named(tool, _RECIPIENTS, frozenset({"string", "array"}))
    if recipient is None:
        return None
    whole, marked = _addresses(clause.text)
    # What is forbidden is read broadly, what alone is allowed narrowly.
    sure = any(sign for sign, _ in marked) and not clause.excludes
    domains = [domain for sign, domain in marked if sign or not sure]
    patterns = [_escaped(address) for address in whole] if clause.excludes else []
    patterns += [f".*@{_escaped(domain)}" for domain in domains]
    elements = [] if clause.excludes else [_string(address) for address in dict.fromkeys(whole)]
    shape = "(?i:{})" if clause.excludes else "{}"
    elements += [f'str matching r"{shape.format(one)}"' for one in dict.fromkeys(patterns)]
    if not elements:
        return None
    inside = f"{recipient.name}.value in {{{', '.join(elements)}}}"
    return Condition(text=inside, every=recipient.kind == "array", implies_only=True)


# A clause is asked about for every tool there is.


@lru_cache(maxsize=1024)
def _addresses(text: str) -> tuple[list[str], list[tuple[bool, str]]]:
    """Whole addresses, and domains with whether an `@` stands before them."""
    whole = [match.group() for match in _ADDRESS.finditer(text)]
    rest = _ADDRESS.sub(" ", text)
    return whole, [(bool(match[1]), match[2].lower()) for match in _DOMAIN.finditer(rest)]


@lru_cache(maxsize=1024)
def _said(text: str) -> frozenset[str]:
    return frozenset(_TOKEN.findall(text.lower()))


def _escaped(text: str) -> str:
    return re.escape(text).replace("\\-", "-")


def _amount(text: str, tool: Tool) -> Condition | None:
    bound = _bound(text)
    if bound is None:
        return None
    numeric = [one for one in tool.parameters if one.kind in _NUMBERS]
    said = _said(text)
    choices = [one for one in numeric if {one.name.lower(), one.name.lower() + "s"} & said]
    choices = choices or [one for one in numeric if one.name.lower() in _AMOUNTS]
    choices = choices or numeric
    if len(choices) != 1:
        return None
    return Condition(text=f"{choices[0].name}.value in {{float {bound}}}", every=False)


@lru_cache(maxsize=1024)
def _bound(text: str) -> str | None:
    after = _OR_MORE.search(text)
    if after is not None:
        number = _number(after[1], after[2])
        return f"{number}.." if after[3].lower() in {"more", "above"} else f"..{number}"
    for pattern, shape in _BOUNDS:
        match = pattern.search(text)
        if match is not None:
            return shape.format(_number(match[1], match[2]))
    return None


def _number(digits: str, unit: str | None) -> str:
    plain = digits.replace(",", "")
    if unit is None:
        return plain.lstrip("0") or "0" if plain.isdigit() else plain
    value = float(plain) * (1_000 if unit.lower() == "k" else 1_000_000)
    return str(int(value)) if value.is_integer() else f"{value:.6f}"


def _text(text: str, tool: Tool) -> Condition | None:
    values = [value for value in _quoted(text) if value.lower() != tool.name.lower()]
    if not values:
        return None
    texts = [one for one in tool.parameters if one.kind in {"string", "any", "array"}]
    said = _said(text)
    choices = [one for one in texts if {one.name.lower(), one.name.lower() + "s"} & said] or texts
    if len(choices) != 1:
        return None
    before, after = "", ""
    if _SUFFIX.search(text):
        before = "*"
    elif _PREFIX.search(text):
        after = "*"
    elif _INSIDE.search(text):
        before = after = "*"
    plain = not before and not after
    if not plain and any(sign in value for value in values for sign in "*?"):
        return None
    elements = [
        _string(value) if plain else f"str like w{_string(before + value + after)}"
        for value in dict.fromkeys(values)
    ]
    inside = f"{choices[0].name}.value in {{{', '.join(elements)}}}"
    return Condition(text=inside, every=choices[0].kind == "array", telling=False)


@lru_cache(maxsize=1024)
def _quoted(text: str) -> list[str]:
    return [first or second for first, second in _QUOTED.findall(text)]


def _named(tool: Tool, names: tuple[str, ...], kinds: frozenset[str]) -> Parameter | None:
    return next(
        (
            one
            for name in names
            for one in tool.parameters
            if one.name.lower() == name and one.kind in kinds
        ),
        None,
    )


def _string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
