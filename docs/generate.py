"""Writes the generated part of the reference: settings, commands, metrics, errors.

Everything here is read from the code it describes, so that the reference cannot drift:
`make docs` writes the pages, a test compares them. Prose belongs in the docstrings.
"""

import ast
import dataclasses
import inspect
import pkgutil
import tempfile
import types
from collections.abc import Iterator, Mapping
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

import interlock
from interlock.app import build
from interlock.app_settings import SECTIONS, AppSettings, BootstrapSettings, variables
from interlock.cli.lazy import LazyGroup
from interlock.cli.main import app as command_line
from interlock.dual.limits import Limits
from interlock.dual.native import Member
from interlock.dual.offered import BUILTINS, MODULES, NATIVES
from interlock.dual.ops.types import EXCEPTIONS
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.providers.catalog import BUILT_IN, DEFAULTS, KINDS
from interlock.providers.settings import (
    BreakerSettings,
    DeploymentSettings,
    KeySettings,
    PriceSettings,
    ProviderSettings,
    RetrySettings,
    TimeoutSettings,
    UpstreamSettings,
)
from interlock.surfaces.control.hot import status_of

__all__ = ["REFERENCE", "pages"]

REFERENCE = Path(__file__).parent / "reference"
_SOURCE = Path(interlock.__file__).parent
_Node = Any
"""A command or a parameter of one: typer brings a command library without public types."""
_NOTE = "<!-- Written by `make docs` from the code; do not edit. -->\n"


def pages() -> dict[str, str]:
    """The text of every generated page by file name."""
    return {
        "settings.md": _settings(),
        "cli.md": _commands(),
        "metrics.md": _metrics(),
        "errors.md": _errors(),
        "programs.md": _programs(),
    }


def main() -> None:
    """Writes the pages."""
    REFERENCE.mkdir(exist_ok=True)
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")


# programs


_PROGRAMS = """\
A plan is a program in a subset of Python. It is compiled to bytecode of its own and interpreted:
nothing of it is ever run by Python itself, and no object of the server can be reached from it.
Every value carries labels (who made it, who may have it, what it is); whatever is made from
values carries the labels of all of them.

## Tools

Each tool is a function with the tool's name; `-`, `.` and `/` become `_`. Arguments are given by
keyword, or by position in the order of the schema's `properties`. A missing or unknown argument
is a `TypeError` in the program and is not sent out. A tool that fails raises an exception the
program may catch; a call the policy denies ends the program, whatever it would catch.

The answer is `final_return_value` after the last statement, else the value of the last statement
that is an expression, else `None`.

```python
orders = [{"id": 7, "total": 12.5}, {"id": 9, "total": 80.0}]
large = sorted((o for o in orders if o["total"] > 10), key=lambda o: -o["total"])
final_return_value = [f"#{o['id']}: {o['total']:.2f}" for o in large]
# -> ["#9: 80.00", "#7: 12.50"]
```

## Statements

Assignment (several targets, unpacking, augmented, annotated, to items, slices and fields), `del`,
`if`, `for` and `while` with `else`, `break`, `continue`, `pass`, `try` with `except`, `else` and
`finally`, `raise`, `assert`, `match`, `def` with `return`, `global`, `nonlocal`, `import` of the
modules below.

`class` declares data: a pydantic model, an enum, a dataclass, an exception. It has fields and
members, no methods. The only decorator is `@dataclass`.

Not there: `with`, `async`, `await`, generator functions (`yield`), other decorators, `import *`,
`eval` and its kin, and every name that begins with two underscores. A program that uses them is
refused before it runs, with the line.

```python
from enum import Enum

class Size(str, Enum):
    SMALL = "small"
    LARGE = "large"

def classify(amount):
    return Size.LARGE if amount > 10 else Size.SMALL

found = {}
for amount in [3, 30, 300]:
    found.setdefault(classify(amount).value, []).append(amount)
final_return_value = found
# -> {"small": [3], "large": [30, 300]}
```

## Expressions

All literals, f-strings with format specs, displays, comprehensions, generator expressions,
`lambda`, all operators but `@`, chained comparisons, conditional expressions, `:=`, slices,
calls with `*` and `**`, attributes of data. There are no complex numbers.

```python
import json, re

text = "Invoice 2024-117: EUR 99.50, due 2024-06-01"
match = re.search(r"(?P<currency>[A-Z]{3}) (?P<amount>[0-9.]+)", text)
final_return_value = json.dumps({"amount": float(match["amount"]), "in": match.group("currency")})
# -> '{"amount": 99.5, "in": "EUR"}'
```

## Labels

A number, text or date is one value with one label. Lists, tuples, dicts and sets keep the labels
of each element; the label of the whole joins them all, and an element that is taken out joins
its own, the container's and the index's. What orders or selects elements (`sorted`, `max`,
`remove`, `filter`) labels the outcome with all it compared. Functions that only move elements
(`zip`, `enumerate`, `reversed`, `list`, `dict.items`, `append`, `extend`, `update`) keep them
apart. What `json.loads`, `split` or `re` make of a text has the text's label throughout.

## Differences from Python

- Time stands still: `datetime.now()` and `date.today()` are the instant of the request, in UTC.
  Naive values read as UTC wherever an instant is needed.
- `random` is seeded per run and goes on where it was after a restart; its sequences are not those
  of Python. A seed must not derive from labelled data.
- Regular expressions run on RE2, in time linear in the text. Look-around, back-references,
  conditional, atomic and possessive groups, and counts above 1000 raise `re.error` and say so.
  `\\b` and `\\B` know ASCII letters only. Where one position has an empty and a longer match,
  `findall`, `split` and `sub` may find only the empty one.
- `strptime` takes each directive once; `encode` and `decode` know UTF-8, UTF-16, UTF-32, ASCII,
  Latin-1 and CP1252.
- `print` writes to a bounded list for the operator.
- `repr` of functions and iterators has no address.
- `str.format` reaches items (`{0[key]}`), fields of the program's own records and parts of dates
  (`{0.year}`), nothing else.
- `map`, `filter` and most of `itertools` are generators; `finditer` and `tee` work ahead.
- Sets keep insertion order. `hash`, `id`, `vars`, `dir` and `super` do not exist.

## Limits

A program that reaches a limit ends; it cannot catch that. Sizes are checked before anything is
built.

| limit | default | |
|---|---|---|
"""


