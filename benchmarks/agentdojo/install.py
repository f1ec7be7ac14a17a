"""Puts the package `agentdojo` where the benchmark finds it; nothing else ever sees it.

Its declared dependencies are client libraries of model providers, of which the suites need
none, so it is installed without them and with the three small packages that the suites
import. All of it goes into an environment of its own.
"""

import subprocess
import sys
from collections.abc import Callable

from benchmarks.rig.layout import venv_python

__all__ = ["PACKAGES", "install"]

PACKAGES = (
    "agentdojo==0.1.35",
    "deepdiff==8.6.1",
    "docstring-parser==0.18.0",
    "orderly-set==5.5.0",
)


def install(say: Callable[[str], None]) -> None:
    """Installs what is missing.

    Raises:
        subprocess.CalledProcessError: the package client failed.
    """
    python = venv_python("agentdojo")
    library = python.parents[1] / "lib"
    if any(library.glob("python3.*/site-packages/agentdojo-0.1.35.dist-info")):
        return
    say(f"installing {PACKAGES[0]}")
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
    pip = [str(python), "-m", "pip", "install", "-q", "--no-deps", *PACKAGES]
    subprocess.run(pip, check=True, timeout=600)
