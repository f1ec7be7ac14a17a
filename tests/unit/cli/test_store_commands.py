import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.records import make_decision, make_usage
from typer.testing import CliRunner, Result

from interlock.app_settings import load_settings
from interlock.app_store import Store, migrate_store, open_store
from interlock.cli.main import app

NOW = datetime.now(UTC).timestamp()


@pytest.fixture(autouse=True)
def _quiet_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INTERLOCK_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("INTERLOCK_CONFIG", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory after its first start, with something in its logs."""
    folder = tmp_path / "data"
    settings = load_settings(data=folder, environ={}).settings
    migrate_store(settings)

    async def fill(store: Store) -> None:
        await store.first_start()
        store.recorder.start()
        for number in range(3):
            store.recorder.decision(make_decision(id=f"dec_{number}", at=NOW - 10 + number))
        store.recorder.decision(
            make_decision(
                id="dec_ok", at=NOW - 5, verdict="soft_allowed", tool="[red]read", args=None
            )
        )
        store.recorder.usage(make_usage(at=NOW - 5))
        assert await store.recorder.flush(wait_s=10)
        await store.close()

    asyncio.run(fill(open_store(settings)))
    return folder


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def run_json(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


def test_a_new_key_is_shown_once_and_then_only_described(data: Path) -> None:
    made = run_json("keys", "create", "--label", "robot", "--rpm", "5", "--expires", "90d")

    assert made["key"].startswith("sq-")
    assert len(made["key"]) == 43
    assert made["limits"]["requests_per_minute"] == 5
    assert made["expires_at"] == pytest.approx(time.time() + 90 * 86_400, abs=600)
    for arguments in (("keys", "list"), ("keys", "show", "robot"), ("audit", "list")):
        assert made["key"] not in run(*arguments).output
        assert made["key"] not in run(*arguments, "--json").output


def test_a_key_takes_its_config_from_files_and_options(data: Path, tmp_path: Path) -> None:
    policy = tmp_path / "mail.sqrt"
    policy.write_text('tool "send_email" { must deny always; }')
    secret = tmp_path / "openai.key"
    secret.write_text("sk-provider-secret\n")
    made = run_json(
        "keys", "create", "--label", "mail", "--policy", str(policy),
        "--features", '{"agent_arch": "dual-llm"}', "--config", '{"fsm": {"max_n_turns": 3}}',
        "--provider-key-file", f"openai={secret}", "--endpoint-type", "chat",
        "--provider", "openai", "--retention", "masked",
    )  # fmt: skip

    assert made["base_config"] == {
        "x_features": {"agent_arch": "dual-llm"},
        "x_policy": {"codes": {"code": policy.read_text(), "language": "sqrt"}},
        "x_config": {"fsm": {"max_n_turns": 3}},
    }
    assert made["scopes"] == ["endpoint:chat", "provider:openai"]
    assert (made["providers"], made["retention"]) == (["openai"], "masked")
    assert "sk-provider-secret" not in json.dumps(made)


def test_the_policy_of_a_key_is_called_a_default_and_binding_is_named(
    data: Path, tmp_path: Path
) -> None:
    policy = tmp_path / "mail.sqrt"
    policy.write_text('tool "send_email" { must deny always; }')

    made = run("keys", "create", "--label", "mail", "--policy", str(policy)).output.splitlines()
    shown = run("keys", "show", "mail").output
    plain = run("keys", "create", "--label", "plain").output

    (line,) = [item for item in made if "is a default" in item]
    assert "X-Policy" in line
    assert "interlock policy bind NAME --key " in line
    assert made[-1].startswith("sq-")
    assert line in shown
    assert "is a default" not in plain + run("keys", "show", "plain").output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--features", "{"], "not a JSON object"),
        (["--features", '{"agent_arc": 1}'], "agent_arc"),
        (["--config", "[]"], "not a JSON object"),
        (["--policy", "/no/such/file"], "No such file"),
        (["--endpoint-type", "chats"], "chats"),
        (["--expires", "soon"], "neither a date"),
        (["--expires", "2001-01-01"], "already be expired"),
        (["--retention", "some"], "retention"),
        (["--rpm", "0"], "rpm"),
        (["--user", "nobody@example.com"], "nobody@example.com"),
        (["--account", "acc_other"], "acc_other"),
        (["--provider-key-file", "openai"], "PROVIDER=FILE"),
    ],
)
def test_a_key_that_could_not_work_is_refused_in_one_message(
    data: Path, arguments: list[str], told: str
) -> None:
    result = CliRunner().invoke(app, ["keys", "create", "--label", "x", *arguments])

    assert result.exit_code in (1, 2)
    assert told in result.output
    assert "Traceback" not in result.output
    assert len(run_json("keys", "list", "--all")) == 1


def test_a_policy_that_does_not_compile_is_refused_with_its_place(
    data: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.sqrt").write_text('tool "x" { must allw always; }')
    result = run("keys", "create", "--label", "x", "--policy", str(tmp_path / "bad.sqrt"), code=2)

    assert "line 1" in result.output


def test_a_revoked_key_leaves_the_list_and_the_audit_log_tells_who(data: Path) -> None:
    run("keys", "create", "--label", "robot")
    revoked = run_json("keys", "revoke", "robot")

    assert revoked["status"] == "revoked"
    assert [view["label"] for view in run_json("keys", "list")] == ["bootstrap"]
    (newest, *_) = run_json("audit", "list", "--action", "key.*", "--limit", "1")
    assert (newest["action"], newest["target"]) == ("key.revoke", revoked["id"])
    assert newest["actor"].startswith("local:")
    assert "no key `nobody`" in run("keys", "revoke", "nobody", code=1).output


def test_decisions_are_listed_filtered_paged_and_explained(data: Path) -> None:
    listed = run_json("decisions", "list", "--verdict", "denied", "--limit", "2", "--since", "1h")
    rest = run_json("decisions", "list", "--verdict", "denied", "--page", listed["next"])

    ids = [record["id"] for record in (*listed["decisions"], *rest["decisions"])]
    assert ids == ["dec_2", "dec_1", "dec_0"]
    assert run_json("decisions", "list", "--since", "2020-01-01", "--until", "2020-01-02") == {
        "decisions": [],
        "next": None,
    }
    shown = run("decisions", "show", "dec_0").output
    for part in ("hard_denied", "send_email#0", "must deny always", "bob@example.com"):
        assert part in shown
    assert "not kept" in run("decisions", "show", "dec_ok").output
    assert "no decision `nothing`" in run("decisions", "show", "nothing", code=1).output
    assert "--verdict" in run("decisions", "list", "--verdict", "maybe", code=2).output
    assert "not a page" in run("decisions", "list", "--page", "x", code=2).output


def test_names_of_tools_are_shown_as_they_are(data: Path) -> None:
    assert "[red]read" in run("decisions", "list").output


def test_tail_shows_the_last_decisions_oldest_first(data: Path) -> None:
    lines = run("decisions", "tail", "--last", "2", "--count", "2", "--json").stdout.splitlines()

    assert [json.loads(line)["id"] for line in lines] == ["dec_2", "dec_ok"]


def test_usage_is_summed_with_a_total(data: Path) -> None:
    found = run_json("usage", "--by", "model", "--by", "provider")

    assert found["rows"][0]["group"] == {"model": "demo", "provider": "demo"}
    assert (found["total"]["requests"], found["total"]["cost"]) == (1, 0.25)
    assert "$0.2500" in run("usage").output
    assert "--by" in run("usage", "--by", "colour", code=2).output


def test_settings_are_shown_with_their_source(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data / "interlock.toml").write_text("[server]\nport = 9001\n")
    monkeypatch.setenv("INTERLOCK_SECRET_KEY", "very-secret-master-key")
    shown = {item["key"]: item for item in run_json("config", "show")["settings"]}

    assert shown["server.port"] == {
        "key": "server.port",
        "value": 9001,
        "source": "interlock.toml",
    }
    assert shown["bootstrap.secret_key"]["source"] == "INTERLOCK_SECRET_KEY"
    assert "very-secret" not in run("config", "show").output


def test_a_mistake_in_the_settings_ends_every_command_with_its_place(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLOCK_PRT", "1")
    for arguments in (["config", "show"], ["keys", "list"], ["migrate"], ["usage"]):
        assert "INTERLOCK_PRT: unknown variable" in run(*arguments, code=2).output


def test_looking_at_a_data_directory_that_is_not_there_creates_nothing(tmp_path: Path) -> None:
    for arguments in (["keys", "list"], ["decisions", "list"], ["usage"], ["audit", "list"]):
        assert "there is no database" in run(*arguments, code=1).output
    run("migrate", "--check", code=1)

    assert not (tmp_path / "data").exists()


def test_migrate_prepares_a_store_and_check_says_so(tmp_path: Path) -> None:
    assert run_json("migrate")["applied"][0] == "0001"
    assert run_json("migrate", "--check")["ready"]
    assert "no administrator" in run("keys", "create", "--label", "x", code=1).output


def test_a_store_behind_this_version_is_not_worked_on(data: Path) -> None:
    import sqlite3  # noqa: PLC0415 - this test alone breaks a store

    with sqlite3.connect(data / "interlock.db") as connection:
        connection.execute("DROP TABLE decisions")
    connection.close()

    assert "interlock migrate --check" in run("keys", "list", code=1).output
    assert "table `decisions` is missing" in run("migrate", "--check", code=1).output


@pytest.mark.parametrize(
    "command",
    [
        "keys create", "keys list", "keys show", "keys revoke", "config show", "decisions list",
        "decisions show", "decisions tail", "usage", "migrate", "audit list",
    ],
)  # fmt: skip
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    assert f"interlock {command}" in run(*command.split(), "--help").output
