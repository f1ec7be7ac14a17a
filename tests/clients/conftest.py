"""One server for all programs; a home, a folder and a wiretap's memory for each test."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.clients.programs import ClaudeCode, Codex, note_of
from tests.clients.recording import record
from tests.clients.server import Server, running_server
from tests.clients.wiretap import Wiretap, wiretap
from tests.support.demo_server import demo_server

POLICY = Path(__file__).parent / "coding.sqrt"
Record = Callable[[str], None]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the demo model inside, and behind HTTP as a provider of Chat Completions."""
    with demo_server() as model:
        settings = f'[providers.elsewhere]\nbase_url = "{model}/v1"\napi_key = "sk-demo"\n'
        with running_server(tmp_path_factory.mktemp("server") / "data", settings) as running:
            yield running


@pytest.fixture(scope="session")
def relay(server: Server) -> Iterator[Wiretap]:
    with wiretap(server.base_url) as tap:
        yield tap


@pytest.fixture
def tap(relay: Wiretap) -> Iterator[Wiretap]:
    """The wiretap; whatever a program sent must have been welcome, and sent to nobody else."""
    relay.clear()
    yield relay
    refused = [(one.path, one.status, one.answer) for one in relay.exchanges if one.status >= 400]
    assert refused == []
    assert relay.elsewhere == []


@pytest.fixture(scope="session")
def key(server: Server) -> str:
    """A key with the policy, for all tests."""
    return server.new_key("coding", POLICY)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The folder a program works in."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def claude(relay: Wiretap, key: str, work: Path, tmp_path: Path) -> ClaudeCode:
    note = note_of("claude-code")
    return ClaudeCode(**note, origin=relay.base_url, key=key, home=tmp_path, work=work)


@pytest.fixture
def codex(relay: Wiretap, key: str, work: Path, tmp_path: Path) -> Codex:
    note = note_of("codex-cli")
    return Codex(**note, origin=relay.base_url, key=key, home=tmp_path, work=work)


@pytest.fixture
def keep(relay: Wiretap, work: Path, tmp_path: Path) -> Record:
    """Records what was said as a golden conversation, when `make record-clients` asks for it."""

    def kept(name: str) -> None:
        if os.environ.get("CLIENTS_RECORD"):
            record(name, relay.exchanges, {str(work): "/work", str(tmp_path): "/home/dev"})

    return kept
