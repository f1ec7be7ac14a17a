"""A description cut into clauses, what each of them wants, and the tools it is about."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from interlock.providers.demo.tools import Tool

__all__ = ["Clause", "clauses", "meant", "stems"]

_SENTENCE = re.compile(r"(?:\"[^\"\n]*\"|[^.;!?\n\"]|[.?!](?=[\w/])|\"|(?<=\w)[.](?=,))+")
_BULLET = re.compile(r"^(?:[-*\u2022]|\d{1,3}[.)])\s+")
_WORDS_OF_ORDER = (
    r"(?:allow|permit|forbid|deny|block|prohibit|disallow|never|don't|do not|only|nothing|"
    r"everything|all other|no other|may not|must not|no one|nobody)\b"
)
_NEXT = re.compile(
    rf"(?i)(?:,\s*(?:and|but|or)?|\b(?:and|but))\s+"
    rf"(?=(?:you |it |they |we |the agent )?{_WORDS_OF_ORDER})"
)
_LEAD = re.compile(r"(?i)(?:after|once|as soon as|having)\b")
_CLAUSES = 200
_CLAUSE_CHARS = 1000
_DENY = re.compile(
    r"(?i)\b(?:deny|denies|denied|forbid|forbids|forbidden|block|blocks|blocked|never|prohibit|"
    r"prohibited|disallow|disallowed|must not|may not|should not|shall not|mustn't|don't|do not|"
    r"no one may|cannot|can't|can not|not allowed|not permitted|refuse|reject|no|nothing|nobody|"
    r"without)\b"
)
_ALLOW = re.compile(
    r"(?i)(?<!not )\b(?:allow|allows|allowed|permit|permits|permitted|may|can|let|ok)\b(?! not)"
)
_PASSIVE = (
    r"(?: (?:approved|confirmed|forbidden|denied|blocked|refused|rejected|allowed|permitted|"
    r"prohibited))"
)
_ONLY = re.compile(
    r"(?i)\b(?:only|solely|exclusively|nobody but|nothing but|"
    rf"(?:must|has to|have to) be(?!{_PASSIVE})|limit(?:ed)? to|restrict(?:ed)? to|"
    r"must (?:end|start|begin|contain|stay))\b"
)
_EXCEPT = re.compile(r"(?i)\b(?:except|unless|other than|outside|but not|besides|apart from)\b")
_SOFT = re.compile(
    r"(?i)\b(?:approval|approve|approved|confirm|confirmation|confirmed|ask first)\b"
)
_BOUND = re.compile(r"(?i)\bno (?:more|less|fewer|greater|larger|higher|lower) than\b")
_CONDITIONAL = re.compile(r"\d|\"[^\"\n]+\"|@")
_WORD = re.compile(r"[^\W_]+")
_TOKEN = re.compile(r"[\w.]+")
_CAMEL = re.compile(r"([a-z0-9])([A-Z])")
_IDENTIFIER = re.compile(r"`([^`\n]{1,200})`|\b([a-z][a-z0-9]*(?:_[a-z0-9]+)+)\b")
_VERBS = (
    "get set send read write list make do call use run show find search create delete remove add "
    "update put post fetch open close start stop the to a an of for with and or in on by"
)
_SAME = {"mail": "email", "mails": "email", "emails": "email", "mailing": "email"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One thing the description says, in its own words."""

    text: str
    denies: bool
    allows: bool
    only: bool
    excepts: bool
    soft: bool
    """Somebody may approve the call."""

    @property
    def excludes(self) -> bool:
        """Whether values that fit are the bad ones; otherwise they are the only good ones."""
        if self.only:
            return False
        return (self.denies or self.soft) != self.excepts and (
            self.denies or self.allows or self.soft
        )

    @property
    def conditional(self) -> bool:
        """Whether it seems to speak of values."""
        return _CONDITIONAL.search(self.text) is not None


def clauses(description: str) -> list[Clause]:
    """The clauses in order; lines that are no description (code, CALL lines) are left out."""
    found = []
    for match in _SENTENCE.finditer(description):
        sentence = _BULLET.sub("", match.group().strip())
        if not sentence or sentence.startswith(("CALL ", "def ", "```")):
            continue
        for piece in _pieces(sentence):
            shown = "".join(char if char.isprintable() else " " for char in piece)
            text = " ".join(shown.split()).strip(" ,")
            if any(char.isalnum() for char in text):
                found.append(_clause(text[:_CLAUSE_CHARS]))
        if len(found) >= _CLAUSES:
            break
    return found


def _pieces(sentence: str) -> list[str]:
    """Cut where a new order begins, but not between "after ..." and its order."""
    cuts = [(match.start(), match.end()) for match in _NEXT.finditer(sentence)]
    pieces, begin = [], 0
    for end, following in cuts:
        if _LEAD.match(sentence[begin:end].lstrip()):
            continue
        pieces.append(sentence[begin:end])
        begin = following
    return [*pieces, sentence[begin:]]


def _clause(text: str) -> Clause:
    orders = _BOUND.sub("", text)
    excepts = _EXCEPT.search(orders) is not None
    only = _ONLY.search(orders) is not None
    denies = _DENY.search(_ONLY.sub("", orders)) is not None
    return Clause(
        text=text,
        denies=denies,
        allows=_ALLOW.search(orders) is not None,
        only=only and not excepts,
        excepts=excepts,
        soft=_SOFT.search(orders) is not None,
    )


def meant(text: str, tools: Sequence[Tool]) -> list[Tool]:
    """The tools a text is about.

    By name; else those all of whose words it has; else those that share most of their
    nouns with it. With no tool known at all, names in backticks or with underscores are tools.
    """
    if not tools:
        names = [first or second for first, second in _IDENTIFIER.findall(text)]
        return [Tool(name, "", ()) for name in dict.fromkeys(names)]
    lowered = text.lower()
    tokens = {token.strip(".") for token in _TOKEN.findall(lowered)}
    named = [tool for tool in tools if _is_named(tool.name.lower(), lowered, tokens)]
    if named:
        return named
    said = stems(text)
    whole = [tool for tool in tools if stems(tool.name) and stems(tool.name) <= said]
    if whole:
        return whole
    verbs = stems(_VERBS)
    shared = {tool.name: len((stems(tool.name) - verbs) & said) for tool in tools}
    most = max(shared.values())
    return [tool for tool in tools if most and shared[tool.name] == most]


def _is_named(name: str, lowered: str, tokens: set[str]) -> bool:
    return name in tokens or (_TOKEN.fullmatch(name) is None and name in lowered)


@lru_cache(maxsize=8192)
def stems(text: str) -> frozenset[str]:
    """Words without their endings, so that "reading pages" has the words of `read_page`."""
    spaced = _CAMEL.sub(r"\1 \2", text).replace("_", " ").lower().replace("e-mail", "email")
    return frozenset(_stem(_SAME.get(word, word)) for word in _WORD.findall(spaced))


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        stem = word[: -len(ending)]
        if word.endswith(ending) and len(stem) >= 3:
            word = stem
            break
    if len(word) > 4 and word[-1] == word[-2]:
        word = word[:-1]
    return word.rstrip("e") if len(word) > 3 else word
