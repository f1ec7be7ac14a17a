"""`interlock policy save|list|show|tests|activate|rollback|retire|bind|unbind|bindings`.

Policies kept in the server. A running server follows a change within seconds.
"""

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
from interlock.cli.progress import SlowBar
from interlock.cli.when import shown_instant
from interlock.gateway.policies.activation import Checked
from interlock.gateway.policies.model import (
    Binding,
    Policy,
    PolicySet,
    PolicySummary,
    StoredTest,
    TargetKind,
    Version,
)
from interlock.gateway.policies.replaying import OUTCOMES, Outcome, ReplaySummary
from interlock.gateway.policies.service import Saved
from interlock.policy.case_runs import CaseResult

__all__ = ["FailOnOption", "app", "outcomes", "print_counts", "read_text"]

app = typer.Typer()

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the policy.")]
FailOnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-on", help="Fail when the replay has this outcome, e.g. `newly_denied`; repeatable."
    ),
]
_SHOWN_PROBLEMS = 5


@app.command("save")
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
                **_version(saved.policy, saved.version),
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


@app.command("list")
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


@app.command("show")
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


@app.command("tests")
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
                "results": [_result(item) for item in results],
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


@app.command("activate")
def activate(
    name: NameArgument,
    version: Annotated[int | None, typer.Argument(help="Default: the newest version.")] = None,
    *,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Only watch it: decided and recorded, not enforced.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only show what the checks find; change nothing.")
    ] = False,
    fail_on: FailOnOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a version into effect where its policy is bound, in place of the one before.

    It must compile, together with everything else that holds there, and its tests must
    pass. What it would have decided otherwise about the last day's calls is shown.

    Examples:

        interlock policy activate mail --check

        interlock policy activate mail 3 --shadow

        interlock policy activate mail 3 --fail-on newly_denied
    """
    refuse = outcomes(fail_on)

    def checked(found: Checked) -> None:
        if not as_json:
            _print_checks(found)

    async def work(store: Store) -> Checked:
        with SlowBar("replaying the last day") as bar:
            if check:
                found = await store.activations.check(name, version, progress=bar)
                checked(found)
                return found
            return await store.activations.activate(
                name,
                actor(),
                n=version,
                shadow=shadow,
                refuse=refuse,
                progress=bar,
                checked=checked,
            )

    found = on_store(work, data=data, config=config)
    problems = found.problems(refuse) if check else []
    if as_json:
        emit_json(
            {
                **_version(found.policy, found.version),
                "bound": found.bound,
                "problems": problems,
                "tests": [_result(item) for item in found.tests],
                "replay": None if found.replay is None else found.replay.document(),
            }
        )
    elif check:
        out.print("nothing was changed")
    else:
        now = "watched" if shadow else "active"
        out.print(f"version {found.version.n} of [bold]{escape(name)}[/] is now {now}")
        if not found.bound:
            out.print(f"It is not bound yet: `interlock policy bind {escape(name)} --server`")
    raise typer.Exit(1 if problems else 0)


@app.command("rollback")
def rollback(
    name: NameArgument,
    *,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put the version that was active before the current one into effect again.

    Examples:

        interlock policy rollback mail
    """

    async def work(store: Store) -> Version:
        return await store.activations.rollback(name, actor())

    version = on_store(work, data=data, config=config)
    if as_json:
        emit_json({"policy": name, "version": version.n, "state": version.state})
    else:
        out.print(f"version {version.n} of [bold]{escape(name)}[/] is active again")


