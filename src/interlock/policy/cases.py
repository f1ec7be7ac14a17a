"""Policy test cases as YAML: a policy, calls, and what is expected of each.

Pure: the caller reads files. `load_cases` turns one file into values and
refuses whatever it does not know; `policy.case_runs` runs them. The format:

    note: what this file is about
    policy: |                     # or `policies: [{name, text | file, language, enforcement}]`
      tool "pay" { must deny when amount.value in {int 100..}; }
    header: |                     # optional: a header policy on top
    presets: {default_allow: false}
    mode: standard
    caller: {user: ada, groups: [finance]}
    want_error: {line: 1, column: 5, message: "part of it"}    # instead of tests
    rejects: [{policy: "must allow;", line: 1, column: 1, message: "part of it"}]
    want_warnings: [{line: 1, message: "part of it"}]
    tests:
      - name: large payments are denied
        session: {tags: [seen]}
        call: {tool: pay, args: {amount: 100}, labels: {amount: {tags: [x]}}}
        want: {verdict: hard_denied, rule: "pay#0"}

A test may instead have `steps`, which share a session. A step is a `call` with
an optional `result: {value, labels, external, want, save}`, or a `branch`.
Labels are `{tags, producers, consumers}`, `$name` of a saved result, or
`{merge: [...]}` of several.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime
from typing import ClassVar, TypeVar

import yaml

from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.policy.model import Caller, Labels, Mode, PolicySource, Presets

__all__ = [
    "Branching",
    "Case",
    "CaseError",
    "CaseFile",
    "Setting",
    "Step",
    "load_cases",
    "parse_cases",
    "read_caller",
    "read_cases",
    "read_labels",
    "read_presets",
]

Read = Callable[[str], str]
"""Name of a file, as written in the test file, to its text."""
_SETTINGS = {"presets", "caller", "mode", "branching"}
_FILE_KEYS = {
    "note",
    "policy",
    "language",
    "policies",
    "header",
    "allow_override",
    "known_tools",
    "want_error",
    "want_warnings",
    "rejects",
    "tests",
    *_SETTINGS,
}
_STEP_KEYS = {"call", "want", "result", "branch"}
_CASE_KEYS = {"name", "session", "session_value", "steps", *_STEP_KEYS, *_SETTINGS}
_REJECT_KEYS = {"policy", "language", "line", "column", "message", "code"}
_WANT_KEYS = {
    "verdict",
    "rule",
    "reason",
    "description",
    "session",
    "denied",
    "allowed",
    "shadow",
    "message",
}
_CHOICES = {
    "surface": ("control", "platform", "chat", "workbench"),
    "mode": ("deny", "allow"),
    "default_allow_enforcement_level": ("hard", "soft"),
    "llm_blocked_tag_enforcement_level": ("hard", "soft"),
}


class CaseError(InterlockError):
    """Raised when a file of test cases is not in the format."""

    kind: ClassVar = ErrorKind.INVALID
    code: ClassVar = "policy_test_invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Branching:
    """A branching policy as a test states it."""

    mode: str = "deny"
    tags: frozenset[str] = frozenset()
    producers: frozenset[str] = frozenset()
    consumers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Under which presets and for whom a case runs."""

    presets: Presets = Presets()
    caller: Caller = Caller()
    mode: Mode = "standard"
    branching: Branching = Branching()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call, or one branch, and what is expected of it; members as in the file."""

    call: Mapping[str, object] | None = None
    want: Mapping[str, object] = field(default_factory=dict)
    result: Mapping[str, object] | None = None
    branch: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test: steps that share a session."""

    name: str
    steps: Sequence[Step]
    setting: Setting
    session: object = None
    session_value: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """One file."""

    name: str
    bound: Sequence[PolicySource]
    header: Sequence[PolicySource] | None
    allow_override: bool
    known_tools: Mapping[str, Sequence[str] | None] | None
    setting: Setting
    want_error: Mapping[str, object] | None
    want_warnings: Sequence[Mapping[str, object]] | None
    rejects: Sequence[Mapping[str, object]]
    """Policies that must not compile, each with its place and message."""
    cases: Sequence[Case]


_R = TypeVar("_R", Presets, Caller, Branching)


def load_cases(text: str, name: str, read: Read | None = None) -> CaseFile:
    """Reads one file; `read` gives the text of a policy `file` named in it.

    Raises:
        CaseError: no YAML, or not the format; the message names the place.
    """
    return read_cases(parse_cases(text, name), name, read)


