import asyncio
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.support.records import make_decision, make_usage
from typer.testing import CliRunner, Result

from interlock.app_settings import load_settings
from interlock.app_store import Store, invites_of, migrate_store, open_store
from interlock.cli.main import app

_PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory after its first start."""
    folder = tmp_path / "data"
    monkeypatch.setenv("INTERLOCK_DATA", str(folder))
    monkeypatch.setenv("COLUMNS", "200")
    migrate_store(load_settings(data=folder, environ={}).settings)
    in_store(folder, lambda store: store.first_start())
    return folder


def in_store(folder: Path, work: Any) -> Any:
    async def run() -> Any:
        store = open_store(load_settings(data=folder, environ={}).settings)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def run(*arguments: str, code: int = 0, given: str | None = None) -> Result:
    result = CliRunner().invoke(app, ["users", *arguments], input=given)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def run_json(*arguments: str, given: str | None = None) -> Any:
    return json.loads(run(*arguments, "--json", given=given).stdout)


def can_sign_in(folder: Path, email: str, password: str) -> bool:
    async def work(store: Store) -> bool:
        return await store.admin.check_password(email, password) is not None

    found: bool = in_store(folder, work)
    return found


def test_a_person_chooses_a_password_at_a_link_that_is_good_once(data: Path) -> None:
    made = run_json("add", "maya@corp.example", "--name", "Maya")
    token = made["link"].rpartition("/")[2]
    in_store(data, lambda store: invites_of(store).redeem(token, _PASSWORD))
    shown = run_json("show", "maya")

    assert can_sign_in(data, "maya@corp.example", _PASSWORD)
    assert (shown["username"], shown["display_name"]) == ("maya", "Maya")
    assert (shown["has_password"], shown["sessions"]) == (True, [])
    with pytest.raises(Exception, match="not good any more"):
        in_store(data, lambda store: invites_of(store).redeem(token, _PASSWORD))
    assert "/console/invite/" in run("link", "maya").output


def test_a_password_is_read_and_never_shown_or_given_as_an_argument(data: Path) -> None:
    run("add", "ann@corp.example", "--password-stdin", given=f"{_PASSWORD}\n")
    changed = run("password", "ann", "--stdin", given="another horse battery\n")
    asked = run("password", "ann", given=f"{_PASSWORD}\n{_PASSWORD}\n")
    weak = run("password", "ann", "--stdin", given="short\n", code=2)
    help_text = run("password", "--help").output

    assert can_sign_in(data, "ann@corp.example", _PASSWORD)
    assert _PASSWORD not in changed.output + asked.output + weak.output
    assert "PASSWORD" not in help_text
    entries = json.loads(CliRunner().invoke(app, ["audit", "list", "--json"]).stdout)
    assert _PASSWORD not in json.dumps(entries)


def test_roles_are_kept_and_the_last_administrator_stays(data: Path) -> None:
    run("add", "ann@corp.example", "--password-stdin", given=f"{_PASSWORD}\n")
    run("role", "ann", "read_only")
    listed = {row["email"]: row["global_role"] for row in run_json("list")}
    (admin,) = run_json("list", "--role", "admin")

    assert listed["ann@corp.example"] == "read_only"
    assert "administ" in run("role", admin["email"], "member", code=1).output
    assert "administ" in run("remove", admin["email"], "--yes", code=1).output
    run("role", "ann", "king", code=2)
    run("list", "--role", "king", code=2)


def test_a_disabled_person_is_let_in_again_and_a_removed_one_is_gone(data: Path) -> None:
    run("add", "ann@corp.example", "--password-stdin", given=f"{_PASSWORD}\n")
    run("disable", "ann")
    off = run_json("list", "--role", "disabled")
    run("enable", "ANN@corp.example")
    run("sign-out", "ann")
    kept = run("remove", "ann", given="n\n", code=1)
    still = run_json("show", "ann")
    run("remove", "ann", given="y\n")

    assert [row["username"] for row in off] == ["ann"]
    assert "0 keys and 0 sessions" in kept.output
    assert still["disabled_at"] is None
    assert "ann" not in run("list").output
    run("show", "ann", code=1)
    run("sign-out", "ann", code=1)


def test_everything_about_a_person_goes_into_one_file_without_secrets(
    data: Path, tmp_path: Path
) -> None:
    run("add", "ann@corp.example", "--password-stdin", given=f"{_PASSWORD}\n")
    made = CliRunner().invoke(
        app, ["keys", "create", "--label", "robot", "--user", "ann@corp.example", "--json"]
    )
    key = json.loads(made.stdout)

    async def fill(store: Store) -> None:
        store.recorder.start()
        for number in range(1203):
            store.recorder.decision(make_decision(id=f"mine {number:04}", key_id=key["id"]))
        store.recorder.decision(make_decision(id="others", key_id="another"))
        store.recorder.usage(make_usage(key_id=key["id"]))
        assert await store.recorder.flush(wait_s=10)

    in_store(data, fill)
    file = tmp_path / "ann.zip"
    told = run_json("export", "ann", str(file))
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name).decode() for name in archive.namelist()}
    person = json.loads(parts["person.json"])
    ids = [json.loads(line)["id"] for line in parts["decisions.ndjson"].splitlines()]

    assert person["person"]["email"] == "ann@corp.example"
    assert [one["label"] for one in person["keys"]] == ["robot"]
    assert ids == [f"mine {number:04}" for number in range(1203)]
    assert told["rows"]["decisions"] == 1203
    assert told["rows"]["usage"] == 1
    assert "user.create" in parts["audit.ndjson"]
    whole = "".join(parts.values())
    assert key["key"] not in whole
    assert "argon2" not in whole
    assert "hash" not in whole
    assert file.stat().st_mode & 0o077 == 0
    assert "exists already" in run("export", "ann", str(file), code=2).output
    run("export", "nobody", str(tmp_path / "no.zip"), code=1)
    assert list(tmp_path.glob("*.zip*")) == [file]
