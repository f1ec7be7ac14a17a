"""Message content of Chat Completions: parts of user messages, reasoning of assistants."""

from typing import Literal

import msgspec

from interlock.providers.wire.media import data_url, split_data_url
from interlock.providers.wire.model import (
    Audio,
    CacheMark,
    Document,
    Image,
    Part,
    Refusal,
    Text,
    Thinking,
)
from interlock.providers.wire.reading import (
    Tree,
    invalid,
    mapping,
    need_text,
    text,
    untranslatable,
)

__all__ = [
    "cache_mark",
    "content_parts",
    "encode_part",
    "encode_reasoning",
    "encode_texts",
    "reasoning_parts",
    "with_cache",
]

_FORMATS = {"messages": "anthropic-claude-v1", "responses": "openai-responses-v1"}
_MADE_BY: dict[str, Literal["messages", "responses"]] = {
    "anthropic-claude-v1": "messages",
    "openai-responses-v1": "responses",
}


def cache_mark(tree: Tree, at: str) -> CacheMark | None:
    """The `cache_control` of a part or tool."""
    value = tree.get("cache_control")
    if value is None:
        return None
    return CacheMark(ttl=text(mapping(value, f"{at}cache_control"), "ttl", f"{at}cache_control."))


def with_cache(tree: Tree, mark: CacheMark | None) -> Tree:
    """`tree` carrying `mark`."""
    if mark is not None:
        tree["cache_control"] = {"type": "ephemeral"}
        if mark.ttl is not None:
            tree["cache_control"]["ttl"] = mark.ttl
    return tree


