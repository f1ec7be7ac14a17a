"""HTTP/1.1 to an upstream: pooled connections, deadlines, bounded buffers, no framework.

Owns sockets, framing, time-outs and the decision whether a connection may be used
again. Knows nothing of models, keys, retries between deployments or error bodies.
"""

from interlock.providers.http.client import HttpClient, HttpSettings
from interlock.providers.http.errors import TransportError
from interlock.providers.http.head import BadHeaderError, Origin, Prepared, header_lines
from interlock.providers.http.watchdog import Watchdog

__all__ = [
    "BadHeaderError",
    "HttpClient",
    "HttpSettings",
    "Origin",
    "Prepared",
    "TransportError",
    "Watchdog",
    "header_lines",
]
