"""Content blocks of Messages."""

import re

import msgspec

from interlock.providers.wire.media import decoded_text
from interlock.providers.wire.model import (
    CacheMark,
    Document,
    Image,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from interlock.providers.wire.reading import (
    Tree,
    boolean,
    invalid,
    mapping,
    need_text,
    object_text,
    text,
    untranslatable,
)
from interlock.providers.wire.thinking import pack, unpack

__all__ = [
    "cache_mark",
    "call_id",
    "content_list",
    "decode_block",
    "decode_thinking",
    "encode_block",
    "encode_result",
    "encode_thinking",
    "text_blocks",
    "with_cache",
]

Shown = Text | Image | Document

_ILLEGAL_ID = re.compile(r"[^a-zA-Z0-9_-]")


def cache_mark(tree: Tree, at: str) -> CacheMark | None:
    """The `cache_control` of a block or tool."""
    value = tree.get("cache_control")
    if value is None:
        return None
    where = f"{at}.cache_control"
    return CacheMark(ttl=text(mapping(value, where), "ttl", f"{where}."))


def with_cache(tree: Tree, mark: CacheMark | None) -> Tree:
    """`tree` carrying `mark`."""
    if mark is not None:
        tree["cache_control"] = {"type": "ephemeral"}
        if mark.ttl is not None:
            tree["cache_control"]["ttl"] = mark.ttl
    return tree


def call_id(value: str) -> str:
    """`value` in the characters Messages allows in ids."""
    return _ILLEGAL_ID.sub("_", value)


def content_list(content: object, at: str) -> list[tuple[Tree, str]]:
    """Blocks of a `content` member, each with its path; text is one block."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [({"type": "text", "text": content}, at)]
    if not isinstance(content, list):
        raise invalid(at, "a string or an array")
    return [(mapping(item, f"{at}[{i}]"), f"{at}[{i}]") for i, item in enumerate(content)]


def text_blocks(content: object, at: str) -> list[Text]:
    """Blocks that may only be text."""
    parts: list[Text] = []
    for tree, where in content_list(content, at):
        part = decode_block(tree, where)
        if not isinstance(part, Text):
            raise invalid(f"{where}.type", "`text`")
        parts.append(part)
    return parts


def decode_block(tree: Tree, at: str) -> Shown | Thinking | ToolCall | ToolResult:
    """Any block a request may hold. Raises `UntranslatableError` naming an unknown type."""
    kind = tree.get("type")
    if kind == "text":
        return _text(tree, at)
    if kind == "tool_use":
        value = mapping(tree.get("input", {}), f"{at}.input")
        return ToolCall(
            id=need_text(tree, "id", f"{at}."),
            name=need_text(tree, "name", f"{at}."),
            arguments=msgspec.json.encode(value).decode(),
            cache=cache_mark(tree, at),
        )
    if kind == "tool_result":
        return _result(tree, at)
    if kind in ("thinking", "redacted_thinking"):
        return decode_thinking(tree, at)
    if kind == "image":
        return _image(tree, at)
    if kind == "document":
        return _document(tree, at)
    if kind == "search_result":
        return _search_result(tree, at)
    if kind == "tool_reference":
        # A client that loads tools later names them so; their definitions are in `tools`.
        name = need_text(tree, "tool_name", f"{at}.")
        return Text(text=f"The tool `{name}` can be called now.", cache=cache_mark(tree, at))
    if not isinstance(kind, str):
        raise invalid(f"{at}.type", "a string")
    raise untranslatable(f"{at}.type", f"a block of type `{kind}`")


def _text(tree: Tree, at: str) -> Text:
    citations = tree.get("citations")
    if citations is not None and not isinstance(citations, list):
        raise invalid(f"{at}.citations", "an array")
    for i, item in enumerate(citations or ()):
        mapping(item, f"{at}.citations[{i}]")
    mark = cache_mark(tree, at) if "cache_control" in tree else None
    return Text(text=need_text(tree, "text", f"{at}."), cache=mark, citations=citations or None)


def _result(tree: Tree, at: str) -> ToolResult:
    content: list[Shown] = []
    for block, where in content_list(tree.get("content"), f"{at}.content"):
        part = decode_block(block, where)
        if not isinstance(part, Text | Image | Document):
            raise invalid(f"{where}.type", "a block a tool result can hold")
        content.append(part)
    return ToolResult(
        call_id=need_text(tree, "tool_use_id", f"{at}."),
        content=content,
        is_error=boolean(tree, "is_error", f"{at}.") or False,
        cache=cache_mark(tree, at),
    )


def decode_thinking(tree: Tree, at: str) -> Thinking:
    """A thinking block, with what we packed into its signature for another provider.

    A member `text`, which only the typed client knows, is ignored.
    """
    if tree["type"] == "redacted_thinking":
        data = need_text(tree, "data", f"{at}.")
        return unpack(data) or Thinking(encrypted=data, origin="messages")
    said = need_text(tree, "thinking", f"{at}.")
    signature = text(tree, "signature", f"{at}.")
    if not signature:
        return Thinking(text=said)
    return unpack(signature, said) or Thinking(text=said, signature=signature, origin="messages")


def _image(tree: Tree, at: str) -> Image:
    where = f"{at}.source"
    source = mapping(tree.get("source"), where)
    mark = cache_mark(tree, at)
    kind = source.get("type")
    if kind == "base64":
        return Image(
            data=need_text(source, "data", f"{where}."),
            media_type=need_text(source, "media_type", f"{where}."),
            cache=mark,
        )
    if kind == "url":
        return Image(url=need_text(source, "url", f"{where}."), cache=mark)
    if kind == "file":
        return Image(file_id=need_text(source, "file_id", f"{where}."), cache=mark)
    raise untranslatable(f"{where}.type", f"an image source of type `{kind}`")


def _document(tree: Tree, at: str) -> Document:
    where = f"{at}.source"
    source = mapping(tree.get("source"), where)
    mark = cache_mark(tree, at)
    name = text(tree, "title", f"{at}.")
    kind = source.get("type")
    if kind == "base64":
        return Document(
            data=need_text(source, "data", f"{where}."),
            media_type=text(source, "media_type", f"{where}.") or "application/pdf",
            name=name,
            cache=mark,
        )
    if kind == "text":
        return Document(text=need_text(source, "data", f"{where}."), name=name, cache=mark)
    if kind == "url":
        return Document(url=need_text(source, "url", f"{where}."), name=name, cache=mark)
    if kind == "file":
        return Document(file_id=need_text(source, "file_id", f"{where}."), name=name, cache=mark)
    if kind == "content":
        parts = text_blocks(source.get("content"), f"{where}.content")
        return Document(text="\n".join(part.text for part in parts), name=name, cache=mark)
    raise untranslatable(f"{where}.type", f"a document source of type `{kind}`")


def _search_result(tree: Tree, at: str) -> Text:
    title = need_text(tree, "title", f"{at}.")
    source = need_text(tree, "source", f"{at}.")
    parts = text_blocks(tree.get("content"), f"{at}.content")
    body = "\n".join([f"{title} ({source})", *(part.text for part in parts)])
    return Text(text=body, cache=cache_mark(tree, at))


def encode_block(part: Shown) -> Tree:
    """Text, image or document."""
    if isinstance(part, Text):
        tree: Tree = {"type": "text", "text": part.text}
        if part.citations:
            tree["citations"] = part.citations
        return with_cache(tree, part.cache)
    if isinstance(part, Image):
        return with_cache({"type": "image", "source": _image_source(part)}, part.cache)
    tree = {"type": "document", "source": _document_source(part)}
    if part.name is not None:
        tree["title"] = part.name
    return with_cache(tree, part.cache)


def _image_source(part: Image) -> Tree:
    if part.data is not None:
        media_type = part.media_type or "image/png"
        return {"type": "base64", "media_type": media_type, "data": part.data}
    if part.file_id is not None:
        return {"type": "file", "file_id": part.file_id}
    return {"type": "url", "url": part.url or ""}


def _document_source(part: Document) -> Tree:
    if part.text is not None:
        return {"type": "text", "media_type": "text/plain", "data": part.text}
    if part.data is not None:
        media_type = part.media_type or "application/pdf"
        if media_type == "application/pdf":
            return {"type": "base64", "media_type": media_type, "data": part.data}
        decoded = decoded_text(part.data) if _textual(media_type) else None
        if decoded is None:
            raise untranslatable("messages", f"a document of type `{media_type}`")
        return {"type": "text", "media_type": "text/plain", "data": decoded}
    if part.file_id is not None:
        return {"type": "file", "file_id": part.file_id}
    return {"type": "url", "url": part.url or ""}


def _textual(media_type: str) -> bool:
    return media_type.startswith("text/") or media_type in {
        "application/json",
        "application/xml",
        "application/yaml",
    }


def encode_thinking(part: Thinking) -> Tree:
    """A thinking block; the proof of another provider is packed into its signature."""
    native = part.origin in {None, "messages"}
    if native and part.encrypted is not None:
        return {"type": "redacted_thinking", "data": part.encrypted}
    signature = part.signature if native else pack(part)
    return {"type": "thinking", "thinking": part.text, "signature": signature or ""}


def encode_call(part: ToolCall) -> Tree | None:
    """A `tool_use` block; None when the arguments are not an object."""
    value = object_text(part.arguments)
    if value is None:
        return None
    return {"type": "tool_use", "id": part.id, "name": part.qualified, "input": value}


def encode_result(part: ToolResult) -> Tree:
    """A `tool_result` block; empty texts are left out, the provider refuses them."""
    tree: Tree = {"type": "tool_result", "tool_use_id": call_id(part.call_id)}
    content = [item for item in part.content if not isinstance(item, Text) or item.text]
    if len(content) == 1 and isinstance(content[0], Text) and content[0].cache is None:
        tree["content"] = content[0].text
    elif content:
        tree["content"] = [encode_block(item) for item in content]
    if part.is_error:
        tree["is_error"] = True
    return with_cache(tree, part.cache)
