"""What must hold before a text takes effect: it compiles everywhere, its tests pass. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from interlock.gateway.policies.errors import InvalidPolicyError
from interlock.gateway.policies.model import Language, PolicySet, StoredTest
from interlock.policy.case_runs import CaseResult, run_cases
from interlock.policy.cases import CaseError, parse_cases, read_cases
from interlock.policy.compiled import compile_layers, compile_policy
from interlock.policy.errors import Diagnostic, PolicyError
from interlock.policy.model import Caller, PolicySource, Presets

__all__ = ["check_text", "diagnostics", "run_tests", "split_tests", "try_test", "uncompilable"]

_TEST_NAME = 200
_CARRIED = ("presets", "caller", "mode", "branching", "header", "allow_override")
_REPLACED = {"note", "policy", "policies", "language", "known_tools"}
"""Members that say which policy a file is about; a stored test is about its own."""


def diagnostics(source: PolicySource) -> Sequence[Diagnostic]:
    """Every finding about a text by itself, errors first."""
    try:
        return compile_policy([source], presets=Presets(), caller=Caller()).warnings
    except PolicyError as error:
        return error.diagnostics


def uncompilable(policies: PolicySet, files: Sequence[PolicySource]) -> list[str]:
    """What does not compile of the programs these policies make for all kinds of callers.

    A kept text defines every name it uses, so that no other one can take it down; this is
    the last check before a set goes to a server.
    """
    problems: dict[str, None] = {}
    seen: set[tuple[str, ...]] = set()
    for account_id, key_id, surface in policies.callers():
        sources = policies.sources(account_id, key_id, surface)
        names = tuple(source.name for source in sources)
        if names in seen:
            continue
        seen.add(names)
        try:
            compile_layers([*files, *sources], None, presets=Presets(), caller=Caller())
        except PolicyError as error:
            problems.update(dict.fromkeys(item.render() for item in error.diagnostics))
    return list(problems)


def split_tests(text: str, name: str) -> list[dict[str, object]]:
    """The tests of a YAML file, each as a file of its own with the settings it ran under.

    Raises:
        CaseError: not the format, or a file that is about several policies or about a
            text's errors rather than about what a policy decides.
    """
    data = parse_cases(text, name)
    read_cases(data, name, lambda _: "")
    # What `read_cases` accepts is a mapping with a list of mappings.
    top: Mapping[str, object] = data if isinstance(data, dict) else {}
    foreign = sorted(set(top) - {*_CARRIED, *_REPLACED, "tests"})
    if foreign:
        raise CaseError(
            f"{name}: `{foreign[0]}` cannot be stored with a policy",
            hint="only `tests` with their settings can: they are run against each new version",
        )
    listed = top.get("policies")
    if isinstance(listed, list) and len(listed) > 1:
        raise CaseError(f"{name}: the tests are about {len(listed)} policies, not about one")
    carried = {key: top[key] for key in _CARRIED if top.get(key) is not None}
    found: list[dict[str, object]] = []
    tests = top.get("tests")
    for item in tests if isinstance(tests, list) else []:
        title = item.get("name")
        if not isinstance(title, str) or not title.strip():
            raise CaseError(f"{name}: every test that is stored needs a `name`")
        if len(title) > _TEST_NAME or "\0" in title:
            raise CaseError(f"{name}: a test's name has 1 to {_TEST_NAME} characters")
        if any(item["name"] == title for document in found for item in _tests(document)):
            raise CaseError(f"{name}: two tests are called `{title}`")
        document = {**carried, "tests": [item]}
        if not _storable(document):
            raise CaseError(f"{name}: `{title}` has a value that JSON cannot carry")
        found.append(document)
    if not found:
        raise CaseError(f"{name}: there are no tests in it")
    return found


def try_test(document: Mapping[str, object], text: str, language: Language) -> None:
    """Runs a test once, whatever comes out.

    Raises:
        CaseError: it is not in the format, in a way only running it shows.
    """
    read = read_cases({**document, "policy": text, "language": language}, "test")
    run_cases(read)


def run_tests(
    tests: Sequence[StoredTest], policy: str, text: str, language: Language
) -> list[CaseResult]:
    """Runs stored tests against a text; one that cannot be run has failed."""
    results: list[CaseResult] = []
    for test in tests:
        document = {**test.document, "policy": text, "language": language}
        try:
            results += [replace(item, file=policy) for item in _run(document, test.name)]
        except CaseError as error:
            results.append(CaseResult(file=policy, name=test.name, problems=[error.message]))
    return results


def _run(document: Mapping[str, object], name: str) -> list[CaseResult]:
    return run_cases(read_cases(dict(document), name))


def _storable(document: object) -> bool:
    try:
        return bool(msgspec.json.decode(msgspec.json.encode(document)) == document)
    except (TypeError, ValueError, UnicodeEncodeError, msgspec.MsgspecError):
        return False


def _tests(document: Mapping[str, object]) -> list[Mapping[str, object]]:
    tests = document["tests"]
    return tests if isinstance(tests, list) else []


def check_text(text: str, what: str, *, length: int) -> str:
    """A text that any store can keep.

    Raises:
        InvalidPolicyError: too long, or with characters no text has.
    """
    if len(text) > length:
        raise InvalidPolicyError(f"{what} has at most {length} characters", param=what)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidPolicyError(f"{what} is not valid Unicode text", param=what) from None
    if "\0" in text:
        raise InvalidPolicyError(f"{what} must not contain NUL characters", param=what)
    return text