def parse_cases(text: str, name: str) -> object:
    """The YAML of a file as plain values, dates as texts; not yet checked for the format.

    Raises:
        CaseError: no YAML.
    """
    try:
        return _plain(yaml.safe_load(text))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise CaseError(f"`{name}` is no valid YAML: {reason}") from None


def read_cases(data: object, name: str, read: Read | None = None) -> CaseFile:
    """The test file that these plain values are; see `load_cases`.

    Raises:
        CaseError: not the format; the message names the place.
    """
    top = _mapping(data, name, _FILE_KEYS)
    setting = _setting(top, name, Setting())
    tests = _list(top.get("tests", []), f"{name}: tests")
    known = top.get("known_tools")
    return CaseFile(
        name=name,
        bound=_sources(top, name, read),
        header=_header(top, name),
        allow_override=top.get("allow_override") is True,
        known_tools=None if known is None else _known(known, f"{name}: known_tools"),
        setting=setting,
        want_error=_optional(top, "want_error", name, _REJECT_KEYS - {"policy"}),
        want_warnings=None
        if top.get("want_warnings") is None
        else [
            _mapping(item, f"{name}: want_warnings", {"line", "message"})
            for item in _list(top["want_warnings"], f"{name}: want_warnings")
        ],
        rejects=[
            _mapping(item, f"{name}: rejects", _REJECT_KEYS)
            for item in _list(top.get("rejects", []), f"{name}: rejects")
        ],
        cases=[_case(item, f"{name}: tests[{index}]", setting) for index, item in enumerate(tests)],
    )


def read_labels(spec: object, saved: Mapping[str, Labels], where: str) -> Labels:
    """The labels a test states; see the module's description.

    Raises:
        CaseError: not the format, or a name nothing was saved under.
    """
    if spec is None:
        return Labels()
    if isinstance(spec, str):
        if spec.removeprefix("$") not in saved:
            raise CaseError(f"{where}: nothing was saved as `{spec}`")
        return saved[spec.removeprefix("$")]
    parts = _mapping(spec, where, {"tags", "producers", "consumers", "merge"})
    if "merge" in parts:
        merged = Labels()
        for part in _list(parts["merge"], where):
            merged = merged.merge(read_labels(part, saved, where))
        return merged
    return Labels.of(**{key: _strings(value, f"{where}.{key}") for key, value in parts.items()})


def read_caller(data: object, where: str) -> Caller:
    """A caller from `{user, key, account, groups, roles, surface}`.

    Raises:
        CaseError: an unknown member, or one of the wrong type.
    """
    return _record(Caller(), data, where)


def read_presets(data: object, where: str) -> Presets:
    """Presets from the members of X-Policy `presets`; absent ones have their defaults.

    Raises:
        CaseError: an unknown member, or one of the wrong type.
    """
    return _record(Presets(), data, where)


def _case(data: object, where: str, setting: Setting) -> Case:
    item = _mapping(data, where, _CASE_KEYS)
    name = str(item.get("name", where.rpartition(": ")[2]))
    if "steps" in item:
        if _STEP_KEYS & item.keys():
            raise CaseError(f"{where}: a test has `steps` or is one step, not both")
        steps = [
            _step(_mapping(step, f"{where}.steps[{index}]", _STEP_KEYS), f"{where}.steps[{index}]")
            for index, step in enumerate(_list(item["steps"], f"{where}.steps"))
        ]
    else:
        steps = [_step({key: item[key] for key in _STEP_KEYS & item.keys()}, where)]
    return Case(
        name=name,
        steps=steps,
        setting=_setting(item, where, setting),
        session=item.get("session"),
        session_value=item.get("session_value"),
    )


def _step(item: Mapping[str, object], where: str) -> Step:
    if ("call" in item) == ("branch" in item):
        raise CaseError(f"{where}: a step is one `call` or one `branch`")
    return Step(
        call=_optional(item, "call", where, {"tool", "args", "labels"}),
        want=_optional(item, "want", where, _WANT_KEYS) or {},
        result=_optional(
            item, "result", where, {"value", "labels", "external", "want", "save", "failed"}
        ),
        branch=_optional(item, "branch", where, {"labels", "violation"}),
    )


def _setting(item: Mapping[str, object], where: str, base: Setting) -> Setting:
    if "presets" in item:
        base = replace(base, presets=_record(base.presets, item["presets"], f"{where}: presets"))
    if "caller" in item:
        base = replace(base, caller=_record(base.caller, item["caller"], f"{where}: caller"))
    if "branching" in item:
        branching = _record(base.branching, item["branching"], f"{where}: branching")
        base = replace(base, branching=branching)
    if "mode" in item:
        match item["mode"]:
            case "standard" | "strict" | "custom" as mode:
                base = replace(base, mode=mode)
            case other:
                raise CaseError(f"{where}: unknown mode `{other}`")
    return base


