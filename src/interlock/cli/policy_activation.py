"""`interlock policy activate|rollback|retire`: what is in effect.

A running server follows a change within seconds.
"""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape

from interlock.app_store import Store
from interlock.cli.local import (
    ConfigOption,
    DataOption,
    JsonOption,
    actor,
    emit_json,
    on_store,
    out,
)
from interlock.cli.policy_store import NameArgument, result_document, version_document
from interlock.cli.progress import SlowBar
from interlock.gateway.policies.activation import Checked
from interlock.gateway.policies.model import Version
from interlock.gateway.policies.replaying import OUTCOMES, Outcome, ReplaySummary

__all__ = ["FailOnOption", "activate", "outcomes", "print_counts", "retire", "rollback"]

FailOnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-on", help="Fail when the replay has this outcome, e.g. `newly_denied`; repeatable."
    ),
]
_SHOWN_PROBLEMS = 5


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
                **version_document(found.policy, found.version),
                "bound": found.bound,
                "problems": problems,
                "tests": [result_document(item) for item in found.tests],
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
