"""`interlock users`: who may sign in, as what, and from where."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from interlock.app_store import Store, invites_of, open_blobs
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
from interlock.identity.login.model import LoginSession
from interlock.identity.model import GLOBAL_ROLES, GlobalRole, User
from interlock.identity.naming import name_key
from interlock.identity.roster import Roster, RosterRow
from interlock.kernel.clock import SystemClock
from interlock.ops.person import export_person

__all__ = ["app"]

_PAGE = 200

app = typer.Typer(no_args_is_help=True, help="People: who may sign in, as what, and from where.")

WhoArgument = Annotated[str, typer.Argument(metavar="USER", help="E-mail, user name or id.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command("list")
def list_users(
    query: Annotated[str, typer.Argument(metavar="TEXT", help="Part of a name or address.")] = "",
    *,
    role: Annotated[str | None, typer.Option(help="admin, member, read_only or disabled.")] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List people by user name.

    Examples:

        interlock users list

        interlock users list corp.example --role admin --json
    """
    if role is not None and role not in {*GLOBAL_ROLES, "disabled"}:
        raise typer.BadParameter(
            "must be admin, member, read_only or disabled", param_hint="--role"
        )

    async def work(store: Store) -> list[RosterRow]:
        roster, found, after = Roster(store.database, SystemClock()), list[RosterRow](), None
        while True:
            page = await roster.page(query, limit=_PAGE, after=after, role=role)
            found += page
            if len(page) < _PAGE:
                return found
            after = name_key(page[-1].user.username)

    rows = on_store(work, data=data, config=config)
    if as_json:
        emit_json([_told(row) for row in rows])
        return
    if not rows:
        out.print("nobody")
        return
    table = grid("user name", "e-mail", "role", "last seen", "sessions", "keys", whole=("e-mail",))
    for row in rows:
        table.add_row(
            escape(row.user.username),
            escape(row.user.email),
            "[yellow]disabled[/]" if row.user.disabled_at is not None else row.user.global_role,
            "never" if row.last_seen_at is None else shown_instant(row.last_seen_at),
            str(row.sessions),
            str(row.keys),
        )
    out.print(table)


