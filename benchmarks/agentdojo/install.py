"""Puts the package `agentdojo` where the benchmark finds it; nothing else ever sees it.

It is the extra `bench-security` of this project. Half of what it depends on are client libraries
of model providers, so all of it goes, as `requirements/security.txt` locks it, into an
environment of its own. The lock has Interlock's libraries in the versions Interlock runs with.
"""

import hashlib
import subprocess
import sys
from collections.abc import Callable

from benchmarks.rig.layout import ROOT, venv_python

__all__ = ["LOCK", "install", "locked_version"]

LOCK = ROOT / "requirements" / "security.txt"
_MARK = "installed-lock"


def install(say: Callable[[str], None]) -> None:
    """Installs what the lock says, unless just that was installed before.

    Raises:
        subprocess.CalledProcessError: the package client failed.
    """
    python = venv_python("agentdojo")
    mark = python.parents[1] / _MARK
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if mark.exists() and mark.read_text() == wanted:
        return
    say(f"installing agentdojo {locked_version()}")
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(python.parents[1])], check=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    # The lock is complete; left to resolve, pip refuses `pydantic[email]`, pinned as `pydantic`.
    pip += ["--require-hashes", "--no-deps", "-r", str(LOCK)]
    subprocess.run(pip, check=True, timeout=1200)
    mark.write_text(wanted)


def locked_version() -> str:
    """The version of `agentdojo` in the lock."""
    for line in LOCK.read_text(encoding="utf-8").splitlines():
        name, _, rest = line.partition("==")
        if name == "agentdojo":
            return rest.split()[0]
    raise AssertionError(f"no agentdojo in {LOCK.name}")
