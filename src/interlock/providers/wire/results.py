"""Failed tool results where a format has no flag for failure: the text says so."""

from collections.abc import Sequence

from interlock.providers.wire.model import Text

__all__ = ["as_error"]


def as_error(texts: Sequence[Text]) -> list[Text]:
    """The texts of a failed result, the first beginning with the word "error"."""
    if not texts:
        return [Text(text="Error")]
    if texts[0].text.lstrip().lower().startswith("error"):
        return list(texts)
    first = Text(text=f"Error: {texts[0].text}", cache=texts[0].cache)
    return [first, *texts[1:]]
