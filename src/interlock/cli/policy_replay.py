"""`interlock policy replay`: what another policy would have decided about recorded calls."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from interlock.app_store import Store
from interlock.cli.decisions import (
    KeyOption,
    LabelOption,
    RuleOption,
    SessionOption,
    ToolOption,
    VerdictOption,
    verdicts,
    with_key,
)
from interlock.cli.local import ConfigOption, DataOption, JsonOption, emit_json, grid, on_store, out
from interlock.cli.policy_activation import FailOnOption, outcomes, print_counts
from interlock.cli.policy_store import read_text
from interlock.cli.progress import SlowBar
from interlock.cli.when import parse_instant, shown_instant
from interlock.gateway.history import DecisionFilter
from interlock.gateway.policies.model import source_of
from interlock.gateway.policies.replaying import ReplayedCall, ReplaySummary
from interlock.kernel.clock import SystemClock
from interlock.policy.compiled import compile_policy
from interlock.policy.model import Caller, PolicySource, Presets

__all__ = ["replay"]

_SUFFIXES = {".sqrt", ".cedar"}


def replay(
    *,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            help="A policy file, or NAME or NAME@VERSION of a kept one; several are one program.",
        ),
    ] = None,
    watched: Annotated[
        str | None,
        typer.Option(
            "--watched",
            help="Instead of --policy: what this watched policy (NAME or NAME@VERSION) said.",
        ),
    ] = None,
    with_headers: Annotated[
        bool,
        typer.Option("--with-headers", help="Put each request's own X-Policy on top, as it was."),
    ] = False,
    since: Annotated[str, typer.Option(help="A date or a span such as `7d`.")] = "24h",
    until: Annotated[str | None, typer.Option(help="A date or a span.")] = None,
    verdict: VerdictOption = None,
    tool: ToolOption = None,
    rule: RuleOption = None,
    label: LabelOption = None,
    key: KeyOption = None,
    session: SessionOption = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Look only at the newest that many calls.")
    ] = None,
    show: Annotated[int, typer.Option(min=0, help="Show at most that many changed calls.")] = 50,
    fail_on: FailOnOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide recorded calls again under another policy and show what comes out otherwise.

    Each call is decided on the labels it came with, for the caller it came from. Calls
    whose argument values were not kept are counted as unknown. Exits with 1 when there
    is an outcome named by --fail-on.

    Examples:

        interlock policy replay --since 7d --policy mail.sqrt

        interlock policy replay --policy mail@3 --tool send_email --fail-on newly_denied

        interlock policy replay --watched mail --verdict allowed --json
    """
    refused = outcomes(fail_on)
    if bool(policy) is bool(watched):
        raise typer.BadParameter("give either --policy or --watched", param_hint="--policy")
    given = [_file(name) for name in policy or ()]
    wanted = DecisionFilter(
        verdicts=verdicts(verdict),
        tool=tool,
        rule=rule,
        label=label,
        session_id=session,
        since=parse_instant(since, "--since"),
        until=parse_instant(until, "--until"),
    )

    async def work(store: Store) -> ReplaySummary:
        full = await with_key(store, wanted, key)
        now = SystemClock().now().timestamp()
        with SlowBar("replaying") as bar:
            if watched:
                return await store.replays.watched(
                    full, watched, until=now, limit=limit, progress=bar
                )
            sources = [
                await _kept(store, item) if isinstance(item, str) else item for item in given
            ]
            compile_policy(sources, presets=Presets(), caller=Caller())
            return await store.replays.run(
                full,
                lambda _: sources,
                until=now,
                headers=with_headers,
                limit=limit,
                progress=bar,
            )

    found = on_store(work, data=data, config=config)
    failed = [name for name in refused if found.counts[name]]
    if as_json:
        emit_json({**found.document(), "changed": [asdict(call) for call in found.changed]})
    else:
        _print(found, show)
    if failed:
        typer.echo(
            "failed on: " + ", ".join(f"{found.counts[name]} {name}" for name in failed), err=True
        )
    raise typer.Exit(1 if failed else 0)


def _file(name: str) -> PolicySource | str:
    """The policy in a file, or the name of a kept one."""
    path = Path(name)
    if name != "-" and path.suffix not in _SUFFIXES and not path.is_file():
        return name
    return PolicySource(
        name="stdin" if name == "-" else path.name,
        text=read_text(path),
        language="cedar" if path.suffix == ".cedar" else "sqrt",
    )


async def _kept(store: Store, name: str) -> PolicySource:
    title, at, number = name.partition("@")
    if at and not number.isdigit():
        raise typer.BadParameter(
            f"`{name}` is neither a file nor NAME@VERSION", param_hint="--policy"
        )
    return source_of(*await store.policies.version(title, int(number) if at else None))


def _print(found: ReplaySummary, show: int) -> None:
    out.print(f"{found.total} calls: ", end="")
    print_counts(found)
    if not found.changed or not show:
        return
    table = grid("when", "tool", "before", "after", "rule", "decision", whole=("decision",))
    for call in found.changed[:show]:
        table.add_row(
            shown_instant(call.at),
            escape(call.tool),
            escape(_said(call.before, call.before_rule)),
            _colour(call, escape(_said(str(call.after), call.after_rule))),
            escape(call.after_text or ""),
            escape(call.decision),
        )
    out.print(table)
    if len(found.changed) > show:
        out.print(f"[dim]{len(found.changed) - show} more; --show or --json lists them[/]")


def _said(verdict: str, rule: str | None) -> str:
    return verdict if rule is None else f"{verdict} ({rule})"


def _colour(call: ReplayedCall, text: str) -> str:
    colours = {"newly_denied": "red", "newly_allowed": "green"}
    colour = colours.get(call.outcome, "default")
    return f"[{colour}]{text}[/]"
