"""Commands that need no server import none, and the tables they stand in are true."""

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from interlock.cli.lazy import LazyGroup
from interlock.cli.main import app

HEAVY = {
    "alembic",
    "fastapi",
    "httptools",
    "interlock.app",
    "interlock.app_settings",
    "interlock.app_store",
    "interlock.gateway",
    "prometheus_client",
    "psycopg",
    "sqlalchemy",
    "starlette",
    "structlog",
    "uvicorn",
}
POLICY = 'tool "pay" { must deny when amount.value in {int 100..}; }'
TESTS = f"""
policy: |
  {POLICY}
tests:
  - name: large payments are denied
    call: {{tool: pay, args: {{amount: 100}}}}
    want: {{verdict: hard_denied}}
"""
LIGHT = {
    "--help": 0,
    "--version": 0,
    "policy --help": 0,
    "policy check pay.sqrt": 0,
    "policy test pay.yaml": 0,
    "policy explain pay.sqrt --tool pay": 0,
    'policy explain pay.sqrt --tool pay --args {"amount":100}': 1,
}
RUN = """
import json, sys
from interlock.cli.main import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("line", LIGHT)
def test_a_light_command_imports_neither_store_nor_server(line: str, tmp_path: Path) -> None:
    (tmp_path / "pay.sqrt").write_text(POLICY)
    (tmp_path / "pay.yaml").write_text(TESTS)

    done = subprocess.run(
        [sys.executable, "-c", RUN, *line.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == LIGHT[line], done.stdout + done.stderr
    assert set(json.loads(done.stderr.splitlines()[-1])) & HEAVY == set()


def _lines(group: LazyGroup, path: str) -> Iterator[tuple[str, str, Any]]:
    """Every line of a table, with the command it speaks of."""
    for name, entry in group.lazy.items():
        group.load(name)
        command = group.commands[name]
        yield f"{path} {name}", entry.help, command
        if isinstance(command, LazyGroup):
            yield from _lines(command, f"{path} {name}")


def test_the_line_of_a_command_is_the_first_of_its_help() -> None:
    root = typer.main.get_command(app)
    assert isinstance(root, LazyGroup)

    lines = list(_lines(root, "interlock"))

    assert len(lines) > 20
    for path, line, command in lines:
        first = inspect.cleandoc(command.help or "").split("\n\n")[0]
        assert (path, line) == (path, " ".join(first.split()))
