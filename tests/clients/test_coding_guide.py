"""The page about coding programs, followed from top to bottom."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.clients.programs import note_of
from tests.clients.server import Server
from tests.clients.wiretap import Wiretap
from tests.support.documents import ROOT, blocks

pytestmark = pytest.mark.clients

PAGE = ROOT / "docs" / "howto" / "coding-clients.md"
WRITTEN_FOR = "http://127.0.0.1:8080"


def test_the_page_about_coding_programs_can_be_followed(
    server: Server, tap: Wiretap, tmp_path: Path
) -> None:
    lines = ["set -euo pipefail"]
    for block in blocks(PAGE):
        if block.file:
            (tmp_path / block.file).write_text(block.text)
        elif block.language == "bash":
            lines.append(block.text)
        elif block.language == "toml":
            # It stands behind the program's run, and is about what the program does then.
            place = next(i for i, line in enumerate(lines) if line.startswith("codex exec"))
            lines.insert(place, f"cat >> ~/.codex/config.toml <<'END'\n{block.text}END")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, program in (("claude", "claude-code"), ("codex", "codex-cli")):
        (tools / name).symlink_to(note_of(program)["command"])
    (tools / "interlock").write_text(f'#!/bin/sh\nexec {sys.executable} -m interlock "$@"\n')
    (tools / "interlock").chmod(0o755)

    done = subprocess.run(
        ["bash", "-c", "\n".join(lines).replace(WRITTEN_FOR, tap.base_url)],
        cwd=tmp_path,
        env={
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "TMPDIR": str(tmp_path),
            "LANG": "C.UTF-8",
            "INTERLOCK_DATA": str(server.data),
            "HTTP_PROXY": tap.base_url,
            "HTTPS_PROXY": tap.base_url,
            "NO_PROXY": "127.0.0.1",
            # Read before the page says so: the page names it after the first run.
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "Rule: Bash#0" in done.stdout
    assert "Rule: exec_command#0" in done.stdout
    sessions = {one.session_id for one in tap.exchanges}
    assert len(sessions) == 2
    denied = [one["rule"] for session in sessions for one in server.decisions(str(session))]
    assert sorted(denied) == ["Bash#0", "exec_command#0"]
