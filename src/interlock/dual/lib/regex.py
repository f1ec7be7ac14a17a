"""Module `re` on RE2: linear in the text, whatever the pattern.

Patterns are kept as their text and flags; what RE2 makes of them is cached here, bounded, and
never stored. Every match found is charged for the text that may have been looked at for it.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import re2

from interlock.dual.errors import Raise
from interlock.dual.lib.access import (
    Args,
    Kwargs,
    bind,
    fail,
    index_of,
    integer,
    joined,
    list_of,
    optional,
    room,
    work_on,
)
from interlock.dual.lib.pattern_syntax import PatternSyntaxError, Rewritten, rewrite
from interlock.dual.lib.regex_template import Template, TemplateError, parse_template
from interlock.dual.marks import Mark
from interlock.dual.native import Env, Native
from interlock.dual.ops.types import enum_data, shown_type
from interlock.dual.values import (
    NONE,
    DictObj,
    IterObj,
    MatchObj,
    PatternObj,
    TupleObj,
    Value,
)

__all__ = ["FLAGS", "NATIVES"]

FLAGS = {
    "re.A": 256,
    "re.ASCII": 256,
    "re.DOTALL": 16,
    "re.I": 2,
    "re.IGNORECASE": 2,
    "re.M": 8,
    "re.MULTILINE": 8,
    "re.NOFLAG": 0,
    "re.S": 16,
    "re.U": 32,
    "re.UNICODE": 32,
    "re.VERBOSE": 64,
    "re.X": 64,
}

_MAX_PATTERN_CHARS = 4_000
_MAX_PROGRAM = 20_000
_MAX_MEMORY_BYTES = 4 << 20
_CHARS_PER_STEP = 2048
_NULL = (-1, -1)

Spans = tuple[tuple[int, int], ...]


@lru_cache(maxsize=64)
def _compiled(pattern: str, flags: int) -> tuple[Any, Rewritten]:
    """The RE2 program of a pattern.

    Raises:
        PatternSyntaxError: bad or unsupported syntax, or too large.
    """
    if len(pattern) > _MAX_PATTERN_CHARS:
        message = f"not supported here: patterns longer than {_MAX_PATTERN_CHARS} characters"
        raise PatternSyntaxError(message)
    rewritten = rewrite(pattern, flags)
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY_BYTES
    options.case_sensitive = not rewritten.flags & FLAGS["re.I"]
    try:
        program = re2.compile(rewritten.text, options)
    except (re2.error, UnicodeEncodeError) as error:
        raise PatternSyntaxError(f"not supported here: {_reason(error)}") from None
    if program.programsize > _MAX_PROGRAM:
        raise PatternSyntaxError("not supported here: a pattern this large")
    return program, rewritten


def _reason(error: Exception) -> str:
    raw = error.args[0] if error.args else b""
    return raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)


def _pattern(value: Value, flags: Value | None = None) -> PatternObj:
    """The pattern given as text or compiled.

    Raises:
        Raise: PatternError (`re.error`), TypeError.
    """
    data = enum_data(value.data)
    given = 0 if flags is None else index_of(flags)
    if isinstance(data, PatternObj):
        if given:
            fail("ValueError", "cannot process flags argument with a compiled pattern")
        return data
    if isinstance(data, bytes):
        fail("PatternError", "not supported here: patterns of bytes")
    if not isinstance(data, str):
        fail("TypeError", "first argument must be string or compiled pattern")
    try:
        _, rewritten = _compiled(data, given)
    except PatternSyntaxError as error:
        raise Raise("PatternError", str(error)) from None
    return PatternObj(data, rewritten.flags)


def _text(value: Value) -> str:
    data = enum_data(value.data)
    if isinstance(data, bytes):
        fail("TypeError", "cannot use a string pattern on a bytes-like object")
    if not isinstance(data, str):
        fail("TypeError", f"expected string or bytes-like object, got '{shown_type(data)}'")
    return data


class _Search:
    """One pattern on one text, between two positions."""

    def __init__(
        self, env: Env, pattern: PatternObj, text: str, start: int = 0, end: int | None = None
    ) -> None:
        self.env = env
        self.pattern = pattern
        self.text = text
        stop = len(text) if end is None else max(0, min(end, len(text)))
        self.end = stop
        self.start = max(0, min(start, len(text)))
        try:
            self.program, rewritten = _compiled(pattern.pattern, pattern.flags)
            text.encode("utf-8") if not text.isascii() else None
        except PatternSyntaxError as error:
            raise Raise("PatternError", str(error)) from None
        except UnicodeEncodeError:
            message = "not supported here: text with lone surrogates"
            raise Raise("PatternError", message) from None
        self.searched = text if stop == len(text) else text[:stop]
        """To RE2 a text ends where the search does."""
        self.retries_before_newline = rewritten.ends_at_newline and self.searched.endswith("\n")
        env.meter.memory(2 * len(text) if len(text) > 256 else 0)
        self.charge(self.start)

    def charge(self, position: int) -> None:
        """Charges what is looked at for one match from a position on."""
        self.env.meter.work(1 + (self.end - position) // _CHARS_PER_STEP)

    def once(self, method: str) -> Spans | None:
        """`search`, `match` or `fullmatch`."""
        if self.start > self.end:
            return None
        find = getattr(self.program, method)
        found = self._spans(find(self.searched, self.start))
        if self.retries_before_newline:
            # A `$` also matches before a newline at the very end.
            shorter = self.searched[:-1]
            again = find(shorter, self.start) if self.start <= len(shorter) else None
            other = self._spans(again) if method != "fullmatch" else None
            if other is not None and (found is None or other[0] < found[0]):
                return other
        return found

    def _spans(self, match: Any) -> Spans | None:  # noqa: ANN401 - of the library
        if match is None:
            return None
        return tuple(match.span(group) for group in range(self.program.groups + 1))

    def all(self, limit: int = 0) -> Iterator[Spans]:
        """All matches from left to right without overlaps; the first `limit` unless 0."""
        for count, spans in enumerate(self._all(), 1):
            self.charge(max(spans[0][1], 0))
            yield spans
            if count == limit:
                return

    def _all(self) -> Iterator[Spans]:
        if self.start > self.end:
            return
        if self.retries_before_newline:
            yield from self._step_by_step()
            return
        for match in self.program.finditer(self.searched, self.start):
            spans = self._spans(match)
            if spans is not None:
                yield spans

    def _step_by_step(self) -> Iterator[Spans]:
        while self.start <= self.end:
            spans = self.once("search")
            if spans is None:
                break
            yield spans
            low, high = spans[0]
            self.start = high if low != high else high + 1

    def match(self, spans: Spans) -> MatchObj:
        """The match as a value of the program."""
        return MatchObj(self.text, spans, dict(self.program.groupindex), self.pattern)


def _finding(method: str, doc: str) -> tuple[Native, Native]:
    """`re.METHOD(pattern, string, flags)` and `Pattern.METHOD(string, pos, endpos)`."""

    def of_module(env: Env, args: Args, kwargs: Kwargs) -> Value:
        pattern, string, flags = bind(
            method, args, kwargs, ("pattern", "string", "flags"), required=2
        )
        search = _Search(env, _pattern(optional(pattern), flags), _text(optional(string)))
        return _found(search, method)

    def of_pattern(env: Env, args: Args, kwargs: Kwargs) -> Value:
        return _found(_bounded(env, method, args, kwargs), method)

    of_module.__doc__ = of_pattern.__doc__ = doc
    return Native(fn=of_module), Native(fn=of_pattern)


def _found(search: _Search, method: str) -> Value:
    spans = search.once(method)
    return NONE if spans is None else Value(search.match(spans))


def _bounded(env: Env, method: str, args: Args, kwargs: Kwargs) -> _Search:
    string, pos, endpos = bind(method, args[1:], kwargs, ("string", "pos", "endpos"), required=1)
    start = integer(pos, 0)
    end = None if endpos is None else index_of(endpos)
    return _Search(env, _pattern(args[0]), _text(optional(string)), start, end)


def _listing(
    method: str, of: Callable[[Env, _Search, Mark], Value], doc: str
) -> tuple[Native, Native]:
    def of_module(env: Env, args: Args, kwargs: Kwargs) -> Value:
        pattern, string, flags = bind(
            method, args, kwargs, ("pattern", "string", "flags"), required=2
        )
        search = _Search(env, _pattern(optional(pattern), flags), _text(optional(string)))
        return of(env, search, joined(env, (*args, *kwargs.values())))

    def of_pattern(env: Env, args: Args, kwargs: Kwargs) -> Value:
        search = _bounded(env, method, args, kwargs)
        return of(env, search, joined(env, (*args, *kwargs.values())))

    of_module.__doc__ = of_pattern.__doc__ = doc
    return Native(fn=of_module, marks="own"), Native(fn=of_pattern, marks="own")


def _find_all(env: Env, search: _Search, mark: Mark) -> Value:
    found: list[Value] = []
    groups = search.program.groups
    for spans in search.all():
        texts = [search.text[low:high] if low >= 0 else "" for low, high in spans]
        env.meter.elements(1 + groups)
        env.meter.memory(sum(map(len, texts)))
        if groups > 1:
            parts = TupleObj(tuple(Value(text, mark) for text in texts[1:]))
            found.append(Value(parts, mark))
        else:
            found.append(Value(texts[-1], mark))
    return list_of(env, found, mark)


def _find_iter(env: Env, search: _Search, mark: Mark) -> Value:
    found: list[Value] = []
    for spans in search.all():
        env.meter.elements(2 + len(spans))
        found.append(Value(search.match(spans), mark))
    made = list_of(env, found, mark)
    return iterator_over(made)


def iterator_over(elements: Value) -> Value:
    """An iterator over a list nobody else has."""
    from_list = IterObj("list_iterator", [elements])
    return Value(from_list, elements.mark)


def _split(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The parts of a text between matches, and the groups of these."""
    pattern, string, most, flags = bind(
        "split", args, kwargs, ("pattern", "string", "maxsplit", "flags"), required=2
    )
    search = _Search(env, _pattern(optional(pattern), flags), _text(optional(string)))
    limit = integer(most, 0)
    mark = joined(env, (*args, *kwargs.values()))
    parts: list[Value] = []
    last = 0
    for spans in search.all(limit) if limit >= 0 else ():
        low, high = spans[0]
        env.meter.elements(len(spans))
        env.meter.memory(high - last)
        parts.append(Value(search.text[last:low], mark))
        parts.extend(Value(search.text[a:b] if a >= 0 else None, mark) for a, b in spans[1:])
        last = high
    parts.append(Value(search.text[last:], mark))
    return list_of(env, parts, mark)


