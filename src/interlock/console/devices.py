"""What a browser says it is, in a few words: for lists of sessions."""

import re
from typing import Final

__all__ = ["device_of"]

_PROGRAMS: Final = (
    (r"Edg(?:e|A|iOS)?/", "Edge"),
    (r"OPR/", "Opera"),
    (r"Firefox/|FxiOS/", "Firefox"),
    (r"HeadlessChrome/", "Chromium without a window"),
    (r"Chrome/|CriOS/", "Chrome"),
    (r"Safari/", "Safari"),
    (r"curl/", "curl"),
    (r"python-httpx/|python-requests/|aiohttp/", "a Python program"),
)
_SYSTEMS: Final = (
    (r"iPhone", "iPhone"),
    (r"iPad", "iPad"),
    (r"Android", "Android"),
    (r"Windows", "Windows"),
    (r"Mac OS X|Macintosh", "macOS"),
    (r"Linux", "Linux"),
)


def device_of(user_agent: str) -> str:
    """`Firefox on Linux`; an unknown one as it names itself, cut."""
    program = next((name for pattern, name in _PROGRAMS if re.search(pattern, user_agent)), "")
    system = next((name for pattern, name in _SYSTEMS if re.search(pattern, user_agent)), "")
    if program and system:
        return f"{program} on {system}"
    return program or system or user_agent[:60] or "unknown device"
