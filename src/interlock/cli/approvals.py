"""`interlock approvals`: let a person answer what a policy denies softly."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

import msgspec
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
from interlock.gateway.approvals.model import Approval
from interlock.gateway.lineage import lineage_lines
from interlock.kernel.visible import visible

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
            escape(one.asked_for),
            escape(one.tool),
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
    out.print(f"[{colour}]{one.state}[/] [bold]{escape(one.tool)}[/] for {escape(one.asked_for)}")
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
            out.print(f"  [dim]{name:<10}[/] {escape(str(value))}", soft_wrap=True)
    edited = one.edited_arguments
    out.print(
        "  [dim]arguments[/]" if one.arguments is not None else "  [dim]arguments not kept[/]"
    )
    words = one.lineage.get("words") or {}
    for name, value in (one.arguments or {}).items():
        out.print(f"    [bold]{escape(name)}[/] = {_marked(name, value, words)}", soft_wrap=True)
        labels = one.labels.get(name)
        if labels:
            out.print(f"      [dim]{escape(_json(labels))}[/]", soft_wrap=True)
        if edited is not None and edited.get(name) != value:
            out.print(f"      changed to {escape(_json(edited.get(name)))}", soft_wrap=True)
    for source in words.get("sources", ()):
        out.print(f"      [dim]{source['n']}[/] {escape(_described(source))}", soft_wrap=True)
    for number, line in enumerate(lineage_lines(one.lineage)):
        out.print(f"  [dim]{'' if number else 'lineage':<10}[/] {escape(line)}", soft_wrap=True)


def _marked(name: str, value: object, words: Mapping[str, Any]) -> str:
    """An argument with the words that stand in a source marked; markup for the terminal."""
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    below = pointer + "/"
    texts = [
        one
        for one in words.get("texts", ())
        if one["path"] == pointer or one["path"].startswith(below)
    ]
    if not texts:
        return escape(visible(_json(value)))
    if len(texts) == 1 and texts[0]["path"] == pointer:
        return _spans(texts[0])
    lines = [escape(visible(_json(value)))]
    lines += [
        f"      [dim]{escape(visible(one['path'][len(pointer) :]))}[/] {_spans(one)}"
        for one in texts
        if one["spans"]
    ]
    return "\n".join(lines)


def _spans(text: Mapping[str, Any]) -> str:
    whole, pieces, end = str(text["text"]), [], 0
    for span in text["spans"]:
        numbers = ",".join(str(one) for one in span["from"])
        pieces.append(escape(visible(whole[end : span["start"]])))
        inner = escape(visible(whole[span["start"] : span["end"]]))
        pieces.append(f"[underline]«{inner}»[/]{escape(f'[{numbers}]')}")
        end = span["end"]
    pieces.append(escape(visible(whole[end:])))
    return "".join(pieces)


def _described(source: Mapping[str, Any]) -> str:
    """A source in words."""
    if source["kind"] == "user":
        return "the user's words"
    where = f", field {source['field']}" if source.get("field") else ""
    call = f" ({source['ref']})" if source.get("ref") else ""
    return visible(f"result of {source.get('tool') or 'an unknown tool'}{call}{where}")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
