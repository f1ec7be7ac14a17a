"""Every case of the corpus comes out as its file says."""

from pathlib import Path

import pytest

from interlock.policy.case_runs import run_cases
from interlock.policy.cases import load_cases

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(CORPUS.rglob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_corpus_comes_out_as_written(file: Path) -> None:
    results = run_cases(
        load_cases(file.read_text(), file.name, lambda name: (file.parent / name).read_text())
    )

    assert results
    assert [(result.name, result.problems) for result in results if not result.passed] == []


def test_every_published_vector_has_a_case() -> None:
    numbers: set[int] = set()
    for file in (CORPUS / "vectors").glob("p*.yaml"):
        for case in load_cases(file.read_text(), file.name).cases:
            numbers.update(
                int(part) for part in case.name.split(":")[0].split(", ") if part.isdigit()
            )

    assert numbers == set(range(1, 63))
