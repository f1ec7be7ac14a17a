"""Every command of docs/howto/policies.md, in order, on a real data directory."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from tests.support.policy_traffic import make_data
from typer.testing import CliRunner

from interlock.cli import policy
from interlock.cli.main import app

PAGE = Path(__file__).parents[2] / "docs/howto/policies.md"
_FILE = re.compile(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PART = re.compile(r"(?:^`[\w./-]+`:\n\n)?^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_every_command_of_the_page_does_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_data(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INTERLOCK_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    page = PAGE.read_text()
    for name, text in _FILE.findall(page):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    lines = [
        line
        for kind, text in _PART.findall(page)
        if kind == "sh"
        for line in text.splitlines()
        if line.strip()
    ]

    assert len(lines) > 20
    for line in lines:
        command, *arguments = shlex.split(line, comments=True)
        assert command == "interlock", line
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == (1 if "# exits with 1" in line else 0), (line, result.output)
    assert f"```sqrt\n{(tmp_path / 'draft.sqrt').read_text()}```" in page


def test_the_page_names_every_command_of_the_policy_store() -> None:
    page = PAGE.read_text()
    names = typer.main.get_group(policy.app).commands

    assert len(names) > 10
    assert {name for name in names if f"interlock policy {name}" not in page} == set()
