"""Runs `interlock` and `python` commands from a shell without paying for imports each time.

A process that has imported everything forks for each command: argument list, working
directory, environment and the three streams are the caller's, and what runs is the
entry point of the installed script. The commands on the path are small clients that hand over
those things and wait for the exit code.

Run as a program: `warm_commands.py SOCKET`.
"""

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["warm_commands"]

_CLIENT = """\
#!{python} -IS
import json, os, socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect({address!r})
asked = {{"argv": [{name!r}, *sys.argv[1:]], "cwd": os.getcwd(), "environ": dict(os.environ)}}
socket.send_fds(link, [b"."], [0, 1, 2])
link.sendall(json.dumps(asked).encode())
link.shutdown(socket.SHUT_WR)
sys.exit(int(link.recv(16) or b"70"))
"""


@contextmanager
def warm_commands(folder: Path) -> Iterator[Path]:
    """A directory with the commands `interlock` and `python`, to be put on the path."""
    address = str(folder / "commands.sock")
    commands = folder / "bin"
    commands.mkdir()
    for name in ("interlock", "python"):
        script = commands / name
        script.write_text(_CLIENT.format(python=sys.executable, address=address, name=name))
        script.chmod(0o755)
    with (folder / "commands.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, __file__, address], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield commands
    finally:
        server.kill()
        server.wait(10)


def _serve(address: str) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(16)
    # Commands that come meanwhile wait in the queue of the socket.
    import anthropic  # noqa: F401, PLC0415
    import openai  # noqa: F401, PLC0415
    import typer  # noqa: PLC0415

    from interlock.cli.main import app  # noqa: PLC0415

    typer.main.get_command(app).load_all()

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        link, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            _answer(link)
        link.close()


def _answer(link: socket.socket) -> None:
    """In the forked process: becomes the command, says its exit code, ends."""
    code = 70
    try:
        _, streams, _, _ = socket.recv_fds(link, 1, 3)
        asked = json.loads(b"".join(iter(lambda: link.recv(65536), b"")))
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(asked["cwd"])
        os.environ.clear()
        os.environ.update(asked["environ"])
        code = _run(asked["argv"])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        link.sendall(str(code).encode())
        os._exit(code)


def _run(argv: list[str]) -> int:
    name, *rest = argv
    try:
        if name == "interlock":
            sys.argv = argv
            sys.modules["interlock.cli.main"].main()
        elif rest[0] == "-c":
            sys.argv = ["-c", *rest[2:]]
            exec(compile(rest[1], "<string>", "exec"), {"__name__": "__main__"})
        else:
            sys.argv = rest
            runpy.run_path(rest[0], run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    _serve(sys.argv[1])
