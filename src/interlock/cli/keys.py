"""`interlock keys`: make, list, show and revoke gateway keys."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
import typer
from rich.markup import escape

from interlock.app_store import Store
from interlock.cli.failures import reported
from interlock.cli.local import (
    ConfigOption,
    DataOption,
    JsonOption,
    actor,
    emit_json,
    grid,
    on_store,
    out,
    settings_of,
)
from interlock.cli.when import parse_instant, shown_instant
from interlock.gateway.config import Endpoint
from interlock.identity.admin import CreatedKey
from interlock.identity.model import KeyLimits, KeySpec, KeyView
from interlock.kernel.clock import SystemClock
from interlock.policy.compiled import compile_policy
from interlock.policy.model import Caller, PolicySource, Presets
from interlock.surfaces.control.headers import parse_base

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Gateway keys: who may use the gateway, and how.")

_ENDPOINTS: tuple[str, ...] = get_args(Endpoint)
_ONLY_A_DEFAULT = (
    "Its policy is a default: a request whose X-Policy has `codes` replaces it. For one that "
    "always holds see `interlock policy bind NAME --key {id}`."
)


@app.command("create")
def create(
    *,
    label: Annotated[str, typer.Option(help="What the key is for.")],
    user: Annotated[
        str | None, typer.Option(help="Owner's e-mail address; default: the first administrator.")
    ] = None,
    account: Annotated[
        str | None, typer.Option(help="Account id; default: the owner's personal account.")
    ] = None,
    endpoint_type: Annotated[
        list[str] | None,
        typer.Option(help=f"Allow only: {', '.join(_ENDPOINTS)}; repeatable."),
    ] = None,
    provider: Annotated[
        list[str] | None, typer.Option(help="Allow only this provider; repeatable.")
    ] = None,
    admin: Annotated[bool, typer.Option("--admin", help="Allow administration.")] = False,
    policy: Annotated[
        Path | None,
        typer.Option(
            help="Default policy: a text (`.cedar`: Cedar), or an X-Policy object (`.json`). "
            "A request whose `X-Policy` has `codes` replaces it; one that always holds is bound "
            "with `interlock policy bind`."
        ),
    ] = None,
    features: Annotated[str | None, typer.Option(help="X-Features object.", metavar="JSON")] = None,
    config: Annotated[str | None, typer.Option(help="X-Config object.", metavar="JSON")] = None,
    policy_override: Annotated[
        bool, typer.Option("--policy-override", help="Header policies may loosen bound ones.")
    ] = False,
    provider_key_file: Annotated[
        list[str] | None,
        typer.Option(
            help="`PROVIDER=FILE`: this provider's key is in the file; repeatable.",
            metavar="NAME=FILE",
        ),
    ] = None,
    rpm: Annotated[int | None, typer.Option(min=1, help="Requests per minute.")] = None,
    tpm: Annotated[int | None, typer.Option(min=1, help="Tokens per minute.")] = None,
    monthly_cost: Annotated[
        float | None, typer.Option(min=0.000001, help="US dollars per month.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="A date, or a span from now such as `90d`.")
    ] = None,
    tool_pinning: Annotated[str | None, typer.Option(help="off, warn or deny.")] = None,
    call_ids: Annotated[str | None, typer.Option(help="long or compact.")] = None,
    retention: Annotated[
        str | None, typer.Option(help="Argument values in the log: full, masked or none.")
    ] = None,
    approval: Annotated[
        str | None,
        typer.Option(help="`ask`: a person may lift a soft denial, see `approvals`; or off."),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    r"""Make a key. It is printed once and cannot be shown again.

    `--policy`, `--features` and `--config` are what a request gets that says nothing else:
    its headers replace them. A policy that holds whatever a request says is kept in the
    server: `interlock policy save`, `activate` and `bind`.

    Examples:

        interlock keys create --label ci-robot --endpoint-type code --expires 90d --rpm 600

        interlock keys create --label mail-agent --policy mail.sqrt \
            --features '{"content_blockers": [{"name": "url_blocker"}]}'

        interlock keys create --label ann --user ann@example.com --provider-key-file openai=key.txt
    """
    defaults = settings_of(data).settings.gateway
    spec = KeySpec(
        label=label,
        scopes=_scopes(endpoint_type or [], provider or [], admin=admin),
        base_config=_base_config(policy, features, config),
        provider_credentials=dict(map(_provider_key, provider_key_file or [])),
        limits=KeyLimits(requests_per_minute=rpm, tokens_per_minute=tpm, monthly_cost=monthly_cost),
        # Texts are checked where keys are made.
        tool_pinning=tool_pinning or defaults.tool_pinning,  # type: ignore[arg-type]
        call_ids=call_ids or defaults.call_ids,  # type: ignore[arg-type]
        retention=retention or defaults.retention,  # type: ignore[arg-type]
        policy_override=policy_override,
        approval=approval or defaults.approval,  # type: ignore[arg-type]
        expires_at=parse_instant(expires, "--expires", future=True),
    )

    async def work(store: Store) -> CreatedKey:
        return await store.admin.create_key(spec, actor(), user=user, account_id=account)

    made = on_store(work, data=data)
    if as_json:
        emit_json({"key": made.token, **_document(made.view)})
        return
    out.print(f"key [bold]{escape(made.view.label)}[/] ({made.view.id}) for {made.view.user_email}")
    if policy is not None:
        out.print(_ONLY_A_DEFAULT.format(id=made.view.id))
    out.print("It is shown only this once:\n")
    typer.echo(made.token)


@app.command("list")
def list_keys(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Also revoked and expired ones.")
    ] = False,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List keys, newest first. The keys themselves cannot be shown.

    Examples:

        interlock keys list

        interlock keys list --all --json
    """

    async def work(store: Store) -> list[KeyView]:
        return await store.admin.keys()

    now = SystemClock().now().timestamp()
    views = on_store(work, data=data, config=config)
    if not everything:
        views = [view for view in views if view.status(now) == "active"]
    if as_json:
        emit_json([_document(view) for view in views])
        return
    if not views:
        out.print("no keys")
        return
    table = grid(
        "label", "id", "key", "owner", "scopes", "status", "last used", "expires", whole=("id",)
    )
    for view in views:
        table.add_row(
            escape(view.label),
            view.id,
            escape(view.prefix) + "…",
            escape(view.user_email),
            "\n".join(view.scopes) or "everything",
            view.status(now),
            shown_instant(view.last_used_at),
            shown_instant(view.expires_at),
        )
    out.print(table)


