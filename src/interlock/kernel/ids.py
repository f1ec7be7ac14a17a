"""Identifiers: how they look and how they are made.

Randomness comes from the operating system (`os.urandom`) because ids of
sessions and calls are also capabilities: they must not be guessable.
"""

import os
import uuid

__all__ = ["new_id", "new_uuid"]


def new_uuid() -> str:
    """A random UUID (version 4) in its 36-character form."""
    return str(uuid.UUID(bytes=os.urandom(16), version=4))


def new_id(prefix: str) -> str:
    """`prefix_` followed by 24 random hexadecimal characters (96 bits)."""
    return f"{prefix}_{os.urandom(12).hex()}"
