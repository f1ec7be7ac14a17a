"""Loads the suites of the package `agentdojo` without what only its model clients need.

`agentdojo.agent_pipeline` imports the client libraries of four model providers. The suites
need three small modules of it, so the package is entered as a bare namespace: its `__init__`
does not run and none of those libraries is required.

The package lives in an environment of its own (`install.py`); its directory is put *behind*
everything else on the import path, so that nothing in it replaces a library of Interlock.
"""

import importlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

from benchmarks.rig.layout import venv_python

__all__ = ["SUITES", "VERSION", "AgentDojoMissingError", "available", "load_suites"]

VERSION = "v1.2.2"
SUITES = ("workspace", "slack", "travel", "banking")
_BARE = ("agentdojo.agent_pipeline", "agentdojo.agent_pipeline.llms")
_GOOGLE = "agentdojo.agent_pipeline.llms.google_llm"


class AgentDojoMissingError(RuntimeError):
    """The package is not installed; `make bench-security` installs it."""

    def __init__(self) -> None:
        super().__init__("agentdojo is not installed: run `make bench-security-install`")


def available() -> bool:
    """Whether the package can be loaded."""
    _find()
    return importlib.util.find_spec("agentdojo") is not None


def load_suites() -> dict[str, Any]:
    """The four suites of benchmark version `VERSION`, by name.

    Raises:
        AgentDojoMissingError: the package is not installed.
    """
    if not available():
        raise AgentDojoMissingError
    home = Path(importlib.import_module("agentdojo").__path__[0])
    for name in _BARE:
        if name not in sys.modules:
            bare = types.ModuleType(name)
            bare.__path__ = [str(home.joinpath(*name.split(".")[1:]))]
            sys.modules[name] = bare
    if _GOOGLE not in sys.modules:
        # One constant of it is read by the module that formats tool results.
        stand_in = types.ModuleType(_GOOGLE)
        stand_in.EMPTY_FUNCTION_NAME = "<empty-function>"  # type: ignore[attr-defined]
        sys.modules[_GOOGLE] = stand_in
    found = importlib.import_module("agentdojo.task_suite.load_suites").get_suites(VERSION)
    return {name: found[name] for name in SUITES}


def _find() -> None:
    library = venv_python("agentdojo").parents[1] / "lib"
    for packages in sorted(library.glob("python3.*/site-packages")):
        if str(packages) not in sys.path:
            sys.path.append(str(packages))
