"""Pass-through: client and upstream speak the same format.

Bytes go through; what must change is found by opening the body only as far as needed.
`peek_*` reads requests, `request_*` edits them, `answer_*` whole answers, `stream_*`
event streams. Nothing here translates: `providers.wire.translate` does.
"""

from interlock.providers.wire.relay.exchange import client, relay_exchange

__all__ = ["client", "relay_exchange"]
