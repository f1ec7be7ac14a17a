"""Ids in the shapes providers use. Random by default; tests may pass a counter."""

import os
from collections.abc import Callable

__all__ = ["NewId", "random_id"]

NewId = Callable[[str], str]
"""prefix (`call_`, `msg_`) -> a fresh id that begins with it."""

_LENGTHS = {"chatcmpl-": 29, "call_": 24, "toolu_": 24, "msg_": 24, "req_": 24}
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def random_id(prefix: str) -> str:
    """A fresh id: hexadecimal for Responses items, letters and digits elsewhere."""
    length = _LENGTHS.get(prefix)
    if length is None:
        return prefix + os.urandom(25).hex()
    if prefix in {"toolu_", "msg_"}:
        prefix += "01"
    return prefix + "".join(_ALPHABET[byte % 62] for byte in os.urandom(length))