@app.command("show")
def show(
    who: WhoArgument,
    *,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a person with sessions.

    Examples:

        interlock users show maya@corp.example
    """

    async def work(store: Store) -> tuple[RosterRow, list[LoginSession]]:
        user = await store.people.named(who)
        row = await Roster(store.database, SystemClock()).one(user.id)
        assert row is not None  # noqa: S101 - just found
        return row, await store.people.sessions_of(user.id)

    row, sessions = on_store(work, data=data, config=config)
    if as_json:
        emit_json({**_told(row), "sessions": [_session(one) for one in sessions]})
        return
    user = row.user
    out.print(f"[bold]{escape(user.username)}[/]  {escape(user.email)}  {user.id}")
    out.print(f"shown as {escape(user.display_name or user.username)}, {user.global_role}")
    if user.disabled_at is not None:
        out.print(f"[yellow]disabled[/] since {shown_instant(user.disabled_at)}")
    if not row.has_password:
        out.print("has no password: `interlock users link` makes a link to choose one")
    out.print(f"{row.keys} keys, made {shown_instant(user.created_at)}")
    if sessions:
        table = grid("session", "since", "last seen", "address", "browser", whole=("session",))
        for one in sessions:
            table.add_row(
                one.id,
                shown_instant(one.issued_at),
                shown_instant(one.last_seen_at),
                escape(one.origin.address),
                escape(one.origin.user_agent),
            )
        out.print(table)


@app.command("add")
def add(
    email: Annotated[str, typer.Argument(metavar="EMAIL")],
    *,
    username: Annotated[
        str | None, typer.Option(help="Default: the part of the address before the @.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name to be shown by.")] = "",
    role: Annotated[str, typer.Option(help="admin, member or read_only.")] = "member",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read a password from standard input.")
    ] = False,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a person, with a password or with a link to choose one.

    Examples:

        interlock users add maya@corp.example

        interlock users add ops@corp.example --role admin --password-stdin < secret.txt
    """
    checked = _role(role)
    password = _read_password() if password_stdin else None

    async def work(store: Store) -> tuple[User, str | None]:
        user = await store.people.create_user(
            email,
            actor(),
            username=username,
            display_name=name,
            password=password,
            global_role=checked,
        )
        if password is not None:
            return user, None
        return user, await invites_of(store).make(user.id, actor())

    user, token = on_store(work, data=data, config=config)
    if as_json:
        emit_json({"id": user.id, "email": user.email, "username": user.username,
                   "link": None if token is None else _path(token)})  # fmt: skip
        return
    out.print(f"made {escape(user.username)} ({user.id}), {user.global_role}")
    if token is not None:
        _print_link(token)


@app.command("link")
def link(
    who: WhoArgument,
    *,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Make a link at which a person chooses a password; good once, for three days.

    Whoever has it can sign in as the person.

    Examples:

        interlock users link maya@corp.example
    """

    async def work(store: Store) -> str:
        user = await store.people.named(who)
        return await invites_of(store).make(user.id, actor())

    _print_link(on_store(work, data=data, config=config))


@app.command("password")
def password(
    who: WhoArgument,
    *,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read it from standard input instead of asking.")
    ] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Set a password. All sessions of the person end.

    Examples:

        interlock users password maya

        interlock users password maya --stdin < secret.txt
    """
    if stdin:
        new = _read_password()
    else:
        new = typer.prompt("New password", hide_input=True, confirmation_prompt=True)

    async def work(store: Store) -> User:
        user = await store.people.named(who)
        await store.people.set_password(user.id, new, actor())
        return user

    user = on_store(work, data=data, config=config)
    out.print(f"{escape(user.username)} has a new password and no session")


@app.command("role")
def role_of(
    who: WhoArgument,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="admin, member or read_only.")],
    *,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Say what a person may do on the server; it holds from the next request on.

    Examples:

        interlock users role maya admin
    """
    checked = _role(role)

    async def work(store: Store) -> User:
        user = await store.people.named(who)
        return await store.people.set_global_role(user.id, checked, actor())

    user = on_store(work, data=data, config=config)
    out.print(f"{escape(user.username)} is {user.global_role}")


@app.command("disable")
def disable(who: WhoArgument, *, data: DataOption = None, config: ConfigOption = None) -> None:
    """Shut a person out: sessions end, keys are of no use until `enable`.

    Examples:

        interlock users disable maya
    """

    async def work(store: Store) -> User:
        user = await store.people.named(who)
        return await store.people.disable(user.id, actor())

    user = on_store(work, data=data, config=config)
    out.print(f"{escape(user.username)} is disabled")


@app.command("enable")
def enable(who: WhoArgument, *, data: DataOption = None, config: ConfigOption = None) -> None:
    """Let a person in again, to sign in anew.

    Examples:

        interlock users enable maya
    """

    async def work(store: Store) -> User:
        user = await store.people.named(who)
        return await store.people.enable(user.id, actor())

    user = on_store(work, data=data, config=config)
    out.print(f"{escape(user.username)} may sign in")


@app.command("sign-out")
def sign_out(
    who: WhoArgument,
    *,
    session: Annotated[
        str | None, typer.Option(help="Only this session; else all of them.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """End the sessions of a person. Keys go on.

    Examples:

        interlock users sign-out maya
    """

    async def work(store: Store) -> User:
        user = await store.people.named(who)
        if session is None:
            await store.people.sign_out_everywhere(user.id, actor())
        else:
            await store.people.revoke_session(user.id, session, actor())
        return user

    user = on_store(work, data=data, config=config)
    out.print(f"{escape(user.username)} is signed out")


@app.command("remove")
def remove(
    who: WhoArgument,
    *,
    yes: YesOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Remove a person with sessions, keys and the personal account, for good.

    What was recorded about calls keeps the id, which then belongs to nobody; messages stay in
    their conversations.

    Examples:

        interlock users remove maya@corp.example

        interlock users remove maya@corp.example --yes
    """

    async def look(store: Store) -> RosterRow:
        user = await store.people.named(who)
        row = await Roster(store.database, SystemClock()).one(user.id)
        assert row is not None  # noqa: S101 - just found
        return row

    row = on_store(look, data=data, config=config)
    if not yes:
        typer.confirm(
            f"Remove {row.user.username} ({row.user.email}) with {row.keys} keys and "
            f"{row.sessions} sessions, for good?",
            abort=True,
        )
    on_store(lambda store: store.people.remove(row.user.id, actor()), data=data, config=config)
    out.print(f"removed {escape(row.user.username)}")


@app.command("export")
def export(
    who: WhoArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A zip file to make.")],
    *,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write everything the server keeps about a person into one file, to be given to the person.

    Profile, sessions, own messages and files, usage, decisions and audit entries; no secrets, and
    nothing that others wrote.

    Examples:

        interlock users export maya@corp.example maya.zip
    """

    async def work(store: Store) -> dict[str, int]:
        user = await store.people.named(who)
        with SlowBar("exporting") as bar:
            return await export_person(
                store.database, open_blobs(store.settings), user.id, file, progress=bar
            )

    counts = on_store(work, data=data, config=config)
    if as_json:
        emit_json({"file": str(file), "rows": counts})
        return
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    out.print(f"wrote {escape(str(file))}: the profile{', ' if told else ''}{told}")


def _role(role: str) -> GlobalRole:
    for known in GLOBAL_ROLES:
        if role == known:
            return known
    raise typer.BadParameter("must be admin, member or read_only", param_hint="ROLE")


def _read_password() -> str:
    """The first line of standard input: never an argument, which other users could see."""
    return sys.stdin.readline().rstrip("\r\n")


def _path(token: str) -> str:
    return f"/console/invite/{token}"


def _print_link(token: str) -> None:
    out.print("\nShown only this once; whoever has it can sign in as this person:")
    out.print(f"  {_path(token)}", soft_wrap=True)
    out.print("It belongs behind the address of the server and is good once, for three days.")


def _told(row: RosterRow) -> dict[str, Any]:
    return {
        **asdict(row.user),
        "last_seen_at": row.last_seen_at,
        "live_sessions": row.sessions,
        "live_keys": row.keys,
        "has_password": row.has_password,
    }


def _session(one: LoginSession) -> dict[str, Any]:
    return {
        "id": one.id,
        "issued_at": one.issued_at,
        "last_seen_at": one.last_seen_at,
        "expires_at": one.expires_at,
        "address": one.origin.address,
        "user_agent": one.origin.user_agent,
    }
