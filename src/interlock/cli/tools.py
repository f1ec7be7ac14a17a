"""`interlock tools`: which tool definitions are known, what changed, what is approved."""

from typing import Annotated

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
from interlock.gateway.pin_review import ToolPin, difference
from interlock.identity.errors import KeyNotFoundError

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Pinned tool definitions: a definition that changes reaches the model as an instruction.",
)

_DIGEST = 12
ScopeArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="Key (id, label or prefix) it was offered on.")
]
ToolArgument = Annotated[str, typer.Argument(metavar="TOOL")]


@app.command("list")
def list_tools(
    *,
    key: Annotated[str | None, typer.Option(help="Only of this key: id, label or prefix.")] = None,
    pending: Annotated[
        bool, typer.Option("--pending", help="Only those whose definition has changed.")
    ] = False,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the definitions seen on keys that pin them.

    Examples:

        interlock tools list --pending
    """

    async def work(store: Store) -> list[ToolPin]:
        scope = None if key is None else await _scope(store, key)
        return await store.pin_review.pins(scope, pending=pending)

    pins = on_store(work, data=data, config=config)
    if as_json:
        emit_json(pins)
        return
    if not pins:
        out.print("no tools")
        return
    table = grid("key", "tool", "state", "definition", "seen first", "changed", whole=("key",))
    for pin in pins:
        table.add_row(
            escape(pin.scope),
            escape(pin.tool),
            "pinned" if pin.pending_digest is None else "[yellow]changed[/]",
            pin.digest[:_DIGEST],
            shown_instant(pin.first_seen_at),
            shown_instant(pin.pending_since),
        )
    out.print(table)


@app.command("show")
def show(
    key: ScopeArgument,
    tool: ToolArgument,
    *,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an approved definition and, if another one waits, how it differs.

    Examples:

        interlock tools show ci-robot send_email
    """

    async def work(store: Store) -> ToolPin:
        return await store.pin_review.pin(await _scope(store, key), tool)

    pin = on_store(work, data=data, config=config)
    if as_json:
        emit_json({**msgspec.structs.asdict(pin), "difference": difference(pin)})
        return
    out.print(f"[bold]{escape(pin.tool)}[/] on {escape(pin.scope)}")
    out.print(f"approved {pin.digest[:_DIGEST]}, {_since(pin)}")
    if pin.pending_digest is None:
        typer.echo(msgspec.json.format(pin.definition, indent=2))
        return
    waiting = pin.pending_digest[:_DIGEST]
    out.print(f"[yellow]waiting[/] {waiting} since {shown_instant(pin.pending_since)}")
    _print_difference(pin)


@app.command("approve")
def approve(
    key: ScopeArgument,
    tool: ToolArgument,
    *,
    digest: Annotated[
        str | None,
        typer.Option(help="Only if it is this definition (or its beginning) that waits."),
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Approve the changed definition of a tool; shows what changed.

    Examples:

        interlock tools approve ci-robot send_email --digest 3fa9c1d2e4b5
    """

    async def work(store: Store) -> ToolPin:
        return await store.pin_review.approve(
            await _scope(store, key), tool, actor(), digest=digest
        )

    pin = on_store(work, data=data, config=config)
    if as_json:
        emit_json(
            {
                "scope": pin.scope,
                "tool": pin.tool,
                "digest": pin.pending_digest,
                "before": pin.digest,
                "difference": difference(pin),
            }
        )
        return
    _print_difference(pin)
    out.print(f"approved {(pin.pending_digest or '')[:_DIGEST]} of [bold]{escape(pin.tool)}[/]")


async def _scope(store: Store, key: str) -> str:
    """The key's id; a name no key has is taken as it is."""
    try:
        return (await store.admin.key(key)).id
    except KeyNotFoundError:
        return key


def _since(pin: ToolPin) -> str:
    if pin.approved_at is None:
        return f"as first seen {shown_instant(pin.first_seen_at)}"
    return f"by {escape(pin.approved_by or '?')} {shown_instant(pin.approved_at)}"


def _print_difference(pin: ToolPin) -> None:
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in difference(pin):
        colour = colours.get(line[:1], "default")
        out.print(f"[{colour}]{escape(line)}[/]", soft_wrap=True)