def _record(base: _R, data: object, where: str) -> _R:
    """`base` with the fields of `data`, each checked against the type of the value there."""
    known = {item.name: getattr(base, item.name) for item in fields(base)}
    changes: dict[str, object] = {}
    for key, value in _mapping(data, where, known.keys()).items():
        default = known[key]
        if isinstance(default, frozenset):
            changes[key] = frozenset(_strings(value, f"{where}.{key}"))
        elif isinstance(value, type(default)) and value in _CHOICES.get(key, (value,)):
            changes[key] = value
        else:
            wanted = " or ".join(f"`{choice}`" for choice in _CHOICES.get(key, ()))
            problem = f"expected {wanted or type(default).__name__}, found `{value}`"
            raise CaseError(f"{where}.{key}: {problem}")
    # Every value was compared with the type of the field's default above.
    return replace(base, **changes)  # type: ignore[arg-type]


def _sources(top: Mapping[str, object], name: str, read: Read | None) -> list[PolicySource]:
    if "policies" not in top:
        return [_source({**top, "name": "policy", "text": top.get("policy", "")}, name, read)]
    if "policy" in top:
        raise CaseError(f"{name}: a file has `policy` or `policies`, not both")
    listed = _list(top["policies"], f"{name}: policies")
    keys = {"name", "text", "file", "language", "enforcement"}
    return [
        _source(_mapping(item, f"{name}: policies[{index}]", keys), f"{name}: policies", read)
        for index, item in enumerate(listed)
    ]


def _source(item: Mapping[str, object], where: str, read: Read | None) -> PolicySource:
    text = item.get("text")
    if "file" in item:
        if read is None:
            raise CaseError(f"{where}: policy files cannot be read here")
        text = read(str(item["file"]))
    if not isinstance(text, str):
        raise CaseError(f"{where}: a policy needs a `text` or a `file`")
    language, enforcement = item.get("language", "sqrt"), item.get("enforcement", "enforce")
    if language not in {"sqrt", "cedar"}:
        raise CaseError(f"{where}: unknown language `{language}`")
    if enforcement not in {"enforce", "watch"}:
        raise CaseError(f"{where}: unknown enforcement `{enforcement}`")
    return PolicySource(
        name=str(item.get("name", "policy")),
        text=text,
        language="cedar" if language == "cedar" else "sqrt",
        enforcement="watch" if enforcement == "watch" else "enforce",
    )


def _header(top: Mapping[str, object], name: str) -> list[PolicySource] | None:
    text = top.get("header")
    if text is None:
        return None
    if not isinstance(text, str):
        raise CaseError(f"{name}: header: expected text")
    return [PolicySource(name="header", text=text)]


def _known(data: object, where: str) -> dict[str, list[str] | None]:
    if isinstance(data, list):
        return dict.fromkeys(_strings(data, where))
    return {
        tool: None if names is None else _strings(names, f"{where}.{tool}")
        for tool, names in _mapping(data, where, None).items()
    }


def _optional(
    item: Mapping[str, object], key: str, where: str, keys: set[str]
) -> Mapping[str, object] | None:
    value = item.get(key)
    return None if value is None else _mapping(value, f"{where}: {key}", keys)


def _mapping(data: object, where: str, keys: Collection[str] | None) -> dict[str, object]:
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise CaseError(f"{where}: expected a mapping with text keys")
    unknown = [] if keys is None else sorted(set(data) - set(keys))
    if unknown:
        known = ", ".join(f"`{key}`" for key in sorted(keys or ()))
        raise CaseError(f"{where}: unknown key `{unknown[0]}`", hint=f"known keys: {known}")
    return data


def _list(data: object, where: str) -> list[object]:
    if not isinstance(data, list):
        raise CaseError(f"{where}: expected a list")
    return data


def _strings(data: object, where: str) -> list[str]:
    found = [item for item in _list(data, where) if isinstance(item, str)]
    if len(found) != len(_list(data, where)):
        raise CaseError(f"{where}: expected a list of texts")
    return found


def _plain(data: object) -> object:
    """YAML dates as the ISO text a tool call would carry."""
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_plain(value) for value in data]
    return data.isoformat() if isinstance(data, date | datetime) else data
