"""The policy commands."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from interlock.cli.policy import app

TEXT = """\
tool "send" {
    /// colleagues only
    must deny when not to.value in {str like w"*@corp.com"};
}
"""


def run(*args: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], input=stdin)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "mail.sqrt"
    file.write_text(TEXT)
    return file


def test_a_policy_that_compiles_exits_with_zero(policy: Path) -> None:
    result = run("check", policy)

    assert result.exit_code == 0
    assert result.stdout == f"{policy}: 0 errors, 0 warnings\n"


def test_every_error_is_shown_with_a_caret(tmp_path: Path) -> None:
    file = tmp_path / "bad.sqrt"
    file.write_text('tool "x" { must deny when a; must deny when b; }')

    result = run("check", file)

    assert result.exit_code == 1
    assert result.stderr.count("^") == 2
    assert "line 1, column 27" in result.stderr
    assert result.stdout == f"{file}: 2 errors, 0 warnings\n"


def test_warnings_fail_only_when_asked(policy: Path) -> None:
    assert run("check", policy, "--tool", "other").exit_code == 0
    strict = run("check", policy, "--tool", "other", "--strict")

    assert strict.exit_code == 1
    assert "no declared tool is called `send`" in strict.stderr
    assert "0 errors, 1 warning\n" in strict.stdout


def test_check_speaks_json_and_reads_standard_input() -> None:
    result = run("check", "-", "--json", stdin="let a")

    assert result.exit_code == 1
    shown = json.loads(result.stdout)
    assert shown["valid"] is False
    assert (shown["findings"][0]["source"], shown["findings"][0]["line"]) == ("stdin", 1)


def test_cedar_files_are_known_by_their_name(tmp_path: Path) -> None:
    file = tmp_path / "guard.cedar"
    file.write_text("permit(principal, action, resource);")

    assert run("check", file).exit_code == 0


def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path: Path) -> None:
    binary = tmp_path / "x.sqrt"
    binary.write_bytes(b"\xff\xfe")

    assert run("check", tmp_path / "gone.sqrt").exit_code == 2
    assert run("check", binary).exit_code == 2
    assert "not UTF-8" in run("check", binary).stderr


CASES = """\
policies: [{name: mail, file: mail.sqrt}]
tests:
  - {name: inside, call: {tool: send, args: {to: a@corp.com}}, want: {verdict: soft_allowed}}
  - {name: outside, call: {tool: send, args: {to: a@evil.com}}, want: {verdict: VERDICT}}
"""


def test_tests_that_pass_exit_with_zero(policy: Path) -> None:
    (policy.parent / "mail.yaml").write_text(CASES.replace("VERDICT", "hard_denied"))

    result = run("test", policy.parent)

    assert result.exit_code == 0
    assert "2 passed, 0 failed" in result.stdout
    assert "inside" in result.stdout


def test_a_failing_test_is_named_and_exits_with_one(policy: Path) -> None:
    file = policy.parent / "mail.yaml"
    file.write_text(CASES.replace("VERDICT", "soft_allowed"))

    result = run("test", file)
    as_json = run("test", file, "--json")

    assert result.exit_code == as_json.exit_code == 1
    assert "expected 'soft_allowed', got 'hard_denied'" in result.stdout
    shown = json.loads(as_json.stdout)
    assert (shown["passed"], shown["failed"]) == (1, 1)
    assert [test["passed"] for test in shown["tests"]] == [True, False]


def test_no_tests_at_all_is_a_usage_error(tmp_path: Path) -> None:
    assert run("test", tmp_path).exit_code == 2
    (tmp_path / "empty.yaml").write_text("note: nothing")
    assert run("test", tmp_path).exit_code == 2
    (tmp_path / "bad.yml").write_text("notes: nothing")
    bad = run("test", tmp_path / "bad.yml")
    assert bad.exit_code == 2
    assert "unknown key `notes`" in bad.stderr
    assert "known keys" in bad.stderr


def test_explaining_a_denied_call_exits_with_one(policy: Path) -> None:
    result = run("explain", policy, "--tool", "send", "--args", '{"to": "a@evil.com"}')

    assert result.exit_code == 1
    assert "[fired] send#0 line 3" in result.stdout
    assert "/// colleagues only" in result.stdout
    assert "false: to.value in" in result.stdout


def test_explaining_an_allowed_call_says_why_nothing_fired(policy: Path) -> None:
    result = run(
        "explain",
        policy,
        "--tool=send",
        '--args={"to": "a@corp.com"}',
        '--labels={"to": {"tags": ["x"]}}',
        '--session={"tags": ["web"]}',
        '--caller={"user": "ada"}',
        '--presets={"default_allow": true}',
        "--json",
    )

    assert result.exit_code == 0
    shown = json.loads(result.stdout)
    assert shown["rules"][0]["state"] == "not_fired"
    assert shown["rules"][0]["conditions"][0]["operands"] == {"to.value": "a@corp.com"}
    assert shown["session"]["tags"] == ["web"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--args=[1]", "--args: expected a JSON object"),
        ("--args={", "--args: not valid JSON"),
        ('--labels={"x": {}}', "--labels: `x` is no argument of the call"),
        ('--labels={"to": {"tag": []}}', "unknown key `tag`"),
        ('--caller={"surface": "fax"}', "--caller.surface"),
    ],
)
def test_bad_options_are_usage_errors(policy: Path, option: str, message: str) -> None:
    result = run("explain", policy, "--tool=send", option)

    assert result.exit_code == 2
    assert message in result.stderr


def test_explaining_a_broken_policy_shows_the_error(tmp_path: Path) -> None:
    file = tmp_path / "bad.sqrt"
    file.write_text("must")

    result = run("explain", file, "--tool=send")

    assert result.exit_code == 2
    assert "expected `tool` or `let`" in result.stderr


@pytest.mark.parametrize("command", ["check", "test", "explain"])
def test_help_has_examples(command: str) -> None:
    assert f"interlock policy {command}" in run(command, "--help").stdout
