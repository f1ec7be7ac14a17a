"""The reference page of the program language: its examples run, and come out as it says."""

import ast
from pathlib import Path

import pytest
from tests.support.documents import ROOT, blocks
from tests.support.dual_programs import finished, host_data, start

PAGE: Path = ROOT / "docs/reference/programs.md"
EXAMPLES = [block.text for block in blocks(PAGE) if "# -> " in block.text]


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_comes_out_as_the_page_says(text: str) -> None:
    program, _, answer = text.rpartition("# -> ")
    machine = start(program)

    assert host_data(machine, finished(machine)) == ast.literal_eval(answer.strip())
