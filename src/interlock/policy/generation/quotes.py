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
    parts = sentences(description)
    said = _plain(description)
    declarations: list[n.Declaration] = []
    for item in program.declarations:
        if isinstance(item, n.ToolDecl):
            members = tuple(_member(item, member, parts, said) for member in item.members)
            declarations.append(replace(item, members=members, doc=None))
        elif isinstance(item, n.Shorthand):
            declarations.append(replace(item, doc=_doc(item, item, item.doc, parts, said)))
        else:
            declarations.append(item)
    return n.Program(tuple(declarations))


def _member(tool: n.ToolDecl, member: n.Member, parts: Sequence[str], said: str) -> n.Member:
    if isinstance(member, n.Priority):
        return member
    doc = member.doc
    if not _is_quote(doc, said) and _is_quote(tool.doc, said):
        doc = tool.doc
    return replace(member, doc=_doc(tool, member, doc, parts, said))


def _doc(
    declaration: n.ToolDecl | n.Shorthand,
    rule: n.Node,
    doc: str | None,
    parts: Sequence[str],
    said: str,
) -> str:
    if doc is not None and _is_quote(doc, said):
        return " ".join(doc.split())
    comment = _words([doc or ""])
    about = _words(_texts(rule)) | _words([declaration.id.text])
    if isinstance(rule, n.CheckRule):
        about |= _DENIAL if rule.outcome == "deny" else _PERMISSION

    def shared(part: str) -> int:
        words = _words([part])
        return 2 * len(words & comment) + len(words & about)

    best = max(parts, key=shared, default="")
    return best if len(best) <= _QUOTE_CHARS else f"{best[:_QUOTE_CHARS].rstrip()} ..."


def _is_quote(doc: str | None, said: str) -> bool:
    plain = _plain(doc or "")
    return bool(plain) and f" {plain} " in f" {said} "


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