@app.command("show")
def show(
    key: Annotated[str, typer.Argument(help="Id, label or prefix.")],
    *,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show everything stored with a key, except the key itself and provider credentials.

    Examples:

        interlock keys show ci-robot
    """

    async def work(store: Store) -> KeyView:
        return await store.admin.key(key)

    view = on_store(work, data=data, config=config)
    if as_json:
        emit_json(_document(view))
        return
    _print_view(view)


@app.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(help="Id, label or prefix.")],
    *,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key invalid for good. Running servers refuse it within seconds.

    Examples:

        interlock keys revoke ci-robot
    """

    async def work(store: Store) -> KeyView:
        return await store.admin.revoke_key(key, actor())

    view = on_store(work, data=data, config=config)
    if as_json:
        emit_json(_document(view))
        return
    out.print(f"key [bold]{escape(view.label)}[/] ({view.id}) is revoked")


def _print_view(view: KeyView) -> None:
    limits = view.limits
    facts: dict[str, object] = {
        "id": view.id,
        "key": f"{view.prefix}…",
        "owner": view.user_email,
        "account": view.account_id,
        "status": view.status(SystemClock().now().timestamp()),
        "scopes": ", ".join(view.scopes) or "everything",
        "requests/min": limits.requests_per_minute or "unlimited",
        "tokens/min": limits.tokens_per_minute or "unlimited",
        "cost/month": "unlimited" if limits.monthly_cost is None else f"${limits.monthly_cost:.2f}",
        "tool pinning": view.tool_pinning,
        "call ids": view.call_ids,
        "approval": view.approval,
        "retention": view.retention,
        "override": "header policies may loosen bound ones" if view.policy_override else "no",
        "own provider keys": ", ".join(view.providers) or "none",
        "created": shown_instant(view.created_at),
        "last used": shown_instant(view.last_used_at),
        "expires": shown_instant(view.expires_at),
        "revoked": shown_instant(view.revoked_at),
    }
    out.print(f"[bold]{escape(view.label)}[/]")
    for name, value in facts.items():
        out.print(f"  [dim]{name:<18}[/]{escape(str(value))}")
    if view.base_config:
        if "x_policy" in view.base_config:
            out.print(_ONLY_A_DEFAULT.format(id=view.id))
        text = msgspec.json.format(msgspec.json.encode(view.base_config), indent=2).decode()
        out.print("  [dim]config[/]")
        typer.echo(text)


def _document(view: KeyView) -> dict[str, Any]:
    return {**asdict(view), "status": view.status(SystemClock().now().timestamp())}


def _scopes(endpoints: list[str], providers: list[str], *, admin: bool) -> frozenset[str]:
    for name in endpoints:
        if name not in _ENDPOINTS:
            raise typer.BadParameter(
                f"`{name}` is not one of {', '.join(_ENDPOINTS)}", param_hint="--endpoint-type"
            )
    return frozenset(
        [
            *(f"endpoint:{name}" for name in endpoints),
            *(f"provider:{name}" for name in providers),
            *(["admin"] if admin else []),
        ]
    )


def _base_config(
    policy: Path | None, features: str | None, config: str | None
) -> dict[str, Any] | None:
    base: dict[str, Any] = {}
    if features is not None:
        base["x_features"] = _object(features, "--features")
    if policy is not None:
        base["x_policy"] = _policy(policy)
    if config is not None:
        base["x_config"] = _object(config, "--config")
    with reported():
        parse_base(base)
    return base or None


def _policy(file: Path) -> dict[str, Any]:
    text = _read(file, "--policy")
    if file.suffix == ".json":
        found = _object(text, "--policy")
        codes = found.get("codes")
        if not isinstance(codes, dict):
            return found
        code, language = codes.get("code") or "", codes.get("language") or "sqrt"
    else:
        code, language = text, "cedar" if file.suffix == ".cedar" else "sqrt"
        found = {"codes": {"code": code, "language": language}}
    if isinstance(code, str) and code and language in ("sqrt", "cedar"):
        with reported():
            source = PolicySource(
                name=file.name, text=code, language="cedar" if language == "cedar" else "sqrt"
            )
            compile_policy([source], presets=Presets(), caller=Caller())
    return found


def _object(text: str, option: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"not a JSON object: {error}", param_hint=option) from None


def _provider_key(text: str) -> tuple[str, str]:
    """The key stands in a file and not in the arguments, which every process can read."""
    name, equals, file = text.partition("=")
    if not name or not equals or not file:
        raise typer.BadParameter(
            f"`{text}` is not `PROVIDER=FILE`", param_hint="--provider-key-file"
        )
    key = _read(Path(file), "--provider-key-file").strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise typer.BadParameter(
            f"{file}: should hold one key and nothing else", param_hint="--provider-key-file"
        )
    return name, key


def _read(file: Path, option: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint=option) from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file}: not UTF-8 text", param_hint=option) from None
