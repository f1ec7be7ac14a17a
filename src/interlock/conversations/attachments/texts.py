"""What a file is, judged by its bytes, and the text in it.

Bounded: pages, characters and seconds. A file that is not what it says is refused, because a
page that shows it would believe it.
"""

import io
from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from interlock.conversations.errors import InvalidFieldError
from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = ["TEXT_CHARS", "UnreadableFileError", "kind_of", "text_of"]

TEXT_CHARS: Final = 200_000
_PAGES: Final = 500
_MAGIC: Final[Mapping[bytes, str]] = {
    b"%PDF-": "application/pdf",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
_TEXTS: Final[Mapping[str, str]] = {
    ".md": "text/markdown",
    ".csv": "text/csv",
    ".json": "application/json",
    ".xml": "application/xml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
"""Other texts are `text/plain`, HTML among them: nobody shall render it."""


class UnreadableFileError(InterlockError):
    """The text of a file cannot be taken."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNPROCESSABLE
    code: ClassVar[str] = "unreadable_file"


def kind_of(name: str, data: bytes) -> str:
    """The media type of a file, by its bytes.

    Raises:
        InvalidFieldError: no text, PDF or image.
    """
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    try:
        data.decode()
    except UnicodeDecodeError:
        pass
    else:
        if b"\x00" not in data:
            ending = "." + name.rpartition(".")[2].lower()
            return _TEXTS.get(ending, "text/plain")
    raise InvalidFieldError("file", "must be text (UTF-8), PDF, PNG, JPEG, GIF or WebP")


def text_of(media_type: str, data: bytes) -> str | None:
    """The text of a file, cut at `TEXT_CHARS`; None: of this kind none is taken.

    Blocks. Raises UnreadableFileError.
    """
    reader = _READERS.get(media_type)
    if media_type.startswith("image/"):
        return None
    return (reader or _plain)(data)[:TEXT_CHARS]


def _plain(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\x00", "")


def _pdf(data: bytes) -> str:
    # pypdf takes 7 MB of memory, which a server that is sent no PDF does without.
    from pypdf import PdfReader  # noqa: PLC0415
    from pypdf.errors import PyPdfError  # noqa: PLC0415

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted:
            raise UnreadableFileError("the PDF is encrypted")
        if len(reader.pages) > _PAGES:
            raise UnreadableFileError(f"the PDF has more than {_PAGES} pages")
        found, size = [], 0
        for page in reader.pages:
            found.append(page.extract_text())
            size += len(found[-1])
            if size > TEXT_CHARS:
                break
    except UnreadableFileError:
        raise
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableFileError("the PDF cannot be read") from error
    return "\n\n".join(found).replace("\x00", "")


_READERS: Final[Mapping[str, Callable[[bytes], str]]] = {"application/pdf": _pdf}
