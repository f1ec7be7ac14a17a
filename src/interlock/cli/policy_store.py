"""`interlock policy save|list|show|tests`: policies kept in the server, and their tests."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from interlock.app_store import Store
from interlock.cli.local import (
    ConfigOption,
    DataOption,
    JsonOption,
    actor,
    emit_json,
    grid,
    on_store,
    out,
)
from interlock.cli.when import shown_instant
from interlock.gateway.policies.model import (
    Policy,
    PolicySummary,
    StoredTest,
    Version,
)
from interlock.gateway.policies.service import Saved
from interlock.policy.case_runs import CaseResult

__all__ = [
    "NameArgument",
    "kept_tests",
    "list_policies",
    "read_text",
    "result_document",
    "save",
    "show",
    "version_document",
]

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the policy.")]


def save(
    name: NameArgument,
    file: Annotated[Path, typer.Argument(help="Policy text (`.cedar`: Cedar), `-` for stdin.")],
    *,
    note: Annotated[str, typer.Option(help="What this version is about.")] = "",
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep a policy text in the server, as a new draft version. It has no effect yet.

    Examples:

        interlock policy save mail mail.sqrt --note "allow the new domain"
    """
    text = read_text(file)

    async def work(store: Store) -> Saved:
        return await store.policies.save(
            name, text, actor(), language="cedar" if file.suffix == ".cedar" else "sqrt", note=note
        )

    saved = on_store(work, data=data, config=config)
    if as_json:
        emit_json(
            {
                **version_document(saved.policy, saved.version),
                "new": saved.new,
                "findings": [item.to_dict() for item in saved.findings],
            }
        )
        return
    for finding in saved.findings:
        typer.echo(f"{finding.severity}: {finding.render()}\n", err=True)
    done = "saved as" if saved.new else "the text is the same as in"
    out.print(f"[bold]{escape(name)}[/]: {done} version {saved.version.n} ({saved.version.state})")
    if any(item.severity == "error" for item in saved.findings):
        out.print("It does not compile: it can be kept, but not activated.")


def list_policies(
    *, data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """List the policies kept in the server.

    Examples:

        interlock policy list
    """

    async def work(store: Store) -> list[PolicySummary]:
        return await store.policies.summaries()

    found = on_store(work, data=data, config=config)
    if as_json:
        emit_json([asdict(item) for item in found])
        return
    if not found:
        out.print("no policies")
        return
    table = grid("name", "language", "newest", "active", "watched", "bindings", "tests")
    for item in found:
        table.add_row(
            escape(item.policy.name),
            item.policy.language,
            str(item.newest),
            "-" if item.active is None else str(item.active),
            "-" if item.shadow is None else str(item.shadow),
            str(item.bindings),
            str(item.tests),
        )
    out.print(table)


def show(
    name: NameArgument,
    *,
    version: Annotated[int | None, typer.Option(help="Show the text of this version.")] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the versions of a policy and its newest text, or the text of one version.

    Examples:

        interlock policy show mail

        interlock policy show mail --version 2 > mail-2.sqrt
    """

    async def work(store: Store) -> tuple[Policy, list[Version]]:
        if version is None:
            return await store.policies.versions(name)
        policy, found = await store.policies.version(name, version)
        return policy, [found]

    policy, versions = on_store(work, data=data, config=config)
    if as_json:
        emit_json({"policy": asdict(policy), "versions": [asdict(item) for item in versions]})
        return
    if version is not None:
        typer.echo(versions[0].text, nl=not versions[0].text.endswith("\n"))
        return
    table = grid("version", "state", "since", "saved", "by", "note")
    for item in versions:
        table.add_row(
            str(item.n),
            item.state,
            shown_instant(item.changed_at or item.created_at),
            shown_instant(item.created_at),
            escape(item.author),
            escape(item.note),
        )
    out.print(table)
    typer.echo(versions[0].text, nl=not versions[0].text.endswith("\n"))


def kept_tests(
    name: NameArgument,
    *,
    add: Annotated[
        list[Path] | None,
        typer.Option("--add", help="Keep the tests of this YAML file or directory; repeatable."),
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", help="Remove the test of this name; repeatable.")
    ] = None,
    version: Annotated[
        int | None, typer.Option(help="Run them against this version; default: the newest.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep tests with a policy, list them and run them. Activation needs all of them to pass.

    The files are those of `interlock policy test`; the policy named in them does not
    matter here. Exits with 1 when a test fails.

    Examples:

        interlock policy tests mail --add tests/mail

        interlock policy tests mail --version 2
    """
    files = [(str(file), read_text(file)) for path in add or () for file in _yaml_files(path)]
    if add and not files:
        raise typer.BadParameter("there are no `.yaml` files", param_hint="--add")

    async def work(store: Store) -> tuple[Version, list[StoredTest], list[CaseResult]]:
        for test in remove or ():
            await store.policies.remove_test(name, test, actor())
        if files:
            await store.policies.add_tests(name, files, actor())
        return await store.policies.run_tests(name, version)

    against, stored, results = on_store(work, data=data, config=config)
    failed = [result for result in results if not result.passed]
    if as_json:
        emit_json(
            {
                "policy": name,
                "version": against.n,
                "tests": [asdict(item) for item in stored],
                "results": [result_document(item) for item in results],
            }
        )
    else:
        _print_tests(results)
        out.print(
            f"version {against.n}: {len(results) - len(failed)} passed, {len(failed)} failed"
            if results
            else "no tests"
        )
    raise typer.Exit(1 if failed else 0)


def read_text(file: Path) -> str:
    """The text of a file, `-` for standard input; ends the command when it cannot be read."""
    try:
        if str(file) == "-":
            return typer.get_text_stream("stdin").read()
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"cannot read `{file}`: {error.strerror}") from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"cannot read `{file}`: it is not UTF-8 text") from None


def version_document(policy: Policy, version: Version) -> dict[str, Any]:
    """A version for programs, without its text."""
    return {
        "policy": policy.name,
        "id": policy.id,
        "language": policy.language,
        "version": version.n,
        "state": version.state,
        "note": version.note,
    }


def result_document(result: CaseResult) -> dict[str, Any]:
    """The result of a test for programs."""
    return {"name": result.name, "passed": result.passed, "problems": list(result.problems)}


def _yaml_files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.suffix in {".yaml", ".yml"})
    return [path]


def _print_tests(results: Sequence[CaseResult]) -> None:
    if not results:
        return
    table = grid("test", "result")
    for result in results:
        table.add_row(escape(result.name), "passed" if result.passed else "[red]FAILED[/]")
    out.print(table)
    for result in results:
        for problem in result.problems:
            out.print(f"{escape(result.name)}: {escape(problem)}")
