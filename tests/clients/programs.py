"""The two programs as a person would set them up, each in a home and a folder of its own.

Nothing of the person who runs the tests reaches them: the environment is built from
nothing. Everything that would call home is turned off, and what calls anyway is refused
by the wiretap, which stands as the proxy.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

__all__ = ["ClaudeCode", "Codex", "Said", "note_of", "tool_call"]

_PATIENCE_S = 120
_CODEX_CONFIG = """\
model = "demo"
model_provider = "interlock"
check_for_update_on_startup = false

[model_providers.interlock]
name = "Interlock"
base_url = "{origin}/control/code/{provider}/v1"
env_key = "INTERLOCK_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0

[analytics]
enabled = false

[feedback]
enabled = false

[otel]
exporter = "none"
metrics_exporter = "none"
trace_exporter = "none"

[features]
plugins = false
apps = false
"""


def note_of(name: str) -> dict[str, str]:
    """What `fetch.py` noted about a program; skips the test when it is missing."""
    path = Path(os.environ.get("CLIENTS_HOME", ".clients")) / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"{name} was never fetched: run `make test-clients`")
    note: dict[str, str] = json.loads(path.read_text())
    if "missing" in note:
        pytest.skip(f"{name}: {note['missing']}")
    return note


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a program printed, and how it ended."""

    text: str
    errors: str
    code: int

    @property
    def answer(self) -> str:
        """The text of a run that went well."""
        assert self.code == 0, f"exit {self.code}\n{self.text}\n{self.errors}"
        return self.text.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Program:
    command: str
    version: str
    origin: str
    """The wiretap in front of the server."""
    key: str
    home: Path
    work: Path
    """The folder the program works in."""
    provider: str = "demo"

    def _run(self, arguments: list[str], **more: str) -> Said:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "LANG": "C.UTF-8",
            "HTTP_PROXY": self.origin,
            "HTTPS_PROXY": self.origin,
            "NO_PROXY": "127.0.0.1,localhost",
            **more,
        }
        done = subprocess.run(
            [self.command, *arguments],
            cwd=self.work,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        return Said(text=done.stdout, errors=done.stderr, code=done.returncode)


class ClaudeCode(_Program):
    """Claude Code without a terminal (`claude -p`)."""

    def ask(self, prompt: str, *options: str, tools: tuple[str, ...] = ("Bash", "Read")) -> Said:
        """One prompt; `tools` run without asking anybody."""
        # Options before --allowedTools, which takes all words that follow.
        return self._run(
            ["-p", prompt, *options, "--allowedTools", *tools],
            ANTHROPIC_BASE_URL=f"{self.origin}/control/code/{self.provider}",
            ANTHROPIC_API_KEY=self.key,
            CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
            CLAUDE_CODE_TMPDIR=str(self.home),
            DISABLE_AUTOUPDATER="1",
            DISABLE_ERROR_REPORTING="1",
            DISABLE_TELEMETRY="1",
        )

    def ask_again(self, prompt: str, *options: str) -> Said:
        """One more prompt in the same conversation."""
        return self.ask(prompt, "--continue", *options)


class Codex(_Program):
    """Codex CLI without a terminal (`codex exec`)."""

    def ask(self, prompt: str, *options: str) -> Said:
        """One prompt; the only thing that stops a command is the gateway."""
        return self._exec(*options, "--", prompt)

    def ask_again(self, prompt: str) -> Said:
        """One more prompt in the same conversation."""
        return self._exec("resume", "--last", "--", prompt)

    def _exec(self, *arguments: str) -> Said:
        config = self.home / ".codex" / "config.toml"
        config.parent.mkdir(exist_ok=True)
        config.write_text(_CODEX_CONFIG.format(origin=self.origin, provider=self.provider))
        free = ["--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
        return self._run(["exec", *free, *arguments], INTERLOCK_KEY=self.key)


def tool_call(tool: str, **arguments: Any) -> str:
    """A line the demo model obeys."""
    return f"CALL {tool} {json.dumps(arguments)}"
