"""What a new user meets first."""

import socket
import stat
from pathlib import Path

from typer.testing import CliRunner

from interlock import __version__
from interlock.app_settings import AppSettings
from interlock.app_store import migrate_store, open_store
from interlock.cli.lazy import LazyGroup
from interlock.cli.main import app
from interlock.web.listening import open_sockets


def test_the_command_line_knows_its_version() -> None:
    done = CliRunner().invoke(app, ["--version"])

    assert (done.exit_code, done.output.strip()) == (0, f"interlock {__version__}")


def test_every_command_has_a_help_text_and_every_option_a_word_about_it() -> None:
    import typer.main  # noqa: PLC0415 - only here

    silent: list[str] = []

    def walk(path: str, command: object) -> None:
        children = getattr(command, "commands", {})
        if not getattr(command, "help", None):
            silent.append(path)
        for item in getattr(command, "params", []):
            if not item.help and item.metavar is None and item.name not in {"help", "limit"}:
                silent.append(f"{path} {item.name}")
        if not children and "Examples:" not in str(getattr(command, "help", "")):
            silent.append(f"{path}: examples")
        for name, child in children.items():
            walk(f"{path} {name}", child)

    commands = typer.main.get_command(app)
    assert isinstance(commands, LazyGroup)
    commands.load_all()
    walk("interlock", commands)

    assert silent == []


def test_a_new_data_directory_is_for_its_owner_alone(tmp_path: Path) -> None:
    settings = AppSettings(data=tmp_path / "made" / "here")
    open_store(settings)
    migrate_store(settings)

    assert stat.S_IMODE((tmp_path / "made" / "here").stat().st_mode) == 0o700


def test_a_new_database_directory_is_for_its_owner_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere' / 'interlock.db'}"
    settings = AppSettings.model_validate({"data": tmp_path, "store": {"database_url": url}})
    migrate_store(settings)

    assert stat.S_IMODE((tmp_path / "elsewhere").stat().st_mode) == 0o700


def test_a_port_that_is_taken_is_named_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        data = tmp_path / "data"
        done = CliRunner().invoke(app, ["serve", "--port", str(port), "--data", str(data)])

    assert done.exit_code == 2
    assert done.stderr.startswith(
        f"error: cannot listen on 127.0.0.1 port {port}: address already in use\nhint: "
    )
    # The administrator's password is shown once: not by a server that could not start.
    assert not data.exists()


def test_an_address_of_another_machine_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["serve", "--host", "192.0.2.1", "--port", "0", "--data", str(tmp_path)]
    )

    assert done.exit_code == 2
    assert "cannot listen on 192.0.2.1 port 0: cannot assign requested address" in done.stderr


def test_a_host_with_several_addresses_has_one_port() -> None:
    opened = open_sockets("localhost", 0)
    try:
        assert len({one.getsockname()[1] for one in opened}) == 1
    finally:
        for one in opened:
            one.close()


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    data = tmp_path / "file" / "data"
    done = CliRunner().invoke(
        app, ["serve", "--port", "0", "--data", str(data), "--config", str(tmp_path / "file")]
    )

    assert done.exit_code == 1
    assert f"`{data}` cannot be used: Not a directory" in done.stderr


def test_a_database_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    done = CliRunner().invoke(
        app,
        ["serve", "--port", "0", "--data", str(tmp_path)],
        env={"INTERLOCK_DATABASE_URL": f"postgresql://me:hidden-word@127.0.0.1:{port}/x"},
    )

    assert done.exit_code == 1
    assert f'"127.0.0.1", port {port} failed: Connection refused' in done.stderr
    assert "hidden-word" not in done.stderr
