"""`interlock policy` and `interlock tools` on the data directory of a server that has served."""

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.support.policy_traffic import make_data
from typer.testing import CliRunner, Result

from interlock.cli import progress
from interlock.cli.main import app
from interlock.cli.progress import SlowBar

CORP = 'tool "send_email" { hard deny when not to.value in {str like w"*@corp.example"}; }'


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
    (tmp_path / "corp.sqrt").write_text(CORP)
    return tmp_path


def run(*arguments: str, code: int = 0, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(app, list(arguments), input=stdin)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def run_json(*arguments: str, code: int = 0) -> Any:
    return json.loads(run(*arguments, "--json", code=code).stdout)


def test_a_replay_says_which_calls_would_come_out_otherwise() -> None:
    found = run_json("policy", "replay", "--policy", "corp.sqrt")

    assert {name: found[name] for name in ("calls", "same", "newly_denied", "newly_allowed")} == {
        "calls": 5,
        "same": 2,
        "newly_denied": 1,
        "newly_allowed": 1,
    }
    assert found["unknown_because"] == {"the values were not kept": 1}
    assert {(call["before"], call["after"]) for call in found["changed"]} == {
        ("soft_allowed", "hard_denied"),
        ("hard_denied", "soft_allowed"),
    }
    table = run("policy", "replay", "--policy", "corp.sqrt").output
    assert "1 newly denied" in table
    assert "1 unknown: the values were not kept" in table
    assert found["changed"][0]["decision"] in table


def test_the_policy_of_the_request_stays_on_top_when_asked_for() -> None:
    found = run_json("policy", "replay", "--policy", "corp.sqrt", "--with-headers")

    assert (found["same"], found["newly_denied"], found["newly_allowed"]) == (3, 1, 0)


def test_a_replay_can_be_narrowed_and_can_fail_a_build() -> None:
    replay = ("policy", "replay", "--policy", "corp.sqrt")

    assert run_json(*replay, "--verdict", "denied")["calls"] == 1
    assert run_json(*replay, "--tool", "read*")["calls"] == 0
    assert run_json(*replay, "--key", "robot")["calls"] == 1
    assert run_json(*replay, "--until", "1h")["calls"] == 0
    limited = run_json(*replay, "--limit", "2")
    assert (limited["calls"], limited["left_out"]) == (2, 3)
    failed = run(*replay, "--fail-on", "newly_denied", code=1)
    assert "failed on: 1 newly_denied" in failed.stderr
    run(*replay, "--fail-on", "newly-denied", "--verdict", "denied")


def test_policies_to_replay_are_files_or_kept_ones_or_both() -> None:
    run("policy", "save", "mail", "corp.sqrt")
    run("policy", "save", "mail", "-", stdin=CORP + " // again")
    Path("deny.sqrt").write_text('tool "send_email" { hard deny always; }')
    run("policy", "save", "mail", "deny.sqrt")

    assert run_json("policy", "replay", "--policy", "mail@1")["newly_denied"] == 1
    assert run_json("policy", "replay", "--policy", "mail")["newly_denied"] == 3
    both = run_json("policy", "replay", "--policy", "mail@1", "--policy", "deny.sqrt")
    assert both["newly_denied"] == 3
    assert "no version 9" in run("policy", "replay", "--policy", "mail@9", code=1).output
    assert "no policy `other`" in run("policy", "replay", "--policy", "other", code=1).output
    run("policy", "replay", "--policy", "mail@x", code=2)


@pytest.mark.parametrize(
    "arguments",
    [
        ("replay",),
        ("replay", "--policy", "corp.sqrt", "--watched", "mail"),
        ("replay", "--policy", "missing.sqrt"),
        ("replay", "--policy", "corp.sqrt", "--fail-on", "same"),
        ("replay", "--policy", "corp.sqrt", "--fail-on", "whatever"),
        ("replay", "--policy", "corp.sqrt", "--since", "yesterday"),
        ("replay", "--policy", "broken.sqrt"),
        ("save", "a b", "corp.sqrt"),
        ("save", "mail", "missing.sqrt"),
        ("save", "mail", "binary.sqrt"),
        ("bind", "mail"),
        ("bind", "mail", "--server", "--key", "robot"),
        ("bind", "mail", "--surface", "moon"),
        ("tests", "mail", "--add", "empty"),
        ("activate", "mail", "--fail-on", "same"),
    ],
)
def test_what_is_wrong_in_a_command_is_said_in_a_line(arguments: tuple[str, ...]) -> None:
    Path("broken.sqrt").write_text("must allow;")
    Path("binary.sqrt").write_bytes(b"\xff\xfe")
    Path("empty").mkdir()
    run("policy", "save", "mail", "corp.sqrt")

    run("policy", *arguments, code=2)


def test_a_text_that_does_not_compile_is_kept_but_not_activated() -> None:
    Path("broken.sqrt").write_text('tool "x" { must allow; }')
    saved = run("policy", "save", "mail", "broken.sqrt")

    assert "saved as version 1" in saved.stdout
    assert "error:" in saved.stderr
    refused = run("policy", "activate", "mail", code=1)
    assert "activating version 1 of `mail` is refused" in refused.stderr
    assert "line 1, column" in refused.stderr
    checked = run_json("policy", "activate", "mail", "--check", code=1)
    assert checked["state"] == "draft"
    assert checked["problems"]


def test_activation_shows_its_checks_and_can_insist_on_the_replay() -> None:
    run("policy", "save", "mail", "corp.sqrt", "--note", "first")
    refused = run("policy", "activate", "mail", "--fail-on", "newly_denied", code=1)
    assert "1 newly denied" in refused.stdout
    assert "1 calls would be newly denied" in refused.stderr
    assert run_json("policy", "list")[0]["active"] is None

    done = run("policy", "activate", "mail")
    assert "as if it were bound to the server" in done.output
    assert "interlock policy bind mail --server" in done.output
    bound = run_json("policy", "bind", "mail", "--key", "robot", "--order", "4")
    (listed,) = run_json("policy", "bindings")
    assert (listed["policy"], listed["kind"], listed["target"], listed["position"]) == (
        "mail",
        "key",
        bound["target"],
        4,
    )
    (summary,) = run_json("policy", "list")
    assert (summary["active"], summary["shadow"], summary["bindings"]) == (1, None, 1)
    (version,) = run_json("policy", "show", "mail")["versions"]
    assert (version["state"], version["note"], version["text"]) == ("active", "first", CORP)
    assert run("policy", "show", "mail", "--version", "1").stdout == CORP + "\n"
    actions = [entry["action"] for entry in run_json("audit", "list", "--action", "policy.*")]
    assert actions == ["policy.bind", "policy.activate", "policy.save"]
    replay = run_json("audit", "list", "--action", "policy.activate")[0]["after"]["replay"]
    assert replay["newly_denied"] == 1


def test_tests_are_kept_run_and_removed() -> None:
    run("policy", "save", "mail", "corp.sqrt")
    Path("cases").mkdir()
    Path("cases/a.yaml").write_text(
        "tests:\n"
        "  - {name: in, call: {tool: send_email, args: {to: a@corp.example}},"
        " want: {verdict: soft_allowed}}\n"
        "  - {name: out, call: {tool: send_email, args: {to: b@evil.example}},"
        " want: {verdict: soft_allowed}}\n"
    )
    found = run_json("policy", "tests", "mail", "--add", "cases", code=1)

    assert [(item["name"], item["passed"]) for item in found["results"]] == [
        ("in", True),
        ("out", False),
    ]
    assert "test `out` fails" in run("policy", "activate", "mail", code=1).stderr
    run("policy", "activate", "mail", "--shadow")
    assert "1 passed, 0 failed" in run("policy", "tests", "mail", "--remove", "out").output
    run("policy", "tests", "mail", "--remove", "out", code=1)
    run("policy", "activate", "mail")
    run("policy", "activate", "mail", code=1)


def test_commands_without_anything_to_show_say_so() -> None:
    assert "no policies" in run("policy", "list").output
    assert "no bindings" in run("policy", "bindings").output
    assert "no tools" in run("tools", "list").output
    for arguments in (
        ("show", "x"),
        ("rollback", "x"),
        ("retire", "x"),
        ("unbind", "x", "--server"),
    ):
        assert "no policy `x`" in run("policy", *arguments, code=1).output
    run("tools", "approve", "robot", "send_email", code=1)


def test_a_bar_appears_only_on_a_terminal_and_after_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = io.StringIO()
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(
        progress, "Console", lambda **_: Console(file=screen, force_terminal=True, width=100)
    )
    with SlowBar("replaying") as bar:
        bar(1, 10)
        assert screen.getvalue() == ""
        now[0] = 1.5
        bar(5, 10)
        assert "replaying" in screen.getvalue()
        assert "5/10" in screen.getvalue()

    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=screen, width=100))
    screen.truncate(0)
    with SlowBar("silent") as bar:
        now[0] = 9.0
        bar(5, 10)
    assert "silent" not in screen.getvalue()
