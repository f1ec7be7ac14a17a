"""An object store as S3 speaks, for one bucket: enough to put, get and delete."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["BUCKET", "ObjectStore", "object_store"]

BUCKET = "files-of-tests"
_KEY = "AKIATEST"


class ObjectStore:
    """What is in the bucket, and how the store behaves."""

    def __init__(self) -> None:
        self.url = ""
        self.kept: dict[str, bytes] = {}
        self.broken = False

    @property
    def options(self) -> dict[str, str]:
        """For `store.blobs`."""
        return {
            "endpoint": self.url,
            "region": "us-east-1",
            "access_key_id": _KEY,
            "secret_access_key": "secret-of-the-bucket",
            "allow_http": "true",
        }


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """A running store."""
    store = ObjectStore()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            if self._usable():
                store.kept[self.path] = data
                self._say(200, headers={"ETag": '"1"'})

        def do_GET(self) -> None:
            if self._usable():
                found = store.kept.get(self.path)
                if found is None:
                    self._say(404, _error("NoSuchKey"))
                else:
                    self._say(200, found, {"ETag": '"1"', "Last-Modified": _DATE})

        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["content-length"]))
            if self._usable():
                keys = re.findall(rb"<Key>(.*?)</Key>", asked)
                for key in keys:
                    store.kept.pop(f"/{BUCKET}/{key.decode()}", None)
                gone = b"".join(b"<Deleted><Key>%s</Key></Deleted>" % key for key in keys)
                self._say(200, b"<?xml version='1.0'?><DeleteResult>%s</DeleteResult>" % gone)

        def _usable(self) -> bool:
            if store.broken:
                self._say(400, _error("Broken"))
            elif f"Credential={_KEY}/" not in self.headers.get("authorization", ""):
                self._say(403, _error("InvalidAccessKeyId"))
            elif self.path.partition("?")[0].split("/")[1] != BUCKET:
                self._say(404, _error("NoSuchBucket"))
            else:
                return True
            return False

        def _say(
            self, status: int, body: bytes = b"", headers: dict[str, str] | None = None
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        store.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield store
        finally:
            server.shutdown()
            thread.join(10)


_DATE = "Fri, 27 Nov 2026 12:00:00 GMT"


def _error(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode()
