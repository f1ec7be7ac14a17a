"""Style, scripts and icons, under a name that changes with any of them."""

import gzip
import hashlib
from importlib import resources

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from interlock.console.headers import HEADERS

__all__ = ["ASSETS", "Assets"]

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class Assets:
    """Files of `static/`, read once; `url` names them."""

    def __init__(self) -> None:
        folder = resources.files("interlock.console") / "static"
        self._files = {
            item.name: item.read_bytes()
            for item in sorted(folder.iterdir(), key=lambda item: item.name)
            if item.name.rpartition(".")[2] in _TYPES
        }
        digest = hashlib.sha256()
        for name, content in self._files.items():
            digest.update(name.encode() + b"\0" + content)
        self.digest = digest.hexdigest()[:16]
        self._packed = {name: gzip.compress(body, 9) for name, body in self._files.items()}

    def url(self, name: str) -> str:
        """Address of a file; it may be kept for ever."""
        if name not in self._files:
            raise KeyError(name)
        return f"/console/assets/{self.digest}/{name}"

    async def serve(self, request: Request) -> Response:
        """Answers `/console/assets/{digest}/{name}`."""
        name = request.path_params["name"]
        if name not in self._files or request.path_params["digest"] != self.digest:
            return PlainTextResponse("nothing here\n", status_code=404, headers=HEADERS)
        headers = {
            **HEADERS,
            "cache-control": "public, max-age=31536000, immutable",
            "content-type": _TYPES[name.rpartition(".")[2]],
            "vary": "Accept-Encoding",
        }
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
            return Response(self._packed[name], headers=headers)
        return Response(self._files[name], headers=headers)


ASSETS = Assets()
