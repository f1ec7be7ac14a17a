"""The library agrees with CPython: values, exception types and messages."""

import warnings

import pytest
from tests.support.dual_expressions import CASES
from tests.support.dual_programs import cpython, evaluate


@pytest.mark.parametrize(
    "expression", [case for family in CASES.values() for case in family], ids=lambda text: text[:60]
)
def test_an_expression_comes_out_as_in_cpython(expression: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = cpython(expression)

    found = evaluate(expression)

    assert found == wanted
    assert type(found.data) is type(wanted.data)
