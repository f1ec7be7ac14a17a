"""Every rule says which part of the description it implements, in the description's own words.

A comment of the writer is kept when it is such a quotation. Otherwise the rule gets the
sentence it shares most words with.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from interlock.policy.syntax import nodes as n
from interlock.policy.syntax.walk import walk

__all__ = ["sentences", "with_quotes"]

_END = re.compile(r"(?<=[.!?;])\s+|\n")
_BULLET = re.compile(r"^(?:[-*\u2022]|\d{1,3}[.)])\s+")
_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"([a-z])([A-Z])")
_QUOTE_CHARS = 300
_COMPARISONS = 300_000
"""Of a rule with a sentence, per policy: beyond that only the first sentences are quoted."""
_DENIAL = frozenset({"never", "forbid", "deny", "not", "no", "block", "only", "must", "don", "t"})
_PERMISSION = frozenset({"allow", "permit", "may", "can", "only"})


def sentences(description: str) -> list[str]:
    """The sentences and lines of a description, white space made single."""
    found = []
    for piece in _END.split(description):
        shown = "".join(char if char.isprintable() else " " for char in piece)
        text = _BULLET.sub("", " ".join(shown.split()))
        if any(char.isalnum() for char in text):
            found.append(text)
    return found


def with_quotes(program: n.Program, description: str) -> n.Program:
    """The program with a quotation before every rule and every update of labels."""
    return n.Program(_Quoter(program, description).declarations(program))


class _Quoter:
    """A description, ready to be quoted from."""

    def __init__(self, program: n.Program, description: str) -> None:
        rules = sum(
            len(item.members) if isinstance(item, n.ToolDecl) else 1
            for item in program.declarations
        )
        parts = sentences(description)[: max(1, _COMPARISONS // max(1, rules))]
        self._parts = [(part, _words([part])) for part in parts]
        self._said = f" {_plain(description)} "

    def declarations(self, program: n.Program) -> tuple[n.Declaration, ...]:
        found: list[n.Declaration] = []
        for item in program.declarations:
            if isinstance(item, n.ToolDecl):
                members = tuple(self._member(item, member) for member in item.members)
                found.append(replace(item, members=members, doc=None))
            elif isinstance(item, n.Shorthand):
                found.append(replace(item, doc=self._doc(item, item, item.doc)))
            else:
                found.append(item)
        return tuple(found)

    def _member(self, tool: n.ToolDecl, member: n.Member) -> n.Member:
        if isinstance(member, n.Priority):
            return member
        doc = member.doc
        if not self._is_quote(doc) and self._is_quote(tool.doc):
            doc = tool.doc
        return replace(member, doc=self._doc(tool, member, doc))

    def _doc(self, declaration: n.ToolDecl | n.Shorthand, rule: n.Node, doc: str | None) -> str:
        if doc is not None and self._is_quote(doc):
            return " ".join(doc.split())
        comment = _words([doc or ""])
        about = _words(_texts(rule)) | _words([declaration.id.text])
        if isinstance(rule, n.CheckRule):
            about |= _DENIAL if rule.outcome == "deny" else _PERMISSION

        def shared(part: tuple[str, set[str]]) -> int:
            return 2 * len(part[1] & comment) + len(part[1] & about)

        best, _ = max(self._parts, key=shared, default=("", None))
        return best if len(best) <= _QUOTE_CHARS else f"{best[:_QUOTE_CHARS].rstrip()} ..."

    def _is_quote(self, doc: str | None) -> bool:
        plain = _plain(doc or "")
        return bool(plain) and f" {plain} " in self._said


def _plain(text: str) -> str:
    """Words alone, so that neither case nor punctuation matters."""
    return " ".join(_WORD.findall(text.casefold()))


def _words(texts: Sequence[str]) -> set[str]:
    return {
        word
        for text in texts
        for word in _WORD.findall(_CAMEL.sub(r"\1 \2", text).casefold())
        if len(word) > 1 or word.isdigit()
    }


def _texts(node: n.Node) -> list[str]:
    return [text for part in walk(node) for text in _own_texts(part)]


def _own_texts(node: n.Node) -> Iterator[str]:
    match node:
        case (
            n.StringElement(text)
            | n.RegexElement(text)
            | n.WildcardElement(text)
            | n.StrDomain(_, text, _)
        ):
            yield text
        case n.NumberElement(value) | n.Literal_(_, value):
            yield str(value)
        case n.Range(low, high):
            yield from (str(bound) for bound in (low, high) if bound is not None)
        case n.ValueOf("argument", name) | n.Target("argument", _, name):
            yield name
        case n.Meta("argument", _, name):
            yield name
        case n.PredicateRef(name) | n.SetRef(name):
            yield name
