"""`interlock budgets`: money and tokens that keys, people, groups and accounts may use."""

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape

from interlock.app_budgets import build_budgets
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
from interlock.kernel.clock import SystemClock
from interlock.limits.budgets.admin import BudgetAdmin
from interlock.limits.budgets.model import (
    ACTIONS,
    EVERY,
    PERIODS,
    Budget,
    BudgetSpec,
    BudgetState,
    Kind,
)
from interlock.telemetry.metrics import GatewayMetrics

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Money and tokens that keys, people, groups and accounts may use."
)

_Row = tuple[Budget, BudgetState | None]


@app.command("list")
def list_budgets(
    *,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List all budgets and how far they are used. Windows are days and months in UTC.

    Examples:

        interlock budgets list

        interlock budgets list --json
    """

    async def work(store: Store) -> list[_Row]:
        parts = build_budgets(store, GatewayMetrics(), SystemClock())
        rows: list[_Row] = []
        try:
            for one in await parts.admin.all():
                every = one.spec.subject == EVERY
                state = None if every else await parts.budgets.state(one, one.spec.subject)
                rows.append((one, state))
        finally:
            await parts.close()
        return rows

    rows = on_store(work, data=data, config=config)
    if as_json:
        emit_json([_told(one, state) for one, state in rows])
        return
    if not rows:
        out.print("no budgets: `interlock budgets set --help` shows how to make one")
        return
    table = grid("id", "whose", "amount", "spent", "at its end", "resets", whole=("id",))
    for one, state in rows:
        spec = one.spec
        whose = f"every {spec.kind}" if spec.subject == EVERY else f"{spec.kind} {spec.subject}"
        table.add_row(
            one.id,
            escape(whose),
            f"{_amount(spec.amount, spec)} a {spec.period}",
            "each its own" if state is None else _amount(state.spent, spec),
            escape(spec.action if spec.model is None else f"cheaper: {spec.model}"),
            "" if state is None else shown_instant(state.resets_at),
        )
    out.print(table)


@app.command("set")
def set_budget(
    *,
    key: Annotated[str | None, typer.Option(help="Key id, label or prefix.")] = None,
    user: Annotated[str | None, typer.Option(help="E-mail address or user name.")] = None,
    group: Annotated[str | None, typer.Option(help="Name of a group.")] = None,
    account: Annotated[str | None, typer.Option(help="Id of an account.")] = None,
    every: Annotated[
        str | None,
        typer.Option(help="key, user, group or account: each one without a budget of its own."),
    ] = None,
    usd: Annotated[float | None, typer.Option(help="US dollars.")] = None,
    tokens: Annotated[float | None, typer.Option(help="Input and output tokens.")] = None,
    period: Annotated[str, typer.Option(help="day or month, in UTC.")] = "month",
    action: Annotated[
        str, typer.Option(help="What happens when it is used up: stop, warn or cheaper.")
    ] = "stop",
    model: Annotated[
        str | None, typer.Option(help="For `cheaper`: the model that is asked instead.")
    ] = None,
    warn_at: Annotated[
        float, typer.Option(help="Share of it from which callers are told, 0 to 1.")
    ] = 0.8,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set a budget; the one of the same subject, unit and period is replaced.

    Running servers notice it within seconds.

    Examples:

        interlock budgets set --user maya@corp.example --usd 100

        interlock budgets set --every user --usd 20 --period day --action warn

        interlock budgets set --key ci-robot --tokens 5e6 --action cheaper --model gpt-5-nano
    """
    if (usd is None) == (tokens is None):
        raise typer.BadParameter("give one of --usd and --tokens")
    given: dict[Kind, str | None] = {
        "key": key, "user": user, "group": group, "account": account
    }  # fmt: skip
    named = [(kind, value) for kind, value in given.items() if value is not None]
    if len(named) + (every is not None) != 1:
        raise typer.BadParameter("give one of --key, --user, --group, --account and --every")
    if every is not None and every not in given:
        raise typer.BadParameter("must be key, user, group or account", param_hint="--every")
    if period not in PERIODS:
        raise typer.BadParameter("must be day or month", param_hint="--period")
    if action not in ACTIONS:
        raise typer.BadParameter("must be stop, warn or cheaper", param_hint="--action")

    async def work(store: Store) -> Budget:
        kind, wanted = named[0] if named else (every, EVERY)
        spec = BudgetSpec(
            kind=kind,  # type: ignore[arg-type] # checked above
            subject=await _subject(store, str(kind), wanted),
            unit="tokens" if usd is None else "usd",
            period=period,
            amount=tokens if usd is None else usd,  # type: ignore[arg-type] # one is given
            action=action,
            model=model,
            warn_at=warn_at,
        )
        return await _admin(store).put(actor(), spec)

    made = on_store(work, data=data, config=config)
    if as_json:
        emit_json(_told(made, None))
        return
    out.print(f"set {made.id}: {_amount(made.spec.amount, made.spec)} a {made.spec.period}")


@app.command("remove")
def remove(
    budget: Annotated[str, typer.Argument(metavar="ID")],
    *,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Take a budget away. What was spent stays counted.

    Examples:

        interlock budgets remove 01234567-89ab-4cde-8f01-23456789abcd
    """
    on_store(lambda store: _admin(store).remove(actor(), budget), data=data, config=config)
    out.print(f"removed {escape(budget)}")


def _admin(store: Store) -> BudgetAdmin:
    return BudgetAdmin(store.database, store.audit, SystemClock())


async def _subject(store: Store, kind: str, wanted: str) -> str:
    """The id behind a name."""
    if wanted == EVERY:
        return EVERY
    if kind == "key":
        return (await store.admin.key(wanted)).id
    if kind == "user":
        return (await store.people.named(wanted)).id
    return wanted


def _amount(amount: float, spec: BudgetSpec) -> str:
    return f"${amount:,.2f}" if spec.unit == "usd" else f"{amount:,.0f} tokens"


def _told(budget: Budget, state: BudgetState | None) -> dict[str, Any]:
    told = {
        "id": budget.id,
        **asdict(budget.spec),
        "created_at": budget.created_at,
        "updated_at": budget.updated_at,
    }
    if state is not None:
        told["state"] = {
            "spent": state.spent,
            "reserved": state.reserved,
            "left": state.left,
            "resets_at": state.resets_at,
        }
    return told
