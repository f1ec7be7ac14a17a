"""`interlock policy generate`: with the providers of a data directory, and by a server."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from tests.support.gateway import running_gateway
from tests.support.policy_traffic import make_data
from typer.testing import CliRunner, Result

from interlock.cli.main import app

ASKED = "Only allow mail to addresses ending in @corp.example."
RULE = 'must deny when not to.value in {str matching r".*@corp\\.example"};'
SCHEMA = {"type": "object", "properties": {"to": {"type": "string"}}}
CHAT = [{"type": "function", "function": {"name": "send_email", "parameters": SCHEMA}}]
MESSAGES = [{"name": "send_email", "input_schema": SCHEMA}]
RESPONSES = [{"type": "function", "name": "send_email", "parameters": SCHEMA}]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "data"
    make_data(folder)
    return folder


@pytest.fixture(autouse=True)
def folder(served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the data directory, and the current directory."""
    shutil.copytree(served, tmp_path / "data")
    monkeypatch.setenv("INTERLOCK_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tools.json").write_text(json.dumps(MESSAGES))
    return tmp_path


def run(*arguments: str, code: int = 0, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(app, ["policy", "generate", *arguments], input=stdin)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


@pytest.mark.parametrize("tools", [CHAT, MESSAGES, RESPONSES, {"tools": CHAT}])
def test_a_policy_is_printed_for_tools_of_any_format(folder: Path, tools: Any) -> None:
    (folder / "tools.json").write_text(json.dumps(tools))

    assert RULE in run(ASKED, "--tools", "tools.json").stdout


def test_the_output_is_the_policy_alone(folder: Path) -> None:
    printed = run("-", "--tools", "tools.json", stdin=ASKED)
    run(ASKED, "--tools", "tools.json", "--output", "mail.sqrt")

    assert printed.stdout == (folder / "mail.sqrt").read_text()
    assert "tokens in" in printed.stderr


def test_json_is_what_the_server_answers() -> None:
    tree = json.loads(run(ASKED, "--tools", "tools.json", "--json").stdout)

    assert RULE in tree["policies"]
    assert sorted(tree) == ["policies", "usage"]
    assert tree["usage"]["total_tokens"] > 0


def test_the_ledger_has_every_try(folder: Path) -> None:
    run("Be nice.", "--tools", "tools.json", "--retries", "1", code=1)

    with closing(sqlite3.connect(folder / "data" / "interlock.db")) as store:
        rows = store.execute(
            "SELECT key_id, endpoint, provider, model FROM usage_records WHERE role = 'policy_llm'"
        ).fetchall()
    assert rows == [("local", "policy-gen/generate", "demo", "demo")] * 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("Be nice.", "--tools", "tools.json"), 1, "no usable policy after 4 tries"),
        ((" ",), 2, "the description is empty"),
        ((ASKED, "--tools", "none.json"), 2, "cannot read"),
        ((ASKED, "--tools", "bad.json"), 2, "is not JSON"),
        ((ASKED, "--tools", "number.json"), 2, "is no list of tools"),
        ((ASKED, "--tools", "wrong.json"), 2, "tools[0].name"),
        ((ASKED, "--provider", "nobody"), 1, "nobody"),
        ((ASKED, "--provider", "llama", "--model", "x"), 1, "llama"),
        ((ASKED, "--provider", "llama"), 2, "--model"),
        ((ASKED, "--server", "ftp://x", "--key", "sq-x"), 2, "must begin with"),
        ((ASKED, "--server", "http://127.0.0.1:1", "--key", "sq-x"), 1, "no answer from"),
        ((ASKED, "--server", "http://[", "--key", "sq-x"), 1, "no answer from"),
        ((ASKED, "--server", "http://127.0.0.1:1", "--key", "@none"), 2, "cannot read"),
        ((ASKED, "--server", "http://127.0.0.1:1", "--key", ""), 2, "not a key"),
        ((ASKED, "--data", "nothing"), 2, "there is no database"),
        ((ASKED, "--tools", "tools.json", "--output", "no/such/file"), 2, "cannot write"),
    ],
)
def test_what_is_wrong_is_said(
    folder: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (folder / "bad.json").write_text("[")
    (folder / "number.json").write_text("3")
    (folder / "wrong.json").write_text('[{"input_schema": {}}]')
    result = CliRunner().invoke(app, ["policy", "generate", *arguments])

    assert message in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.output
    assert result.exit_code in {code, 1} if "nothing" in arguments else result.exit_code == code


@pytest.mark.anyio
async def test_a_running_server_is_asked(folder: Path) -> None:
    async with running_gateway(folder / "other") as gateway:
        (folder / "key").write_text(f"{gateway.key}\n")
        base = ("--server", gateway.base_url, "--tools", "tools.json")

        def ask() -> list[Result]:
            return [
                run(ASKED, *base, "--key", "@key"),
                run(ASKED, *base, "--provider", "demo", "--model", "demo", "--key", gateway.key),
                run(ASKED, *base, stdin=f"{gateway.key}\n"),
                run(ASKED, *base, "--key", "sq-wrong", code=1),
                run("Be nice.", *base, "--key", "@key", code=1),
            ]

        file, named, prompted, wrong, vague = await anyio.to_thread.run_sync(ask)

    assert all(RULE in one.stdout for one in (file, named, prompted))
    assert gateway.key not in prompted.output
    assert "Invalid API key" in wrong.stderr
    assert "no usable policy" in vague.stderr