def _programs() -> str:
    lines = ["# Programs", _NOTE, _PROGRAMS.rstrip()]
    notes = _field_docs(Limits)
    for one in dataclasses.fields(Limits):
        about = notes.get(one.name, "")
        lines.append(_cells(f"`{one.name}`", f"{one.default:,}", about))
    lines += ["", "## Built-ins", "", "| | |", "|---|---|"]
    plain = {name: one for name, one in BUILTINS.items() if name not in EXCEPTIONS}
    lines += [_cells(f"`{name}`", _native_note(one)) for name, one in sorted(plain.items())]
    names = sorted(name for name in BUILTINS if name in EXCEPTIONS)
    lines += ["", "Exceptions: " + ", ".join(f"`{name}`" for name in names) + "."]
    lines += ["", "## Methods"]
    for kind in _TYPES_WITH_METHODS:
        lines += ["", f"### `{kind}`", "", "| | |", "|---|---|", *_methods(kind)]
    lines += ["", "## Modules"]
    for module, members in sorted(MODULES.items()):
        lines += ["", f"### `{module}`", "", "| | |", "|---|---|"]
        lines += [_cells(f"`{name}`", _native_note(one)) for name, one in sorted(members.items())]
    return "\n".join(lines) + "\n"


_TYPES_WITH_METHODS = (
    "str",
    "bytes",
    "int",
    "float",
    "list",
    "tuple",
    "range",
    "dict",
    "set",
    "frozenset",
    "collections.Counter",
    "collections.OrderedDict",
    "collections.defaultdict",
    "collections.deque",
    "datetime.date",
    "datetime.datetime",
    "datetime.time",
    "datetime.timedelta",
    "datetime.timezone",
    "re.Pattern",
    "re.Match",
    "pydantic.BaseModel",
    "collections.namedtuple",
)


def _methods(kind: str) -> Iterator[str]:
    own = {name for name in NATIVES if name.startswith(f"{kind}.")}
    if kind.startswith("collections.") and kind != "collections.deque":
        own = {name for name in own if f"dict.{name.rpartition('.')[2]}" not in NATIVES}
    if kind in ("collections.Counter", "collections.OrderedDict", "collections.defaultdict"):
        yield _cells("", "All methods of `dict`.")
    for name in sorted(own):
        if (last := name.rpartition(".")[2]).isidentifier():
            yield _cells(f"`{last}`", _first_line(inspect.getdoc(NATIVES[name].fn)))


def _native_note(member: Member) -> str:
    if member.kind == "marker":
        return "For annotations."
    if member.kind == "prelude":
        return _prelude_notes()[member.name]
    if native := NATIVES.get(member.name):
        return _first_line(inspect.getdoc(native.fn))
    if member.name in EXCEPTIONS:
        return f"An exception, a kind of `{EXCEPTIONS[member.name]}`."
    return "A type."


