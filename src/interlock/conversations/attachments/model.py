"""What an attachment is. Frozen values, no I/O."""

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Attachment", "TextState"]

TextState = Literal["pending", "ready", "none", "failed"]
"""`none`: of this kind of file no text is taken, e.g. an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file of a conversation. Instants are seconds since the epoch."""

    id: str
    conversation_id: str
    message_id: str | None
    """None until a message carries it."""
    uploaded_by: str
    name: str
    """As the person called it: shown, never used as a path."""
    media_type: str
    """As found in the bytes, not as claimed."""
    size_bytes: int
    sha256: str
    blob: str
    text_state: TextState
    text: str | None
    text_error: str | None
    text_edited_by: str | None
    created_at: float

    def summary(self) -> dict[str, Any]:
        """What the message that carries it keeps in its metadata."""
        return {
            "id": self.id,
            "name": self.name,
            "media_type": self.media_type,
            "size_bytes": self.size_bytes,
        }
