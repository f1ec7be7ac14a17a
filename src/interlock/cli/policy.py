"""`interlock policy`: check a policy text, run its tests, explain one decision.

These three need no server and no store. The commands on policies kept in the server are
defined in the modules the table names.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from interlock.cli.lazy import MARKUP, Lazy, LazyGroup
from interlock.kernel.errors import InterlockError
from interlock.policy.case_runs import CaseResult, run_cases
from interlock.policy.cases import Setting, load_cases, read_caller, read_labels, read_presets
from interlock.policy.compiled import CompiledPolicy, compile_policy
from interlock.policy.errors import PolicyError
from interlock.policy.explain import explain, explain_text
from interlock.policy.model import PolicySource, Session, ToolCall

__all__ = ["app"]

_STORE = "interlock.cli.policy_store"
_BINDINGS = "interlock.cli.policy_bindings"
_ACTIVATION = "interlock.cli.policy_activation"


class _Commands(LazyGroup):
    """The commands on policies kept in the server."""

    lazy: ClassVar[Mapping[str, Lazy]] = {
        "save": Lazy(
            f"{_STORE}:save",
            "Keep a policy text in the server, as a new draft version. It has no effect yet.",
        ),
        "list": Lazy(f"{_STORE}:list_policies", "List the policies kept in the server."),
        "show": Lazy(
            f"{_STORE}:show",
            "Show the versions of a policy and its newest text, or the text of one version.",
        ),
        "tests": Lazy(
            f"{_STORE}:kept_tests",
            "Keep tests with a policy, list them and run them. Activation needs all of them to "
            "pass.",
        ),
        "bind": Lazy(
            f"{_BINDINGS}:bind",
            "Make a policy hold for the server, a surface, an account or a key.",
        ),
        "unbind": Lazy(f"{_BINDINGS}:unbind", "End a binding."),
        "bindings": Lazy(
            f"{_BINDINGS}:bindings", "List where policies hold, in the order they apply."
        ),
        "activate": Lazy(
            f"{_ACTIVATION}:activate",
            "Put a version into effect where its policy is bound, in place of the one before.",
        ),
        "rollback": Lazy(
            f"{_ACTIVATION}:rollback",
            "Put the version that was active before the current one into effect again.",
        ),
        "retire": Lazy(
            f"{_ACTIVATION}:retire",
            "End the active version of a policy, or the watched one; nothing takes its place.",
        ),
        "generate": Lazy(
            "interlock.cli.policy_generate:generate",
            "Write a policy from a description; what is printed compiles.",
        ),
        "shipped": Lazy(
            "interlock.cli.policy_shipped:shipped",
            "List the policies that come with Interlock, or print one.",
        ),
        "replay": Lazy(
            "interlock.cli.policy_replay:replay",
            "Decide recorded calls again under another policy and show what comes out otherwise.",
        ),
    }


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    help="Write, check, test, keep, activate and replay policies.",
    rich_markup_mode=MARKUP,
)

_CEDAR_SUFFIX = ".cedar"
_EXIT_FAILED, _EXIT_USAGE = 1, 2

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A policy text, `-` for standard input.")],
    tool: Annotated[
        list[str] | None,
        typer.Option("--tool", help="A tool that exists; unknown ids are then warned about."),
    ] = None,
    strict: Annotated[bool, typer.Option(help="Exit with 1 on warnings too.")] = False,
    as_json: Json = False,
) -> None:
    """Checks a policy text and shows every mistake with its place.

    Exits with 0 when it compiles, 1 when it does not.

    Examples:

        interlock policy check mail.sqrt

        interlock policy check mail.sqrt --tool send_email --tool get_doc --json

        interlock policy check - < mail.sqrt
    """
    source = _source(file)
    known = dict.fromkeys(tool) if tool else None
    defaults = Setting()
    try:
        compiled = compile_policy(
            [source], presets=defaults.presets, caller=defaults.caller, known_tools=known
        )
    except PolicyError as error:
        found = error.diagnostics
    else:
        found = compiled.warnings
    errors = [item for item in found if item.severity == "error"]
    failed = bool(errors) or (strict and bool(found))
    if as_json:
        _print_json({"valid": not errors, "findings": [item.to_dict() for item in found]})
    else:
        for item in found:
            typer.echo(f"{item.severity}: {item.render()}\n", err=True)
        warnings = len(found) - len(errors)
        typer.echo(f"{source.name}: {_count(len(errors), 'error')}, {_count(warnings, 'warning')}")
    raise typer.Exit(_EXIT_FAILED if failed else 0)


@app.command("test")
def run_tests(
    path: Annotated[Path, typer.Argument(help="A test file, or a directory searched for them.")],
    as_json: Json = False,
) -> None:
    """Runs policy tests: YAML files with a policy, calls and the verdicts expected.

    Exits with 0 when every test passes, 1 when one fails, 2 when there is none
    or a file is not in the format.

    Example of a file:

        policy: |
          tool "pay" { must deny when amount.value in {int 100..}; }
        tests:
          - name: large payments are denied
            call: {tool: pay, args: {amount: 100}}
            want: {verdict: hard_denied, rule: "pay#0"}

    Examples:

        interlock policy test tests/policies

        interlock policy test pay.yaml --json
    """
    files = _test_files(path)
    if not files:
        _fail(f"no `.yaml` files in `{path}`")
    results = [result for file in files for result in _run_file(file)]
    if not results:
        _fail(f"no tests in `{path}`")
    failed = [result for result in results if not result.passed]
    if as_json:
        _print_json(
            {
                "passed": len(results) - len(failed),
                "failed": len(failed),
                "tests": [
                    {
                        "file": r.file,
                        "name": r.name,
                        "passed": r.passed,
                        "problems": list(r.problems),
                    }
                    for r in results
                ],
            }
        )
    else:
        _print_results(results, failed)
    raise typer.Exit(_EXIT_FAILED if failed else 0)


@app.command("explain")
def explain_call(
    file: Annotated[Path, typer.Argument(help="A policy text, `-` for standard input.")],
    *,
    tool: Annotated[str, typer.Option("--tool", help="The tool that is called.")],
    args: Annotated[str, typer.Option("--args", help="Its arguments, a JSON object.")] = "{}",
    labels: Annotated[
        str,
        typer.Option("--labels", help='By argument: {"body": {"tags": ["secret"]}}.'),
    ] = "{}",
    session: Annotated[
        str, typer.Option("--session", help='Session labels: {"tags": ["seen"]}.')
    ] = "{}",
    caller: Annotated[
        str, typer.Option("--caller", help='Who asks: {"user": "ada", "groups": ["finance"]}.')
    ] = "{}",
    presets: Annotated[
        str, typer.Option("--presets", help='As in X-Policy: {"default_allow": false}.')
    ] = "{}",
    as_json: Json = False,
) -> None:
    """Decides one call and shows each rule: fired or why not.

    Exits with 0 when the call is allowed, 1 when it is denied.

    Examples:

        interlock policy explain mail.sqrt --tool send_email --args '{"to": "eve@evil.com"}'

        interlock policy explain mail.sqrt --tool send_email --args '{"body": "x"}'
        --labels '{"body": {"tags": ["confidential"]}}' --session '{"tags": ["web"]}' --json
    """
    call_args = _object(args, "--args")
    argument_labels = _object(labels, "--labels")
    try:
        held = {
            name: read_labels(spec, {}, f"--labels: {name}")
            for name, spec in argument_labels.items()
        }
        state = Session(labels=read_labels(_object(session, "--session"), {}, "--session"))
        compiled = _compiled(file, _object(caller, "--caller"), _object(presets, "--presets"))
    except InterlockError as error:
        _fail(error.message, error.hint)
    unknown = sorted(set(held) - set(call_args))
    if unknown:
        _fail(f"--labels: `{unknown[0]}` is no argument of the call")
    call = ToolCall(tool=tool, args=call_args, labels=held)
    decision = compiled.decide(call, state, trace=True)
    if as_json:
        _print_json(explain(decision))
    else:
        typer.echo(explain_text(decision))
    raise typer.Exit(0 if decision.verdict.allowed else _EXIT_FAILED)


def _compiled(file: Path, caller: object, presets: object) -> CompiledPolicy:
    return compile_policy(
        [_source(file)],
        presets=read_presets(presets, "--presets"),
        caller=read_caller(caller, "--caller"),
    )


def _source(file: Path) -> PolicySource:
    cedar = file.suffix == _CEDAR_SUFFIX
    name = "stdin" if str(file) == "-" else str(file)
    return PolicySource(name=name, text=_read(file), language="cedar" if cedar else "sqrt")


def _read(file: Path) -> str:
    if str(file) == "-":
        return typer.get_text_stream("stdin").read()
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        _fail(f"cannot read `{file}`: {error.strerror}")
    except UnicodeDecodeError:
        _fail(f"cannot read `{file}`: it is not UTF-8 text")


def _test_files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*.y*ml") if file.suffix in {".yaml", ".yml"})
    return [path]


def _run_file(file: Path) -> Iterator[CaseResult]:
    try:
        loaded = load_cases(_read(file), str(file), lambda name: _read(file.parent / name))
        yield from run_cases(loaded)
    except InterlockError as error:
        _fail(error.message, error.hint)


def _print_results(results: list[CaseResult], failed: list[CaseResult]) -> None:
    table = Table("file", "test", "result")
    for result in results:
        outcome = "passed" if result.passed else "FAILED"
        table.add_row(escape(result.file), escape(result.name), outcome)
    Console().print(table)
    for result in failed:
        typer.echo(f"\n{result.file}: {result.name}")
        for problem in result.problems:
            typer.echo(f"  {problem}")
    typer.echo(f"\n{len(results) - len(failed)} passed, {len(failed)} failed")


def _object(text: str, option: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        _fail(f"{option}: not valid JSON: {error}")
    if not isinstance(value, dict):
        _fail(f"{option}: expected a JSON object")
    return value


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, default=str))


def _fail(message: str, hint: str | None = None) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    if hint:
        typer.echo(f"  help: {hint}", err=True)
    raise typer.Exit(_EXIT_USAGE)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