def _sub(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A text with matches replaced by a template, everywhere or the first `count` times."""
    return Value(_replaced(env, "sub", args, kwargs)[0])


def _subn(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The text `sub` gives, and how many matches were replaced."""
    text, count = _replaced(env, "subn", args, kwargs)
    return Value(TupleObj((Value(text), Value(count))))


def _replaced(env: Env, method: str, args: Args, kwargs: Kwargs) -> tuple[str, int]:
    names = ("pattern", "repl", "string", "count", "flags")
    pattern, repl, string, count, flags = bind(method, args, kwargs, names, required=3)
    search = _Search(env, _pattern(optional(pattern), flags), _text(optional(string)))
    replacement = enum_data(optional(repl).data)
    if not isinstance(replacement, str):
        fail("TypeError", f"expected str instance, {shown_type(replacement)} found")
    template = _template(search, replacement)
    limit = integer(count, 0)
    parts: list[str] = []
    last = times = 0
    for spans in search.all(limit) if limit >= 0 else ():
        low, high = spans[0]
        env.meter.work(len(template.parts) >> 3)
        piece = template.expand(search.text, spans)
        room(env, low - last + len(piece) + 64, piece, search.text)
        parts += (search.text[last:low], piece)
        last, times = high, times + 1
    parts.append(search.text[last:])
    room(env, len(search.text), search.text)
    return "".join(parts), times


def _template(search: _Search, text: str) -> Template:
    try:
        return parse_template(text, search.program.groups, search.program.groupindex)
    except TemplateError as error:
        raise Raise(error.type_name, str(error)) from None


def _compile(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A compiled pattern."""
    pattern, flags = bind("compile", args, kwargs, ("pattern", "flags"), required=1)
    return Value(_pattern(optional(pattern), flags))


def _escape(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A pattern that matches exactly this text."""
    (pattern,) = bind("escape", args, kwargs, ("pattern",), required=1)
    text = _text(optional(pattern))
    room(env, 2 * len(text), text)
    work_on(env, len(text), 512)
    return Value(text.translate(_ESCAPES))


_ESCAPES = {ord(char): "\\" + char for char in "()[]{}?*+-|^$\\.&~# \t\n\r\v\f"}


def _pattern_part(of: Callable[[PatternObj], Value], doc: str) -> Native:
    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        return of(_pattern(args[0]))

    native.__doc__ = doc
    return Native(fn=native, is_property=True)


def _group_names(pattern: PatternObj) -> Value:
    program, _ = _compiled(pattern.pattern, pattern.flags)
    names = program.groupindex
    return Value(DictObj({name: (Value(name), Value(n)) for name, n in names.items()}))


def _with_pattern_first(function: Callable[..., Value]) -> Callable[..., Value]:
    """A function of the module as a method of `Pattern`, which takes no flags."""

    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        if not args or not isinstance(args[0].data, PatternObj) or "flags" in kwargs:
            fail("TypeError", "method of 're.Pattern' objects takes no flags")
        return function(env, args, kwargs)

    native.__doc__ = function.__doc__
    return native


_SEARCHES = {
    "fullmatch": _finding("fullmatch", "The match of a whole text, or None."),
    "match": _finding("match", "The match at the beginning of a text, or None."),
    "search": _finding("search", "The first match in a text, or None."),
    "findall": _listing("findall", _find_all, "All matches: their texts, or their groups."),
    "finditer": _listing("finditer", _find_iter, "All matches, as match objects."),
}

NATIVES: dict[str, Native] = {
    **{f"re.{name}": pair[0] for name, pair in _SEARCHES.items()},
    **{f"re.Pattern.{name}": pair[1] for name, pair in _SEARCHES.items()},
    "re.Pattern.flags": _pattern_part(lambda p: Value(p.flags), "The flags, as a number."),
    "re.Pattern.groupindex": _pattern_part(_group_names, "The numbers of named groups."),
    "re.Pattern.groups": _pattern_part(
        lambda p: Value(_compiled(p.pattern, p.flags)[0].groups), "How many groups it has."
    ),
    "re.Pattern.pattern": _pattern_part(lambda p: Value(p.pattern), "Its text."),
    "re.Pattern.split": Native(fn=_with_pattern_first(_split), marks="own"),
    "re.Pattern.sub": Native(fn=_with_pattern_first(_sub)),
    "re.Pattern.subn": Native(fn=_with_pattern_first(_subn)),
    "_re_finditer": _SEARCHES["finditer"][0],
    "re.compile": Native(fn=_compile),
    "re.escape": Native(fn=_escape),
    "re.split": Native(fn=_split, marks="own"),
    "re.sub": Native(fn=_sub),
    "re.subn": Native(fn=_subn),
}
