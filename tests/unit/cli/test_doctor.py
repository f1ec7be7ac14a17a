"""`interlock doctor` finds what is wrong and says what to do."""

import json
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from interlock.cli.main import app
from interlock.ops.checks import Check, State, run_checks

run = CliRunner().invoke


def _found(*words: str, code: int | None = None) -> dict[str, dict[str, str]]:
    result = run(app, ["doctor", "--json", *words])
    if code is not None:
        assert result.exit_code == code, result.output
    return {one["name"]: one for one in json.loads(result.output)}


@pytest.fixture(autouse=True)
def free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLOCK_PORT", "0")


def test_an_empty_directory_is_no_fault(tmp_path: Path) -> None:
    found = _found("--data", str(tmp_path / "data"), code=0)

    assert found["python"]["state"] == "ok"
    assert found["data directory"]["state"] == "warning"
    assert found["providers"]["state"] == "warning"
    assert "database" not in found
    assert not (tmp_path / "data").exists()


def test_a_server_that_has_run_is_well(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    assert run(app, ["migrate", "--data", data]).exit_code == 0

    found = _found("--data", data, code=0)

    assert {found[name]["state"] for name in ("database", "schema", "stored policies")} == {"ok"}


def test_what_is_broken_fails_with_a_hint_and_the_rest_is_still_looked_at(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert run(app, ["migrate", "--data", str(data)]).exit_code == 0
    policy = tmp_path / "bad.sqrt"
    policy.write_text('tool "x" { nonsense; }')
    (data / "interlock.toml").write_text(f'[gateway]\npolicy_files = ["{policy}"]\n')
    (data / "secret.key").chmod(0o644) if (data / "secret.key").exists() else None
    (data / "interlock.db").write_bytes(b"no database")

    found = _found("--data", str(data), code=1)

    assert found["policy files"]["state"] == "failed"
    assert found["database"]["state"] == "failed"
    assert found["python"]["state"] == "ok"


def test_a_taken_port_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("INTERLOCK_PORT", str(taken.getsockname()[1]))
        found = _found("--data", str(tmp_path / "data"), code=1)

    assert found["port"]["state"] == "failed"
    assert "server.port" in found["port"]["hint"]


def test_people_see_a_line_per_check(tmp_path: Path) -> None:
    result = run(app, ["doctor", "--data", str(tmp_path / "data")])

    assert "python" in result.output
    assert "to look at" in result.output


@pytest.mark.anyio
async def test_a_check_that_fails_keeps_no_other_from_running() -> None:
    async def broken() -> tuple[State, str, str]:
        raise OSError(5, "disk on fire")

    async def fine() -> tuple[State, str, str]:
        return "ok", "fine", ""

    found = await run_checks([Check("a", broken), Check("b", fine)])

    assert [(one.state, one.said) for one in found] == [("failed", "disk on fire"), ("ok", "fine")]