def _prelude_notes() -> dict[str, str]:
    """What the functions of the prelude do, by name."""
    found: dict[str, str] = {}
    for path in sorted((_SOURCE / "dual/prelude").glob("[!_]*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                found[node.name] = _first_line(ast.get_docstring(node))
    return found


def _first_line(text: str | None) -> str:
    return (text or "").partition("\n\n")[0].replace("\n", " ")


# settings


_PARTS: Mapping[str, tuple[type[BaseModel], str]] = {
    "providers.NAME": (
        ProviderSettings,
        "One upstream; `NAME` is what paths and aliases call it.",
    ),
    "providers.NAME.api_keys[]": (KeySettings, "`[[providers.NAME.api_keys]]`, once per key."),
    "providers.NAME.timeouts": (TimeoutSettings, "All in seconds."),
    "providers.NAME.retries": (RetrySettings, "Further attempts after a failure."),
    "providers.NAME.breaker": (BreakerSettings, "When a deployment is left alone for a while."),
    'providers.NAME.prices."MODEL"': (PriceSettings, "US dollars per million tokens."),
    "aliases.MODEL[]": (
        DeploymentSettings,
        "What a model name of your own stands for: one deployment, a list of them (each the "
        "stand-in of the one before), or a list of lists (the members of one list share the "
        "load by weight).",
    ),
}


def _settings() -> str:
    lines = [
        "# Settings",
        _NOTE,
        "Sources, later ones win: defaults, one TOML file, environment variables, options of the",
        "command. The file is `interlock.toml` in the data directory unless `--config` or",
        "`INTERLOCK_CONFIG` names another. `${NAME}` in a text of the file is replaced from the",
        "environment. An unknown key or variable stops the start, and every mistake is reported",
        "with the place it was written in. `interlock config show` prints what is in effect and",
        "where each value came from.",
        "",
        "Lists in variables are separated by commas. Durations are seconds.",
        "",
        "| key | type | default | variable | |",
        "|---|---|---|---|---|",
        _row("data", AppSettings, AppSettings.model_fields["data"]),
    ]
    for name, model in SECTIONS.items():
        lines += ["", f"## `[{name}]`", "", _intro(model), "", *_table(name, model)]
    lines += [
        "",
        "## First start",
        "",
        "These are credentials and have no place in a file: they are set by variables only.",
        "",
        *_table("bootstrap", BootstrapSettings),
        "",
        "## Upstreams",
        "",
        "Top-level keys of the file; see [how to use them](../howto/providers.md).",
        "",
        *_table("", UpstreamSettings),
    ]
    for path, (model, about) in _PARTS.items():
        lines += ["", f"### `{path}`", "", about, "", *_table(path, model)]
    return "\n".join([*lines, "", *_kinds()]) + "\n"


def _kinds() -> Iterator[str]:
    yield "### Kinds of upstream"
    yield ""
    yield "| kind | address unless set | formats spoken | key travels in | key is also read from |"
    yield "|---|---|---|---|---|"
    for kind, row in KINDS.items():
        address = "in process" if kind == "demo" else row.base_url or "has to be set"
        formats = ", ".join(row.formats)
        header = row.key_header if row.key_required else f"{row.key_header}, if there is one"
        variable = f"`{row.key_variable}`" if row.key_variable else ""
        yield f"| `{kind}` | {address} | {formats} | {header} | {variable} |"
    yield ""
    names = ", ".join(f"`{name}` (kind `{kind}`)" for name, kind in BUILT_IN.items())
    yield f"Providers that exist without any setting: {names}."
    yield ""
    chosen = ", ".join(f"`{suffix}`: `{name}`" for suffix, name in DEFAULTS.items())
    yield f"A path without a provider means, unless `defaults` says otherwise: {chosen}; when that"
    yield "one is not configured, the first configured one, and with none the demo model."


def _table(prefix: str, model: type[BaseModel]) -> Iterator[str]:
    yield "| key | type | default | variable | |"
    yield "|---|---|---|---|---|"
    for name, info in model.model_fields.items():
        yield _row(f"{prefix}.{name}" if prefix else name, model, info)


def _row(key: str, model: type[BaseModel], info: FieldInfo) -> str:
    name = key.rpartition(".")[2]
    about = _field_docs(model).get(name, "")
    # A required field whose text says what its absence means is filled in before the check.
    default = "" if about.startswith("Absent") else _default(info)
    cells = [f"`{key}`", _type(info), default, _variable(key), about]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _variable(key: str) -> str:
    names = [name for name, known in variables().items() if known == key]
    return ", ".join(f"`{name}`" for name in names)


def _type(info: FieldInfo) -> str:
    text = _type_name(info.annotation)
    limits = []
    for item in info.metadata:
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            if (value := getattr(item, name, None)) is not None:
                limits.append(f"{sign} {value:g}" if value < 1e6 else f"{sign} {value}")
    return " ".join([text, *limits])


def _type_name(annotation: object) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(_type_name(arg) for arg in args if arg is not type(None))
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in args)
    if origin is tuple:
        return f"list of {_type_name(args[0])}"
    if origin is dict:
        return f"table of {_type_name(args[1])}"
    if hasattr(annotation, "__metadata__"):
        return _type_name(args[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    known = {bool: "true, false", int: "integer", float: "number", str: "text"}
    known |= {Path: "path", SecretStr: "secret"}
    return known.get(annotation, "text") if isinstance(annotation, type) else "text"


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    if value is None or isinstance(value, BaseModel) or value in ((), {}):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`"


def _field_docs(model: type[BaseModel]) -> dict[str, str]:
    """The string under each field, as one line."""
    (definition,) = ast.parse(inspect.getsource(model)).body
    body = getattr(definition, "body", [])
    found: dict[str, str] = {}
    for before, node in pairwise(body):
        if not isinstance(before, ast.AnnAssign) or not isinstance(before.target, ast.Name):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found[before.target.id] = " ".join(str(node.value.value).split())
    return found


def _intro(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "")


# commands


def _commands() -> str:
    root = typer.main.get_command(command_line)
    if isinstance(root, LazyGroup):
        root.load_all()
    lines = [
        "# Command line",
        _NOTE,
        "`interlock COMMAND --help` shows the same. Commands that read or change what a server",
        "keeps work on its store directly, beside a running server or without one; `--data` or",
        "`INTERLOCK_DATA` says where it is, `interlock-data` in the current directory otherwise.",
        "Exit codes: 0 success, 1 failure or a denied call, 2 wrong usage or settings.",
        "`interlock --version` shows the version.",
    ]
    for path, command in _walk("interlock", root):
        lines += ["", f"## `{path}`", "", *_command(path, command)]
    return "\n".join(lines) + "\n"


def _walk(path: str, command: _Node) -> Iterator[tuple[str, _Node]]:
    """Every command that does something, with its path; groups are only names."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
    for name, child in (children or {}).items():
        yield from _walk(f"{path} {name}", child)


def _command(path: str, command: _Node) -> Iterator[str]:
    arguments = [item for item in command.params if item.param_type_name == "argument"]
    options = [item for item in command.params if item.param_type_name == "option"]
    words = [path, *(_argument_name(item) for item in arguments), "[OPTIONS]"]
    yield f"    {' '.join(words)}"
    yield ""
    yield inspect.cleandoc(command.help or "")
    rows = [*map(_argument, arguments), *filter(None, map(_option, options))]
    if rows:
        yield ""
        yield "| argument or option | default | |"
        yield "|---|---|---|"
        yield from rows


def _argument_name(item: _Node) -> str:
    name = item.metavar or item.name.upper()
    return name if item.required else f"[{name}]"


def _argument(item: _Node) -> str:
    required = "required" if item.required else ""
    return _cells(f"`{item.metavar or item.name.upper()}`", required, item.help or "")


def _option(item: _Node) -> str | None:
    if "--help" in item.opts:
        return None
    names = ", ".join(f"`{name}`" for name in [*item.opts, *item.secondary_opts])
    if not item.is_flag:
        names += f" {item.metavar or _metavar(item.type_descriptor.annotation)}"
    about = item.help or ""
    if item.multiple and "repeatable" not in about:
        about += " Repeatable."
    if item.envvar:
        about += f" Also `{item.envvar}`."
    return _cells(names, _option_default(item), about)


def _metavar(annotation: object) -> str:
    names = {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH"}
    return next((names[kind] for kind in _members(annotation) if kind in names), "VALUE")


def _members(annotation: object) -> Iterator[Any]:
    """A type and the types it is made of."""
    yield annotation
    for inner in get_args(annotation):
        yield from _members(inner)


def _option_default(item: _Node) -> str:
    if item.required:
        return "required"
    if isinstance(item.show_default, str):
        return f"`{item.show_default}`"
    if item.default in (None, False, [], ()):
        return ""
    return "on" if item.default is True else f"`{item.default}`"


def _cells(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


# metrics


def _metrics() -> str:
    with tempfile.TemporaryDirectory() as folder:
        application = build(AppSettings(data=Path(folder)))
        found = application.metrics.catalogue()
    lines = [
        "# Metrics",
        _NOTE,
        "`GET /metrics` answers in the Prometheus text format, without a key; `server.metrics =",
        "false` switches it off. `GET /health` and `GET /control/health` are for load balancers.",
        "A metric has at most 2,000 series: label values beyond that are counted as `other`.",
        "Nothing in a label comes from a prompt or an answer.",
        "",
        "| metric | type | labels | |",
        "|---|---|---|---|",
        *(
            _cells(f"`{name}`", kind, ", ".join(f"`{label}`" for label in labels), text)
            for name, kind, labels, text in found
        ),
    ]
    return "\n".join(lines) + "\n"


# errors


def _errors() -> str:
    classes = sorted(
        (kind for kind in _subclasses(InterlockError)),
        key=lambda one: (one.code, one.__name__, one.__module__),
    )
    lines = [
        "# Errors",
        _NOTE,
        "Every failed request has one body that all clients read: `detail` and `message` (text),",
        "`error.type`, `error.code`, `error.param`, `error.message`, for some errors",
        "`error.details`, and `request_id`, which is also in the header `X-Request-ID`. With a 401",
        "comes `WWW-Authenticate`, with a 429, 503 or 409 that passes by itself `Retry-After`.",
        "Upstream statuses that speak about the request (400, 404, 413, 422, 429) are passed on as",
        "they are. A denied tool call is no error: it is an answer.",
        "",
        "| kind | HTTP status |",
        "|---|---|",
        *(f"| `{kind}` | {_status(kind)} |" for kind in ErrorKind),
        "",
        "## Classes",
        "",
        "The same errors end a command: exit code 2 for kind `invalid`, else 1.",
        "",
        "| code | kind | HTTP status | |",
        "|---|---|---|---|",
    ]
    lines += [
        _cells(
            f"`{one.code}`",
            str(one.kind),
            str(_status(one.kind)),
            f"`{one.__name__}`: {(inspect.getdoc(one) or '').partition(chr(10) * 2)[0]}",
        )
        for one in classes
    ]
    lines += [
        "",
        "## Finer codes",
        "",
        "Codes a class carries when it knows more precisely what happened.",
        "",
        "| code | HTTP status | raised as |",
        "|---|---|---|",
    ]
    known = {one.__name__: one for one in classes} | {"InterlockError": InterlockError}
    # What goes wrong below HTTP reaches callers as an `UpstreamError` with the same code.
    known.pop("TransportError", None)
    lines += [
        _cells(f"`{code}`", str(_status(kind or known[name].kind)), f"`{name}`")
        for code, name, kind in sorted(set(_given_codes(known)), key=lambda row: row[:2])
        if code != known[name].code
    ]
    return "\n".join(lines) + "\n"


def _status(kind: ErrorKind) -> int:
    return status_of(InterlockError("", kind=kind))


def _subclasses(kind: type[InterlockError]) -> Iterator[type[InterlockError]]:
    for module in pkgutil.walk_packages([str(_SOURCE)], "interlock."):
        if ".migrations.versions" not in module.name and not module.name.endswith("__main__"):
            import_module(module.name)
    seen: list[type[InterlockError]] = [kind]
    for one in seen:
        for child in one.__subclasses__():
            if child.__module__.startswith("interlock.") and child not in seen:
                seen.append(child)
                if not child.__name__.startswith("_"):
                    yield child


def _given_codes(
    known: Mapping[str, type[InterlockError]],
) -> Iterator[tuple[str, str, ErrorKind | None]]:
    """Codes given where an error is raised: (code, class, kind if one is given beside it)."""
    for path in sorted(_SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        owners = {
            id(inner): node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                name = owners.get(id(node), "") if node.func.id == "cls" else node.func.id
                if name in known:
                    yield from _code_of(node, name)


def _code_of(node: ast.Call, name: str) -> Iterator[tuple[str, str, ErrorKind | None]]:
    given: dict[str | None, Any] = {word.arg: word.value for word in node.keywords}
    code, kind = given.get("code"), given.get("kind")
    if isinstance(code, ast.Constant) and isinstance(code.value, str):
        chosen = ErrorKind[kind.attr] if isinstance(kind, ast.Attribute) else None
        yield code.value, name, chosen


if __name__ == "__main__":
    main()
