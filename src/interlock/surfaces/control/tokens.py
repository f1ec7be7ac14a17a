"""How many input tokens a Messages request is likely to be. An estimate, not a tokenizer.

Text counts one token per four bytes of UTF-8, which fits English, code and, because
their characters take three bytes, Chinese and Japanese. Images count by area as the
provider bills them (width * height / 750 after its own scaling), documents by page.
Earlier thinking blocks do not count: the provider does not bill them again.

Pure. Source: gateway.md section 1.3.
"""

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

__all__ = ["estimate_tokens"]

_BYTES_PER_TOKEN: Final = 4
_PER_MESSAGE: Final = 4
_PER_TOOL: Final = 12
_TOOLS_PREAMBLE: Final = 300
"""Instructions the provider adds as soon as there is one tool."""
_IMAGE_MAX: Final = 1600
_IMAGE_EDGE: Final = 1568
_PIXELS_PER_TOKEN: Final = 750
_PDF_PAGE: Final = 2000
_MAX_DEPTH: Final = 32

_PAGE: Final = re.compile(rb"/Type\s*/Page(?![a-zA-Z])")
_HEAD_CHARS: Final = 256 << 10
"""Base64 characters looked at for an image's size."""


def estimate_tokens(request: Mapping[str, object]) -> int:
    """Input tokens of a decoded Messages body; whatever has an unknown shape counts as JSON."""
    total = _content(request.get("system"), 0)
    messages = request.get("messages")
    for message in messages if isinstance(messages, list) else []:
        total += _PER_MESSAGE
        total += (
            _content(message.get("content"), 0) if isinstance(message, dict) else _json(message)
        )
    tools = request.get("tools")
    if isinstance(tools, list) and tools:
        total += _TOOLS_PREAMBLE + sum(_tool(tool) for tool in tools)
    return max(1, total)


def _content(content: object, depth: int) -> int:
    """A string, a block, or a list of blocks."""
    if content is None:
        return 0
    if isinstance(content, str):
        return _text(content)
    if isinstance(content, list):
        return sum(_content(block, depth + 1) for block in content)
    if not isinstance(content, dict) or depth > _MAX_DEPTH:
        return _json(content)
    count = _BLOCKS.get(str(content.get("type")))
    return _json(content) if count is None else count(content, depth)


def _tool(tool: object) -> int:
    if not isinstance(tool, dict):
        return _json(tool)
    parts = (tool.get("name"), tool.get("description"))
    texts = sum(_text(part) for part in parts if isinstance(part, str))
    return _PER_TOOL + texts + _json(tool.get("input_schema", {}))


def _text(text: str) -> int:
    return math.ceil(len(text.encode("utf-8", "replace")) / _BYTES_PER_TOKEN)


def _json(value: object) -> int:
    return math.ceil(len(msgspec.json.encode(value)) / _BYTES_PER_TOKEN)


def _text_block(block: Mapping[str, object], depth: int) -> int:
    del depth
    text = block.get("text")
    return _text(text) if isinstance(text, str) else _json(block)


def _tool_use(block: Mapping[str, object], depth: int) -> int:
    del depth
    return _PER_TOOL + _text(str(block.get("name", ""))) + _json(block.get("input", {}))


def _tool_result(block: Mapping[str, object], depth: int) -> int:
    return _PER_TOOL + _content(block.get("content"), depth + 1)


def _thinking(block: Mapping[str, object], depth: int) -> int:
    del block, depth
    return 0


def _image(block: Mapping[str, object], depth: int) -> int:
    del depth
    data = _inline(block.get("source"), limit=_HEAD_CHARS)
    size = _image_size(data) if data else None
    if size is None:
        return _IMAGE_MAX
    width, height = size
    scale = min(1.0, _IMAGE_EDGE / max(width, height))
    tokens = math.ceil(width * scale * height * scale / _PIXELS_PER_TOKEN)
    return max(1, min(_IMAGE_MAX, tokens))


def _document(block: Mapping[str, object], depth: int) -> int:
    source = block.get("source")
    if isinstance(source, dict) and source.get("type") in {"text", "content"}:
        inner = source.get("data", source.get("content"))
        return _content(inner, depth + 1)
    data = _inline(source, limit=None)
    return _PDF_PAGE * max(1, len(_PAGE.findall(data)) if data else 1)


_BLOCKS: Final[Mapping[str, Callable[[Mapping[str, object], int], int]]] = {
    "text": _text_block,
    "image": _image,
    "document": _document,
    "tool_use": _tool_use,
    "server_tool_use": _tool_use,
    "tool_result": _tool_result,
    "thinking": _thinking,
    "redacted_thinking": _thinking,
}


def _inline(source: object, *, limit: int | None) -> bytes | None:
    """The decoded bytes (their beginning) of a base64 source, None for any other."""
    data = source.get("data") if isinstance(source, dict) else None
    if not isinstance(data, str):
        return None
    try:
        return base64.b64decode(data[:limit])
    except (binascii.Error, ValueError):
        return None


def _image_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) from the head of a PNG, GIF, WebP or JPEG."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        return _sized(int.from_bytes(data[16:20]), int.from_bytes(data[20:24]))
    if data[:6] in {b"GIF87a", b"GIF89a"} and len(data) >= 10:
        return _sized(_little(data, 6, 2), _little(data, 8, 2))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) >= 30:
        return _webp_size(data)
    if data.startswith(b"\xff\xd8"):
        return _jpeg_size(data)
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    match data[12:16]:
        case b"VP8X":
            return _sized(_little(data, 24, 3) + 1, _little(data, 27, 3) + 1)
        case b"VP8L":
            bits = _little(data, 21, 4)
            return _sized((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        case b"VP8 ":
            return _sized(_little(data, 26, 2) & 0x3FFF, _little(data, 28, 2) & 0x3FFF)
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Walks the segments to the frame header."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            return _sized(
                int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
            )
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))
    return None


def _little(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _sized(width: int, height: int) -> tuple[int, int] | None:
    return (width, height) if width and height else None
