"""The demo model on a loopback port, for tests that want the network between."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from interlock.providers.demo import DemoUpstream
from interlock.providers.demo.server import Application

__all__ = ["demo_server"]


@contextmanager
def demo_server(upstream: DemoUpstream | None = None) -> Iterator[str]:
    """Base URL (`http://127.0.0.1:PORT`) of a running demo model, faults on, any key accepted."""
    app = Application(upstream or DemoUpstream(faults=True, key_required=True))
    config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = server.force_exit = True
            thread.join(10)
