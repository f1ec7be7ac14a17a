"""`interlock approvals`: let a person answer what a policy denies softly."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

import msgspec
import typer

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
from interlock.cli.words import legend, marked, plain, shown_json
from interlock.gateway.approvals.model import Approval
from interlock.gateway.lineage import lineage_lines

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Soft denials that wait for a person (keys with `--approval ask`)."
)

IdArgument = Annotated[str, typer.Argument(metavar="ID")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Told to the one who asked.")]


@app.command("list")
def list_approvals(
    *,
    state: Annotated[
        str, typer.Option(help="pending, allowed, denied, expired, or all.")
    ] = "pending",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what waits for a person, newest first.

    Examples:

        interlock approvals list

        interlock approvals list --state all --json
    """
    if state not in {"pending", "allowed", "denied", "expired", "all"}:
        raise typer.BadParameter(
            "must be pending, allowed, denied, expired or all", param_hint="--state"
        )

    async def work(store: Store) -> list[Approval]:
        wanted = None if state == "all" else state
        return list(await store.approvals.listed(state=wanted, limit=limit))

    found = on_store(work, data=data, config=config)
    if as_json:
        emit_json([asdict(one) for one in found])
        return
    table = grid("id", "asked", "for", "tool", "state", "until", whole=("id",))
    for one in found:
        table.add_row(
            one.id,
            shown_instant(one.asked_at),
            plain(one.asked_for),
            plain(one.tool),
            one.state,
            shown_instant(one.expires_at),
        )
    out.print(table if found else f"nothing is {state}" if state != "all" else "no approvals")


@app.command("show")
def show(
    approval_id: IdArgument,
    *,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one: every argument, its labels, and which of its words stand in which tool result.

    Words in «» with a number stand word for word in the source of that number; all others are
    the model's own.

    Examples:

        interlock approvals show apr_0123456789abcdef01234567
    """

    async def work(store: Store) -> Approval:
        return await store.approvals.find(approval_id)

    _print(on_store(work, data=data, config=config), as_json=as_json)


@app.command("allow")
def allow(
    approval_id: IdArgument,
    *,
    scope: Annotated[
        str, typer.Option(help="once, or session: this rule and tool, as long as it lasts.")
    ] = "once",
    args: Annotated[
        str | None,
        typer.Option(
            "--args", help="Other arguments, a JSON object; decided again.", metavar="JSON"
        ),
    ] = None,
    reason: ReasonOption = "",
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    r"""Let the waiting call go on.

    Examples:

        interlock approvals allow apr_0123456789abcdef01234567 --reason "known partner"

        interlock approvals allow apr_0123456789abcdef01234567 \
            --args '{"to": "ann@corp.example", "body": "see you"}'
    """
    if scope not in {"once", "session"}:
        raise typer.BadParameter("must be once or session", param_hint="--scope")
    edited = None if args is None else _object(args)
    chosen: Literal["once", "session"] = "session" if scope == "session" else "once"

    async def work(store: Store) -> Approval:
        return await store.approvals.decide(
            approval_id, actor(), allow=True, reason=reason, scope=chosen, arguments=edited
        )

    _print(on_store(work, data=data, config=config), as_json=as_json)


@app.command("deny")
def deny(
    approval_id: IdArgument,
    *,
    reason: ReasonOption = "",
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deny the waiting call.

    Examples:

        interlock approvals deny apr_0123456789abcdef01234567 --reason "not to this address"
    """

    async def work(store: Store) -> Approval:
        return await store.approvals.decide(approval_id, actor(), allow=False, reason=reason)

    _print(on_store(work, data=data, config=config), as_json=as_json)


def _object(text: str) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        value = None
    if not isinstance(value, dict):
        raise typer.BadParameter("must be a JSON object", param_hint="--args")
    return value


def _print(one: Approval, *, as_json: bool) -> None:
    if as_json:
        emit_json(asdict(one))
        return
    colour = {"pending": "yellow", "allowed": "green"}.get(one.state, "red")
    out.print(f"[{colour}]{one.state}[/] [bold]{plain(one.tool)}[/] for {plain(one.asked_for)}")
    facts = {
        "approval": one.id,
        "asked": shown_instant(one.asked_at),
        "until": shown_instant(one.expires_at),
        "rule": one.rule,
        "decision": one.decision_id,
        "session": one.session_id,
        "decided by": one.decided_by,
        "reason": one.reason,
        "scope": one.scope if one.state == "allowed" else None,
    }
    for name, value in facts.items():
        if value:
            out.print(f"  [dim]{name:<10}[/] {plain(value)}", soft_wrap=True)
    edited = one.edited_arguments
    out.print(
        "  [dim]arguments[/]" if one.arguments is not None else "  [dim]arguments not kept[/]"
    )
    words = one.lineage.get("words") or {}
    for name, value in (one.arguments or {}).items():
        out.print(f"    [bold]{plain(name)}[/] = {marked(name, value, words)}", soft_wrap=True)
        labels = one.labels.get(name)
        if labels:
            out.print(f"      [dim]{shown_json(labels)}[/]", soft_wrap=True)
        if edited is not None and edited.get(name) != value:
            out.print(f"      changed to {shown_json(edited.get(name))}", soft_wrap=True)
    for line in legend(words):
        out.print(f"      {line}", soft_wrap=True)
    for number, line in enumerate(lineage_lines(one.lineage)):
        out.print(f"  [dim]{'' if number else 'lineage':<10}[/] {plain(line)}", soft_wrap=True)
