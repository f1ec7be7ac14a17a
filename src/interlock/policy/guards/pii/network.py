"""IP addresses and hardware addresses."""

import ipaddress
from collections.abc import Iterator

import re2

from interlock.policy.guards.pii.context import GUARD, cue, words
from interlock.policy.guards.spans import Span, View

__all__ = ["find"]

_V4 = re2.compile(r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}")
_V6 = re2.compile(
    r"(?i)(?:[0-9a-f]{1,4}:){1,7}:?(?:[0-9a-f]{0,4}:){0,6}[0-9a-f.]{0,15}"
    r"|::(?:[0-9a-f]{1,4}:){0,6}[0-9a-f.]{1,15}"
)
_MAC = re2.compile(r"(?i)\b[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}\b|\b[0-9a-f]{4}(?:\.[0-9a-f]{4}){2}\b")
_IP_CUE = words("ip|ip address|ipaddr|remote addr|client ip|host|address|login from|logged in")
_VERSION_CUE = words("version|ver|v|release|build|chrome|firmware|oid|section")


def find(view: View) -> Iterator[Span]:
    """IP and MAC addresses of a view."""
    text = view.text
    for match in _V4.finditer(text):
        start, end = match.span()
        before = text[start - 1] if start else " "
        after = text[end : end + 2] or " "
        # A fifth number makes it something else; `v1.2.3.4` is a release.
        if before.isalnum() or before in "._" or after[0].isalnum():
            continue
        if after[0] == "." and after[1:].isdigit():
            continue
        address = _parsed(match.group())
        if address is not None:
            yield Span(start, end, "IP_ADDRESS", _score(view, start, end, address), GUARD)
    if ":" not in text:
        return
    for match in _V6.finditer(text):
        start, end = match.span()
        found = match.group().rstrip(".")
        if found.endswith(":") and not found.endswith("::"):
            found = found[:-1]
        end = start + len(found)
        before = text[start - 1] if start else " "
        after = text[end] if end < len(text) else " "
        if before.isalnum() or before in ":." or after.isalnum() or after == ":":
            continue
        address = _parsed(found) if _v6_shape(found) else None
        if address is not None:
            yield Span(start, end, "IP_ADDRESS", _score(view, start, end, address), GUARD)
    for match in _MAC.finditer(text):
        start, end = match.span()
        yield Span(start, end, "MAC_ADDRESS", 0.6, GUARD)


def _v6_shape(text: str) -> bool:
    """Not a time (`10:20`) nor a name in some programming language (`a::b`)."""
    return text.count(":") >= 2 and any(char.isdigit() for char in text) and len(text) > 2


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _score(
    view: View, start: int, end: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> float:
    """Public addresses point at people; loopback and private ones hardly do."""
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        return 0.1
    if cue(view, start, end, _VERSION_CUE) and not cue(view, start, end, _IP_CUE):
        return 0.15
    if address.is_private or address.is_link_local:
        return 0.35
    return 0.8 if cue(view, start, end, _IP_CUE) else 0.6
