"""Message content, reasoning and tool results of Responses items."""

from interlock.providers.wire.media import data_url, split_data_url
from interlock.providers.wire.model import (
    Audio,
    Document,
    Image,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolResult,
)
from interlock.providers.wire.reading import (
    Losses,
    Tree,
    invalid,
    items,
    mapping,
    need_text,
    text,
    untranslatable,
)
from interlock.providers.wire.results import as_error
from interlock.providers.wire.thinking import pack, unpack

__all__ = [
    "content_parts",
    "decode_reasoning",
    "encode_content",
    "encode_output_part",
    "encode_reasoning",
    "encode_result",
]


def content_parts(content: object, at: str, losses: Losses) -> list[Part]:
    """Parts of a message's `content` or of a function call's `output`."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [Text(text=content)]
    if not isinstance(content, list):
        raise invalid(at, "a string or an array")
    return [_part(item, f"{at}[{i}]", losses) for i, item in enumerate(content)]


def _part(value: object, at: str, losses: Losses) -> Part:
    tree = mapping(value, at)
    kind = tree.get("type")
    if tree.get("prompt_cache_breakpoint") is not None:
        losses.add("input[].content[].prompt_cache_breakpoint")
    if kind in ("input_text", "output_text", "text"):
        return Text(text=need_text(tree, "text", f"{at}."))
    if kind == "refusal":
        return Refusal(text=need_text(tree, "refusal", f"{at}."))
    if kind == "input_image":
        return _image(tree, at)
    if kind == "input_file":
        return _file(tree, at)
    if kind == "input_audio":
        audio = mapping(tree.get("input_audio"), f"{at}.input_audio")
        inner = f"{at}.input_audio."
        return Audio(data=need_text(audio, "data", inner), format=need_text(audio, "format", inner))
    if not isinstance(kind, str):
        raise invalid(f"{at}.type", "a string")
    raise untranslatable(f"{at}.type", f"a content part of type `{kind}`")


def _image(tree: Tree, at: str) -> Image:
    detail = text(tree, "detail", f"{at}.")
    file_id = text(tree, "file_id", f"{at}.")
    if file_id is not None:
        return Image(file_id=file_id, detail=detail)
    url = need_text(tree, "image_url", f"{at}.")
    inline = split_data_url(url)
    if inline is None:
        return Image(url=url, detail=detail)
    return Image(media_type=inline[0], data=inline[1], detail=detail)


def _file(tree: Tree, at: str) -> Document:
    name = text(tree, "filename", f"{at}.")
    file_id = text(tree, "file_id", f"{at}.")
    if file_id is not None:
        return Document(file_id=file_id, name=name)
    url = text(tree, "file_url", f"{at}.")
    if url is not None:
        return Document(url=url, name=name)
    data = need_text(tree, "file_data", f"{at}.")
    inline = split_data_url(data)
    if inline is None:
        return Document(media_type="application/pdf", data=data, name=name)
    return Document(media_type=inline[0], data=inline[1], name=name)


def encode_content(part: Part, losses: Losses) -> Tree:
    """A part of a message of the user, the system or a developer, or of a tool's output."""
    if isinstance(part, Text | Image | Document) and part.cache is not None:
        losses.add("cache_control")
    if isinstance(part, Text):
        return {"type": "input_text", "text": part.text}
    if isinstance(part, Image):
        tree: Tree = {"type": "input_image", "detail": part.detail or "auto"}
        if part.file_id is not None:
            tree["file_id"] = part.file_id
        else:
            url = part.url if part.data is None else data_url(part.media_type, part.data)
            tree["image_url"] = url or ""
        return tree
    if isinstance(part, Document):
        return _encode_document(part)
    if isinstance(part, Audio):
        return {
            "type": "input_audio",
            "input_audio": {"data": part.data, "format": part.format},
        }
    raise untranslatable("messages", f"a part of type `{type(part).__name__}` in a message")


def _encode_document(part: Document) -> Tree:
    if part.text is not None:
        body = f"{part.name}\n\n{part.text}" if part.name else part.text
        return {"type": "input_text", "text": body}
    tree: Tree = {"type": "input_file"}
    if part.file_id is not None:
        tree["file_id"] = part.file_id
    elif part.url is not None:
        tree["file_url"] = part.url
    elif part.data is not None:
        tree["file_data"] = data_url(part.media_type, part.data)
        tree["filename"] = "document.pdf" if part.media_type == "application/pdf" else "document"
    if part.name is not None:
        tree["filename"] = part.name
    return tree


def encode_output_part(part: Text | Refusal) -> Tree:
    """A part of an assistant's message."""
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    return {"type": "output_text", "text": part.text, "annotations": []}


def encode_result(part: ToolResult, losses: Losses) -> Tree:
    """A `function_call_output` item; a failure is said in its text."""
    if part.cache is not None:
        losses.add("cache_control")
    content = list(part.content)
    if part.is_error:
        texts = as_error([item for item in content if isinstance(item, Text)])
        content = [*texts, *(item for item in content if not isinstance(item, Text))]
    output: str | list[Tree] = ""
    if len(content) == 1 and isinstance(content[0], Text):
        if content[0].cache is not None:
            losses.add("cache_control")
        output = content[0].text
    elif content:
        output = [encode_content(item, losses) for item in content]
    return {"type": "function_call_output", "call_id": part.call_id, "output": output}


def decode_reasoning(tree: Tree, at: str) -> Thinking:
    """A reasoning item: its summary, else its text, and its proof."""
    said = "\n\n".join(
        need_text(mapping(item, f"{at}.summary[{i}]"), "text", f"{at}.summary[{i}].")
        for i, item in enumerate(items(tree, "summary", f"{at}."))
    )
    if not said:
        said = "".join(
            need_text(mapping(item, f"{at}.content[{i}]"), "text", f"{at}.content[{i}].")
            for i, item in enumerate(items(tree, "content", f"{at}."))
        )
    proof = text(tree, "encrypted_content", f"{at}.")
    item_id = text(tree, "id", f"{at}.")
    if not proof:
        return Thinking(text=said, id=item_id)
    unpacked = unpack(proof, said)
    if unpacked is not None:
        return unpacked
    return Thinking(text=said, encrypted=proof, id=item_id, origin="responses")


def encode_reasoning(part: Thinking, item_id: str) -> Tree:
    """A reasoning item; the proof of another provider is packed as encrypted content."""
    tree: Tree = {"id": item_id, "type": "reasoning", "summary": []}
    if part.text:
        tree["summary"] = [{"type": "summary_text", "text": part.text}]
    native = part.origin in {None, "responses"} and part.signature is None
    proof = part.encrypted if native else pack(part)
    if proof is not None:
        tree["encrypted_content"] = proof
    return tree
