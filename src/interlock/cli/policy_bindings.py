"""`interlock policy bind|unbind|bindings`: where policies hold."""

from dataclasses import asdict
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
    grid,
    on_store,
    out,
)
from interlock.cli.policy_store import NameArgument
from interlock.cli.when import shown_instant
from interlock.gateway.policies.model import Binding, PolicySet, TargetKind

__all__ = ["bind", "bindings", "unbind"]

ServerOption = Annotated[bool, typer.Option("--server", help="For every caller.")]
AccountOption = Annotated[str | None, typer.Option("--account", help="For an account, by id.")]
KeyOption = Annotated[
    str | None, typer.Option("--key", help="For a gateway key: id, label or prefix.")
]
SurfaceOption = Annotated[
    str | None, typer.Option("--surface", help="For `control`, `platform`, `chat` or `workbench`.")
]


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
        return await store.bindings.bind(name, kind, target, actor(), position=order)

    binding = on_store(work, data=data, config=config)
    if as_json:
        emit_json(asdict(binding))
    else:
        out.print(f"[bold]{escape(name)}[/] is bound to {escape(binding.where)}")


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
        return await store.bindings.unbind(name, kind, target, actor())

    binding = on_store(work, data=data, config=config)
    out.print(f"[bold]{escape(name)}[/] is no longer bound to {escape(binding.where)}")


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
