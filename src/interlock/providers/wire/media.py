"""Inline media: `data:` URLs against base64 with a media type."""

import base64
import binascii
import re

__all__ = ["data_url", "decoded_text", "split_data_url"]

_DATA_URL = re.compile(r"data:([^;,]*)(?:;[^;,]*)*;base64,", re.IGNORECASE)


def split_data_url(url: str) -> tuple[str, str] | None:
    """(media type, base64 data) of a base64 `data:` URL, None for any other URL."""
    found = _DATA_URL.match(url)
    if found is None:
        return None
    return found[1] or "application/octet-stream", url[found.end() :]


def data_url(media_type: str | None, data: str) -> str:
    """The `data:` URL of inline media."""
    return f"data:{media_type or 'application/octet-stream'};base64,{data}"


def decoded_text(data: str) -> str | None:
    """Base64 of UTF-8 text as text, None when it is not that."""
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
