"""Non-interference: what differs when labelled data differs is labelled itself.

Every constant of every agreed expression in turn is replaced by a labelled variable, and the
expression is run with two values of it. An outcome without the label may not have changed.
"""

import ast

import pytest
from tests.support.dual_expressions import CASES
from tests.support.dual_programs import IMPORTS, host_data, label, start

from interlock.dual.machine import Finished, Stopped
from interlock.dual.values import HeapObj


class _Replaced(ast.NodeTransformer):
    """Puts the variable in place of the constant at a position, counted from the left."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.data: object = None
        self.found = False

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not isinstance(node.value, str | int | float):
            return node
        self.position -= 1
        if self.position != -1:
            return node
        self.data, self.found = node.value, True
        return ast.Name("secret", ast.Load())


def _others(data: object) -> list[object]:
    if isinstance(data, bool):
        return [not data]
    if isinstance(data, str):
        return [data + "z", data[1:], "7"]
    if isinstance(data, int):
        return [data + 1, -data - 1, 0]
    return [1.25, 0.0]


def _outcome(expression: str, data: object) -> tuple[object, bool, str]:
    """What came out, whether it is labelled, and which exception it was, if one."""
    machine = start(f"{IMPORTS}final_return_value = (\n{expression}\n)", secret="")
    label(machine, "secret", data)
    event = machine.run()
    if isinstance(event, Finished):
        value = event.value
        found = host_data(machine, value)
        if isinstance(found, HeapObj):
            found = type(found).__name__
        return found, "secret" in machine.env.deep(value).labels.tags, ""
    assert isinstance(event, Stopped)
    error = event.error
    assert error.kind == "exception"
    return error.message, "secret" in error.mark.labels.tags, error.type_name


def _same(a: object, b: object) -> bool:
    return type(a) is type(b) and repr(a) == repr(b)


@pytest.mark.parametrize("family", CASES)
def test_what_changes_with_labelled_data_is_labelled(family: str) -> None:
    leaks = []
    for case in CASES[family]:
        position = 0
        while True:
            replacing = _Replaced(position)
            tree = replacing.visit(ast.parse(case.strip(), mode="eval"))
            position += 1
            if not replacing.found:
                break
            expression = ast.unparse(tree)
            before, labelled, raised = _outcome(expression, replacing.data)
            for other in _others(replacing.data):
                after, also, raises = _outcome(expression, other)
                if raised != raises:
                    # That an operation went well is an implicit flow: mode strict tracks it.
                    continue
                if not _same(before, after) and not (labelled and also):
                    leaks.append((expression, replacing.data, other, before, after))

    assert leaks == []