def content_parts(content: object, at: str) -> list[Part]:
    """Parts of a `content` member: text, or an array of parts."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [Text(text=content)]
    if not isinstance(content, list):
        raise invalid(at, "a string or an array")
    return [_part(item, f"{at}[{i}]") for i, item in enumerate(content)]


def _part(value: object, at: str) -> Part:
    tree = mapping(value, at)
    kind = tree.get("type")
    if kind == "text":
        mark = cache_mark(tree, f"{at}.") if "cache_control" in tree else None
        return Text(text=need_text(tree, "text", f"{at}."), cache=mark)
    if kind == "image_url":
        return _image(tree, at)
    if kind == "input_audio":
        audio = mapping(tree.get("input_audio"), f"{at}.input_audio")
        inner = f"{at}.input_audio."
        return Audio(data=need_text(audio, "data", inner), format=need_text(audio, "format", inner))
    if kind == "file":
        return _file(tree, at)
    if kind == "refusal":
        return Refusal(text=need_text(tree, "refusal", f"{at}."))
    if not isinstance(kind, str):
        raise invalid(f"{at}.type", "a string")
    raise untranslatable(f"{at}.type", f"a content part of type `{kind}`")


def _image(tree: Tree, at: str) -> Image:
    value = tree.get("image_url")
    inner = f"{at}.image_url."
    image = {"url": value} if isinstance(value, str) else mapping(value, f"{at}.image_url")
    url = need_text(image, "url", inner)
    detail = text(image, "detail", inner)
    mark = cache_mark(tree, f"{at}.")
    inline = split_data_url(url)
    if inline is None:
        return Image(url=url, detail=detail, cache=mark)
    return Image(media_type=inline[0], data=inline[1], detail=detail, cache=mark)


def _file(tree: Tree, at: str) -> Document:
    file = mapping(tree.get("file"), f"{at}.file")
    inner = f"{at}.file."
    name = text(file, "filename", inner)
    mark = cache_mark(tree, f"{at}.")
    file_id = text(file, "file_id", inner)
    if file_id is not None:
        return Document(file_id=file_id, name=name, cache=mark)
    data = need_text(file, "file_data", inner)
    inline = split_data_url(data)
    if inline is None:
        if data.startswith(("http://", "https://")):
            return Document(url=data, name=name, cache=mark)
        return Document(media_type="application/pdf", data=data, name=name, cache=mark)
    return Document(media_type=inline[0], data=inline[1], name=name, cache=mark)


def encode_part(part: Part) -> Tree:
    """A part of a user message."""
    if isinstance(part, Text):
        return with_cache({"type": "text", "text": part.text}, part.cache)
    if isinstance(part, Image):
        return _encode_image(part)
    if isinstance(part, Document):
        return _encode_document(part)
    if isinstance(part, Audio):
        return {
            "type": "input_audio",
            "input_audio": {"data": part.data, "format": part.format},
        }
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    raise untranslatable("messages", f"a part of type `{type(part).__name__}` in a message")


def _encode_image(part: Image) -> Tree:
    if part.file_id is not None:
        raise untranslatable("messages", "an image by file id")
    url = part.url if part.data is None else data_url(part.media_type, part.data)
    image: Tree = {"url": url or ""}
    if part.detail is not None:
        image["detail"] = part.detail
    return with_cache({"type": "image_url", "image_url": image}, part.cache)


def _encode_document(part: Document) -> Tree:
    if part.text is not None:
        body = f"{part.name}\n\n{part.text}" if part.name else part.text
        return with_cache({"type": "text", "text": body}, part.cache)
    file: Tree = {}
    if part.file_id is not None:
        file["file_id"] = part.file_id
    elif part.data is not None:
        file["file_data"] = data_url(part.media_type, part.data)
    elif part.url is not None:
        file["file_data"] = part.url
    if part.name is not None:
        file["filename"] = part.name
    elif part.data is not None:
        file["filename"] = "document.pdf" if part.media_type == "application/pdf" else "document"
    return with_cache({"type": "file", "file": file}, part.cache)


def encode_texts(texts: list[Text]) -> str | list[Tree]:
    """Text parts: one without a cache mark is a plain string."""
    if not texts:
        return ""
    if len(texts) == 1 and texts[0].cache is None:
        return texts[0].text
    return [with_cache({"type": "text", "text": part.text}, part.cache) for part in texts]


def reasoning_parts(message: Tree, at: str, *, upstream: bool = False) -> list[Part]:
    """Reasoning of an assistant message: `reasoning_details`, else one readable string.

    `upstream`: the message comes from an upstream, so its proofs are that one's; in a
    client's request they are of whom their format says.
    """
    plain = text(message, "reasoning_content", at) or text(message, "reasoning", at)
    details = message.get("reasoning_details")
    if isinstance(details, list) and details:
        parts = [part for item in details if (part := _detail(item, upstream=upstream)) is not None]
        if parts and plain and not any(part.text for part in parts):
            parts[0] = msgspec.structs.replace(parts[0], text=plain)
        if parts:
            return list(parts)
    return [Thinking(text=plain)] if plain else []


def _detail(item: object, *, upstream: bool) -> Thinking | None:
    """One entry of `reasoning_details`; unknown ones say nothing."""
    if not isinstance(item, dict):
        return None

    def word(key: str) -> str | None:
        value = item.get(key)
        return value if isinstance(value, str) and value else None

    made_by = word("format") or ""
    encrypted = word("data")
    signature = word("signature")
    said = word("text") or word("summary") or ""
    if not (encrypted or signature or said):
        return None
    origin: Literal["chat", "messages", "responses"] | None = None
    if signature or encrypted:
        origin = "chat" if upstream else _MADE_BY.get(made_by, "chat")
    return Thinking(
        text=said,
        signature=signature,
        encrypted=encrypted,
        id=word("id"),
        origin=origin,
        format=made_by or None if origin == "chat" else None,
    )


def encode_reasoning(part: Thinking, index: int) -> Tree:
    """The entry of `reasoning_details` that brings the proof of `part` back to us."""
    entry: Tree = {"index": index}
    if part.encrypted is not None:
        entry["type"] = "reasoning.encrypted"
        entry["data"] = part.encrypted
        if part.text:
            entry["summary"] = part.text
    else:
        entry["type"] = "reasoning.text"
        entry["text"] = part.text
    if part.signature is not None:
        entry["signature"] = part.signature
    if part.id is not None:
        entry["id"] = part.id
    made_by = part.format or _FORMATS.get(part.origin or "")
    if made_by is not None:
        entry["format"] = made_by
    return entry
