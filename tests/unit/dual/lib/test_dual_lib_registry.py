"""The registry is whole: documented, tested, bound to what exists, and free of the host."""

import ast
import re
from importlib import resources
from pathlib import Path

import pytest
from tests.support.dual_expressions import CASES
from tests.support.dual_programs import NOW

import interlock.dual.lib
from interlock.dual.lib.registry import BUILTINS, ITERATORS, MODULES, NATIVES, OVERRIDES
from interlock.dual.library import library
from interlock.dual.limits import Limits
from interlock.dual.native import Env, Member
from interlock.dual.values import SCALARS

HERE = Path(__file__).parent
LIB = Path(interlock.dual.lib.__file__).parent
PRELUDE = {code.name for code in library().prelude.codes}


def _tested_text() -> str:
    tests = "\n".join(path.read_text() for path in HERE.glob("*.py"))
    return "\n".join(case for family in CASES.values() for case in family) + tests


def test_every_native_says_what_it_does() -> None:
    silent = [name for name, native in NATIVES.items() if not native.fn.__doc__]

    assert silent == []


def test_every_native_occurs_in_a_test() -> None:
    words = set(re.findall(r"\w+", _tested_text()))
    operators = {name for name in NATIVES if not name.rpartition(".")[2].isidentifier()}
    untested = sorted(
        name
        for name in NATIVES
        if not name.startswith("_")
        and name not in operators
        and name.rpartition(".")[2] not in words
    )

    assert untested == []


def _members() -> list[tuple[str, Member]]:
    found = list(BUILTINS.items())
    for module, members in MODULES.items():
        found += [(f"{module}.{name}", member) for name, member in members.items()]
    return found


@pytest.mark.parametrize(("name", "member"), _members(), ids=lambda item: str(item)[:40])
def test_every_member_is_bound_to_something(name: str, member: Member) -> None:
    offered = library()
    match member.kind:
        case "native":
            assert member.name in offered.natives
        case "prelude":
            assert member.name in PRELUDE
        case "type":
            constructed = member.name in offered.natives or member.name in {
                "JSONDecodeError",
                "PatternError",
                "StatisticsError",
                "re.Match",
                "re.Pattern",
            }
            assert constructed, name


def test_every_override_has_its_function_in_the_prelude() -> None:
    assert {override.function for override in OVERRIDES.values()} <= PRELUDE
    assert set(OVERRIDES) <= set(NATIVES)


def test_every_function_of_the_prelude_is_used() -> None:
    folder = resources.files("interlock.dual.prelude")
    text = "\n".join(
        entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".py")
    )
    bound = {override.function for override in OVERRIDES.values()}
    bound |= {member.name for _, member in _members() if member.kind == "prelude"}
    own = {"_call_drained", "_default_item", "_drained", "_with_factories"}
    defined = {name for name in PRELUDE if name.startswith("_")} - bound - own
    unused = {name for name in defined if len(re.findall(rf"\b{name}\b", text)) < 2}

    assert unused == set()


def test_every_kind_of_iterator_is_made_by_a_native() -> None:
    made = "\n".join(path.read_text() for path in LIB.glob("*.py"))

    assert [kind for kind in ITERATORS if f'"{kind}"' not in made] == []


def test_constants_are_scalars_of_exactly_the_types_there_are() -> None:
    env = Env(Limits(), NOW)
    for module, members in MODULES.items():
        for name, member in members.items():
            native = NATIVES.get(member.name)
            if member.kind == "native" and native is not None and native.is_property:
                assert type(native.fn(env, (), {}).data) in SCALARS, (module, name)


def test_no_native_uses_the_clock_the_environment_or_code_of_the_host() -> None:
    forbidden_imports = {"time", "random", "os", "sys", "subprocess", "threading", "importlib"}
    forbidden_calls = {"eval", "exec", "compile", "open", "input", "__import__", "globals"}
    for path in LIB.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not {alias.name for alias in node.names} & forbidden_imports, path
            if isinstance(node, ast.ImportFrom):
                assert node.module not in forbidden_imports, path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in forbidden_calls, path
