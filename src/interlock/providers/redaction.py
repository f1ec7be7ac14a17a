"""Keeping keys out of texts an upstream wrote.

Upstreams like to repeat the key they refuse, whole or partly masked. Everything of
theirs that a person, log or error might show goes through here.
"""

import re
from collections.abc import Iterable
from urllib.parse import quote

__all__ = ["MAX_SHOWN_BYTES", "redact", "without_keys"]

MAX_SHOWN_BYTES = 64 << 10
_MARK = b"[redacted]"
_SHAPES = re.compile(
    rb"\b(?:sk|rk|pk|sq|gsk|xai)-[A-Za-z0-9_\-*.\xe2\x80\xa6]{6,}"
    rb"|(?i:bearer)\s+[A-Za-z0-9_\-.~+/=*]{6,}"
)
"""Keys by their looks, also those an upstream masked in the middle."""


def redact(data: bytes, secrets: Iterable[str]) -> bytes:
    """`data` cut to 64 KiB, without any of `secrets` and without what looks like a key.

    `data` may itself be a cut text: a secret whose beginning ends it is removed as well.
    """
    for raw in {form for secret in secrets if secret for form in _forms(secret)}:
        data = data.replace(raw, _MARK)
        for length in range(min(len(raw) - 1, len(data)), 3, -1):
            if data.endswith(raw[:length]):
                data = data[:-length] + _MARK
                break
    return _SHAPES.sub(_MARK, data)[:MAX_SHOWN_BYTES]


def without_keys(data: bytes, secrets: Iterable[str]) -> bytes:
    """`data`, of any length and complete, without `secrets` and what looks like a key."""
    for raw in {form for secret in secrets if secret for form in _forms(secret)}:
        data = data.replace(raw, _MARK)
    return _SHAPES.sub(_MARK, data)


def _forms(secret: str) -> set[bytes]:
    """The ways a text may spell it: as it is, in JSON (two habits), in a URL."""
    spelled = {secret, secret.replace("/", "\\/"), quote(secret, safe=""), quote(secret)}
    return {text.encode("latin-1", "replace") for text in spelled}
