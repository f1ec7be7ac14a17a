"""The documents say what is true: generated pages, links, and every block marked as runnable."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.documents import ROOT, Block, anchors, blocks, documents, links, missing
from tests.support.warm_commands import warm_commands

from interlock.demo.story import POLICY
from interlock.policy.compiled import compile_policy
from interlock.policy.model import Caller, PolicySource, Presets

KEY = "sq-key-of-the-documents"
WRITTEN_FOR = "http://127.0.0.1:8080"
BETWEEN = "----- block"


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


RUNNING = [page for page in documents() if any(block.mark == "runs" for block in blocks(page))]


def test_the_generated_pages_are_fresh() -> None:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)

    stale = [
        name
        for name, text in generate.pages().items()
        if (ROOT / "docs/reference" / name).read_text(encoding="utf-8") != text
    ]

    assert stale == [], "run `make docs`"


@pytest.mark.parametrize("page", documents(), ids=_name)
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        found = target.exists() and (not anchor or anchor in anchors(target))
        if not found:
            dead.append(link)

    assert dead == []


def test_the_policy_of_the_first_page_is_the_one_of_the_demonstration() -> None:
    assert POLICY in [block.text for block in blocks(ROOT / "README.md")]


@pytest.mark.parametrize("page", documents(), ids=_name)
def test_every_policy_in_a_page_compiles(page: Path) -> None:
    for block in blocks(page):
        if block.language == "sqrt":
            source = PolicySource(name=f"{_name(page)}:{block.line}", text=block.text)
            compile_policy([source], presets=Presets(), caller=Caller())


def test_marks_stand_before_blocks_they_can_be_about() -> None:
    wrong = []
    for page in documents():
        marks = len(re.findall(r"^<!-- (?:runs|shows|file: .*) -->$", page.read_text(), re.M))
        marked = [block for block in blocks(page) if block.mark]
        wrong += [_name(page)] if marks != len(marked) else []
        wrong += [
            f"{_name(page)}:{block.line}"
            for block in marked
            if block.mark == "runs" and block.language not in {"bash", "sh", "python"}
        ]

    assert wrong == []


@dataclass(frozen=True, slots=True)
class Site:
    """A running server and the environment of a reader who started it."""

    base_url: str
    environ: Mapping[str, str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("documents")
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("INTERLOCK_") and not name.endswith("_API_KEY")
    }
    environ["INTERLOCK_DATA"] = str(folder / "interlock-data")
    environ["KEY"] = KEY
    command = [sys.executable, "-m", "interlock", "serve", "--port", "0"]
    with warm_commands(folder) as commands, (folder / "log").open("wb") as log:
        environ["PATH"] = f"{commands}{os.pathsep}{environ['PATH']}"
        server = subprocess.Popen(
            command,
            env=environ | {"INTERLOCK_BOOTSTRAP_KEY": KEY},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert server.stdout is not None
        announced = re.match(r"Interlock is serving on (\S+)", server.stdout.readline())
        assert announced is not None, (folder / "log").read_text()
        _deny_something(announced[1])
        yield Site(announced[1], environ)
        server.terminate()
        server.communicate(timeout=20)


def _deny_something(base_url: str) -> None:
    """What a reader of the later pages has behind him: a request, and a denial in the log."""
    policy = 'tool "send_email" -> session before @tags |= {"untrusted"};\n'
    policy += 'tool "send_email" { must deny always; }'
    request = urllib.request.Request(
        f"{base_url}/control/chat/demo/v1/chat/completions",
        data=json.dumps(
            {
                "model": "demo",
                "messages": [{"role": "user", "content": "CALL send_email {}"}],
                "tools": [{"type": "function", "function": {"name": "send_email"}}],
            }
        ).encode(),
        headers={
            "Authorization": f"Bearer {KEY}",
            "Content-Type": "application/json",
            "X-Policy": json.dumps({"codes": policy}),
        },
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert b"is denied" in answer.read()


@pytest.mark.parametrize("page", RUNNING, ids=_name)
def test_every_block_marked_as_runnable_runs_and_shows_what_is_printed(
    page: Path, site: Site, tmp_path: Path
) -> None:
    found = list(blocks(page))
    script = tmp_path / "page.sh"
    folder = tmp_path / "empty"
    folder.mkdir()
    script.write_text(_script(found, folder, tmp_path).replace(WRITTEN_FOR, site.base_url))
    for block in tmp_path.glob("*.py"):
        block.write_text(block.read_text().replace(WRITTEN_FOR, site.base_url))

    done = subprocess.run(
        ["bash", "-euo", "pipefail", str(script)],
        cwd=folder,
        env=site.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, f"{_name(page)}\n{done.stdout}"
    outputs = dict(
        re.findall(rf"^{BETWEEN} (\d+)\n(.*?)(?=^{BETWEEN}|\Z)", done.stdout, re.M | re.S)
    )
    before = ""
    for block in found:
        if block.mark == "runs":
            before = outputs[str(block.line)]
        elif block.mark == "shows":
            lost = missing(block.text, before)
            assert lost == [], f"{_name(page)}:{block.line}\n{before}"


def _script(found: list[Block], folder: Path, scratch: Path) -> str:
    """One shell that saves the files and runs the blocks, as a reader would from top to bottom."""
    lines = []
    for block in found:
        if block.file is not None:
            saved = scratch / f"{block.line}-{block.file}"
            saved.write_text(block.text)
            lines.append(f"cp '{saved}' '{folder / block.file}'")
        elif block.mark == "runs":
            lines.append(f"printf '\\n%s\\n' '{BETWEEN} {block.line}'")
            if block.language == "python":
                program = scratch / f"block_{block.line}.py"
                program.write_text(block.text)
                lines.append(f"python '{program}'")
            else:
                lines.append(block.text)
    return "\n".join(lines)
