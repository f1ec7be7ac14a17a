"""A relay between a coding program and the server that keeps everything it passes on.

It is also the only way out a program is given: its proxy variables name the relay, which
refuses every other destination and remembers that it was asked.
"""

import http.client
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

__all__ = ["Exchange", "Wiretap", "wiretap"]

_WAIT_S = 60
_PIECE = 65_536
_OWN = frozenset({"connection", "content-length", "date", "server", "transfer-encoding"})
"""Headers of an answer that the relay sets itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request of the program and what the server answered."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    status: int
    session_id: str | None
    answer: bytes


@dataclass(slots=True, kw_only=True)
class Wiretap:
    """What was said since `clear`."""

    base_url: str
    exchanges: list[Exchange] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    """Destinations other than the server that were asked for."""

    @property
    def session(self) -> str:
        """The one session that all requests belonged to."""
        (session,) = {one.session_id for one in self.exchanges}
        assert session is not None
        return session

    def clear(self) -> None:
        """Forgets everything."""
        self.exchanges.clear()
        self.elsewhere.clear()


@contextmanager
def wiretap(server: str) -> Iterator[Wiretap]:
    """Relays to `server`, a base URL on loopback."""
    target = urlsplit(server)
    tap = Wiretap(base_url="")

    class Relay(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = _WAIT_S

        def relay(self) -> None:
            if not self.path.startswith("/"):
                self.refuse()
                return
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            upstream = http.client.HTTPConnection(target.hostname, target.port, timeout=_WAIT_S)
            try:
                passed = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
                upstream.request(self.command, self.path, body, passed)
                answer = upstream.getresponse()
                said = self.pass_on(answer)
            finally:
                upstream.close()
            tap.exchanges.append(
                Exchange(
                    method=self.command,
                    path=self.path,
                    headers={name.lower(): value for name, value in self.headers.items()},
                    body=body,
                    status=answer.status,
                    session_id=answer.headers.get("x-session-id"),
                    answer=said,
                )
            )

        def pass_on(self, answer: http.client.HTTPResponse) -> bytes:
            """Sends the answer on piece by piece, as it comes, and returns it."""
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in _OWN:
                    self.send_header(name, value)
            length = answer.headers.get("content-length")
            named = length is not None or self.command == "HEAD"
            if named:
                self.send_header("content-length", length or "0")
            else:
                self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            said = b""
            while piece := answer.read1(_PIECE):
                said += piece
                self.wfile.write(piece if named else b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.flush()
            if not named:
                self.wfile.write(b"0\r\n\r\n")
            return said

        def refuse(self) -> None:
            tap.elsewhere.append(f"{self.command} {self.path}")
            self.close_connection = True
            self.send_error(403)

        def log_message(self, *args: object) -> None:
            del args

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = relay  # noqa: N815
        do_CONNECT = refuse  # noqa: N815

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Relay) as relay:
        tap.base_url = f"http://127.0.0.1:{relay.server_address[1]}"
        thread = threading.Thread(target=relay.serve_forever, daemon=True)
        thread.start()
        try:
            yield tap
        finally:
            relay.shutdown()
            thread.join()