@app.command("retire")
def retire(
    name: NameArgument,
    *,
    shadow: Annotated[bool, typer.Option("--shadow", help="End the watched version.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """End the active version of a policy, or the watched one; nothing takes its place.

    Examples:

        interlock policy retire mail --shadow
    """

    async def work(store: Store) -> Version:
        return await store.activations.retire(name, actor(), shadow=shadow)

    version = on_store(work, data=data, config=config)
    if as_json:
        emit_json({"policy": name, "version": version.n, "state": version.state})
    else:
        out.print(f"version {version.n} of [bold]{escape(name)}[/] is retired")


ServerOption = Annotated[bool, typer.Option("--server", help="For every caller.")]
AccountOption = Annotated[str | None, typer.Option("--account", help="For an account, by id.")]
KeyOption = Annotated[
    str | None, typer.Option("--key", help="For a gateway key: id, label or prefix.")
]
SurfaceOption = Annotated[
    str | None, typer.Option("--surface", help="For `control`, `platform`, `chat` or `workbench`.")
]


@app.command("bind")
def bind(
    name: NameArgument,
    *,
    server: ServerOption = False,
    account: AccountOption = None,
    key: KeyOption = None,
    surface: SurfaceOption = None,
    order: Annotated[int, typer.Option(help="Smaller numbers come first.")] = 0,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a policy hold for the server, a surface, an account or a key.

    Several policies that hold for a caller are one program, in this order: by number,
    then server, surface, account, key.

    Examples:

        interlock policy bind mail --server

        interlock policy bind finance --key ci-robot --order 10
    """
    kind, target = _target(server, account, key, surface)

    async def work(store: Store) -> Binding:
        return await store.policies.bind(name, kind, target, actor(), position=order)

    binding = on_store(work, data=data, config=config)
    if as_json:
        emit_json(asdict(binding))
    else:
        out.print(f"[bold]{escape(name)}[/] is bound to {escape(binding.where)}")


@app.command("unbind")
def unbind(
    name: NameArgument,
    *,
    server: ServerOption = False,
    account: AccountOption = None,
    key: KeyOption = None,
    surface: SurfaceOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """End a binding.

    Examples:

        interlock policy unbind finance --key ci-robot
    """
    kind, target = _target(server, account, key, surface)

    async def work(store: Store) -> Binding:
        return await store.policies.unbind(name, kind, target, actor())

    binding = on_store(work, data=data, config=config)
    out.print(f"[bold]{escape(name)}[/] is no longer bound to {escape(binding.where)}")


@app.command("bindings")
def bindings(
    *, data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """List where policies hold, in the order they apply.

    Examples:

        interlock policy bindings
    """

    async def work(store: Store) -> PolicySet:
        return await store.policies.current()

    found = on_store(work, data=data, config=config)
    if as_json:
        emit_json(
            [
                {**asdict(item), "policy": found.policies[item.policy_id].name}
                for item in found.bindings
            ]
        )
        return
    if not found.bindings:
        out.print("no bindings")
        return
    table = grid("order", "policy", "active", "watched", "bound to", "since", "by")
    for item in found.bindings:
        active, shadow = found.active.get(item.policy_id), found.shadow.get(item.policy_id)
        table.add_row(
            str(item.position),
            escape(found.policies[item.policy_id].name),
            "-" if active is None else str(active.n),
            "-" if shadow is None else str(shadow.n),
            escape(item.where),
            shown_instant(item.created_at),
            escape(item.created_by),
        )
    out.print(table)


def outcomes(names: Sequence[str] | None) -> tuple[Outcome, ...]:
    """The outcomes that these names mean; ends the command when one means none."""
    found: list[Outcome] = []
    for name in names or ():
        known = next((item for item in OUTCOMES if item == name.replace("-", "_")), None)
        if known is None or known == "same":
            choices = ", ".join(item for item in OUTCOMES if item != "same")
            raise typer.BadParameter(f"`{name}` is not one of {choices}", param_hint="--fail-on")
        found.append(known)
    return tuple(found)


def print_counts(summary: ReplaySummary) -> None:
    """One line per outcome that occurred."""
    shown = {
        "same": summary.counts["same"],
        "newly denied": summary.counts["newly_denied"],
        "newly allowed": summary.counts["newly_allowed"],
        "by another rule": summary.counts["other_rule"],
    }
    out.print(", ".join(f"{count} {name}" for name, count in shown.items()))
    for why, count in summary.unknown.most_common():
        out.print(f"[yellow]{count} unknown[/]: {escape(why)}")
    if summary.skipped:
        out.print(f"[dim]{summary.skipped} calls are not concerned[/]")
    if summary.left_out:
        out.print(f"[yellow]{summary.left_out} older calls were left out[/]")


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


def _yaml_files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.suffix in {".yaml", ".yml"})
    return [path]


def _target(
    server: bool, account: str | None, key: str | None, surface: str | None
) -> tuple[TargetKind, str]:
    given: dict[TargetKind, str | None] = {
        "server": "" if server else None,
        "account": account,
        "key": key,
        "surface": surface,
    }
    named = [(kind, target) for kind, target in given.items() if target is not None]
    if len(named) != 1:
        raise typer.BadParameter(
            "say where with one of --server, --account, --key and --surface",
            param_hint="where",
        )
    return named[0]


def _version(policy: Policy, version: Version) -> dict[str, Any]:
    return {
        "policy": policy.name,
        "id": policy.id,
        "language": policy.language,
        "version": version.n,
        "state": version.state,
        "note": version.note,
    }


def _result(result: CaseResult) -> dict[str, Any]:
    return {"name": result.name, "passed": result.passed, "problems": list(result.problems)}


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


def _print_checks(found: Checked) -> None:
    """What the checks found, before anything changes."""
    warnings = [item for item in found.findings if item.severity == "warning"]
    for finding in warnings:
        typer.echo(f"warning: {finding.render()}\n", err=True)
    compiles = "[red]does not compile[/]" if found.compile_problems() else "compiles"
    out.print(f"version {found.version.n} of [bold]{escape(found.policy.name)}[/] {compiles}")
    for problem in found.compile_problems():
        out.print(escape(problem))
    failed = found.failed_tests
    out.print(f"tests: {len(found.tests) - len(failed)} passed, {len(failed)} failed")
    for result in failed[:_SHOWN_PROBLEMS]:
        out.print(f"  [red]{escape(result.name)}[/]: {escape('; '.join(result.problems))}")
    if found.replay is not None:
        where = "" if found.bound else ", as if it were bound to the server"
        out.print(f"the last day's {found.replay.total} calls{where}: ", end="")
        print_counts(found.replay)
        for call in found.replay.changed[:_SHOWN_PROBLEMS]:
            out.print(
                f"  {call.outcome.replace('_', ' ')}: {escape(call.tool)} "
                f"{escape(call.before)} -> {escape(str(call.after))} [dim]{call.decision}[/]"
            )
