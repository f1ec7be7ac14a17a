"""Every published behaviour is claimed by a contract test, and every claim is an entry."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.requirements import CONTRACT, entries

SURFACES = sorted(path.parent.name for path in CONTRACT.glob("*/requirements.toml"))


def claims(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Every test function below `folder` as `file::name`, with the entries it claims."""
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            is_test = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_test and node.name.startswith("test_"):
                yield f"{path.name}::{node.name}", list(_claimed(node))


def _claimed(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "requirement":
            for argument in decorator.args:
                assert isinstance(argument, ast.Constant), f"{node.name}: names are literals"
                assert isinstance(argument.value, str)
                yield argument.value


def test_every_surface_with_contract_tests_has_requirements() -> None:
    tested = {path.parent.relative_to(CONTRACT).parts[0] for path in CONTRACT.rglob("test_*.py")}

    assert tested == set(SURFACES)


@pytest.mark.parametrize("surface", SURFACES)
def test_every_contract_test_claims_a_requirement(surface: str) -> None:
    assert [test for test, claimed in claims(CONTRACT / surface) if not claimed] == []


@pytest.mark.parametrize("surface", SURFACES)
def test_every_claim_is_an_entry(surface: str) -> None:
    known = entries(surface)

    unknown = [
        (test, name)
        for test, claimed in claims(CONTRACT / surface)
        for name in claimed
        if name not in known
    ]

    assert unknown == []


@pytest.mark.parametrize("surface", SURFACES)
def test_every_requirement_is_claimed_or_says_why_not(surface: str) -> None:
    claimed = {name for _, names in claims(CONTRACT / surface) for name in names}
    known = entries(surface)

    open_ones = [name for name, entry in known.items() if entry.deferred is None]
    stale = [name for name, entry in known.items() if entry.deferred and name in claimed]

    assert sorted(set(open_ones) - claimed) == []
    assert stale == []
