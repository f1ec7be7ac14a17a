"""Short forms of long texts: excerpts of roots, titles made of a first message. Pure."""

__all__ = ["EXCERPT_CHARS", "excerpt", "title_of"]

EXCERPT_CHARS = 240
_TITLE_CHARS = 60


def excerpt(content: str) -> str:
    """The trimmed text, at most 240 characters."""
    return content.strip()[:EXCERPT_CHARS].rstrip()


def title_of(content: str) -> str:
    """A title for a conversation that begins with this text: its first 60 characters, one line."""
    return " ".join(content.split())[:_TITLE_CHARS].rstrip()
