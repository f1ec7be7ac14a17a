"""TLS to an upstream, directly and through a proxy."""

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.support.scripted_upstream import (
    GOOD,
    FrozenClock,
    ScriptedUpstream,
    manual_watchdog,
    sends,
    upstream,
)

from interlock.providers.http import HttpClient, HttpSettings, Origin, Prepared, TransportError
from interlock.providers.http.tunnel import Proxy

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[{}, {"use_uvloop": True}], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return ("asyncio", request.param)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for `localhost` and 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


@pytest.fixture
async def secure(certificate: tuple[Path, Path]) -> AsyncIterator[ScriptedUpstream]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    async with upstream(tls=context) as scripted:
        yield scripted


async def post(client: HttpClient) -> bytes:
    exchange = await asyncio.wait_for(
        client.request(
            Prepared.make("POST", client.origin, "/v1/x"),
            b"",
            b"{}",
            streaming=False,
            deadline=5000.0,
        ),
        5,
    )
    return exchange.collected()


def client_of(port: int, host: str = "localhost", **settings: object) -> HttpClient:
    watchdog = manual_watchdog(FrozenClock())
    return HttpClient(Origin("https", host, port), HttpSettings(**settings), watchdog=watchdog)


async def test_a_trusted_certificate_is_accepted_and_the_connection_kept(
    secure: ScriptedUpstream, certificate: tuple[Path, Path]
) -> None:
    client = client_of(secure.port, ca_file=str(certificate[0]))

    assert [await post(client) for _ in range(3)] == [GOOD] * 3
    assert secure.connections == 1
    client.close()


async def test_an_unknown_authority_is_refused_for_good(secure: ScriptedUpstream) -> None:
    client = client_of(secure.port)
    with pytest.raises(TransportError) as caught:
        await post(client)

    fault = caught.value
    assert (fault.error_code, fault.stage, fault.permanent) == (
        "upstream_unreachable",
        "connect",
        True,
    )
    assert "not trusted" in fault.message
    assert secure.seen == []


async def test_a_certificate_for_another_name_is_refused(
    secure: ScriptedUpstream, certificate: tuple[Path, Path]
) -> None:
    client = client_of(secure.port, host="127.0.0.2", ca_file=str(certificate[0]))
    with pytest.raises(TransportError) as caught:
        await post(client)

    # 127.0.0.2 answers too on loopback, with a certificate that is not its own.
    assert caught.value.stage == "connect"
    assert secure.seen == []


@pytest.mark.parametrize("end", ["abort", "close"])
async def test_a_cut_inside_tls_is_a_truncation_not_an_end(
    secure: ScriptedUpstream, certificate: tuple[Path, Path], end: str
) -> None:
    secure.script.append(sends(b"HTTP/1.1 200 OK\r\n\r\nhalf an ans", then=end))
    client = client_of(secure.port, ca_file=str(certificate[0]))
    with pytest.raises(TransportError) as caught:
        await post(client)

    assert caught.value.error_code == "upstream_truncated"
    assert await post(client) == GOOD
    client.close()


class ScriptedProxy:
    """An HTTP proxy that knows CONNECT, or refuses it."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.answer = answer
        self.heads: list[str] = []
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far: asyncio.StreamWriter | None = None
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            writer.write(self.answer)
            if not self.answer.startswith(b"HTTP/1.1 2"):
                return
            host, port = head.split()[1].rsplit(":", 1)
            back, far = await asyncio.open_connection(host, int(port))
            async with asyncio.TaskGroup() as group:
                group.create_task(pump(reader, far))
                group.create_task(pump(back, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            for end in (writer, far):
                if end is not None:
                    end.close()
                    with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                        await end.wait_closed()
            self._tasks.discard(task)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def proxy(**settings: bytes) -> AsyncIterator[ScriptedProxy]:
    scripted = ScriptedProxy(**settings)
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    scripted.port = server.sockets[0].getsockname()[1]
    try:
        yield scripted
    finally:
        server.close()
        await scripted.stop()


async def test_an_upstream_is_reached_through_a_proxy(
    secure: ScriptedUpstream, certificate: tuple[Path, Path]
) -> None:
    async with proxy() as between:
        client = client_of(
            secure.port,
            ca_file=str(certificate[0]),
            proxy=Proxy.parse(f"http://user:p%40ss@127.0.0.1:{between.port}"),
        )

        assert [await post(client) for _ in range(2)] == [GOOD] * 2
        assert len(between.heads) == 1
        assert between.heads[0].startswith(f"CONNECT localhost:{secure.port} HTTP/1.1\r\n")
        assert "proxy-authorization: Basic dXNlcjpwQHNz" in between.heads[0]
        assert "p@ss" not in repr(client._settings)
        client.close()
        await secure.all_closed()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "status 407"),
        (b"SOCKS?\r\n\r\n", "did not answer in HTTP"),
        (b"", "closed the connection"),
        (b"HTTP/1.1 x", "closed the connection"),
        (b"y" * 20000, "endless"),
    ],
)
async def test_a_proxy_that_refuses_is_an_unreachable_upstream(
    secure: ScriptedUpstream, answer: bytes, said: str
) -> None:
    async with proxy(answer=answer) as between:
        client = client_of(secure.port, proxy=Proxy.parse(f"http://127.0.0.1:{between.port}"))
        with pytest.raises(TransportError) as caught:
            await post(client)

        assert (caught.value.error_code, caught.value.stage) == ("upstream_unreachable", "connect")
        assert said in caught.value.message
        assert (client.busy, client.connections) == (0, 0)
