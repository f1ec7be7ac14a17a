"""The wire formats, and the machine for a pair of them.

Adding a format: its package, and its line in `FORMATS`.
"""

from collections.abc import Callable, Mapping

from interlock.providers.wire import chat, messages, responses
from interlock.providers.wire.codec import Codec
from interlock.providers.wire.exchange import Exchange, FormatName
from interlock.providers.wire.relay import client, relay_exchange
from interlock.providers.wire.translate import Translation

__all__ = ["FORMATS", "client", "exchange"]

FORMATS: Mapping[FormatName, Codec] = {
    "chat": chat,
    "messages": messages,
    "responses": responses,
}
"""Codecs by name."""


def exchange(
    client: FormatName,
    upstream: FormatName,
    *,
    now: Callable[[], float] | None = None,
    new_id: Callable[[str], str] | None = None,
) -> Exchange:
    """A fresh machine for one call: pass-through for equal formats, else translation.

    `now` (seconds since the epoch) dates answers whose upstream format does not;
    `new_id` (of a prefix) names Responses answers of upstreams of other formats.
    """
    if client == upstream:
        return relay_exchange(client)
    return Translation(client, upstream, FORMATS, now, new_id)
