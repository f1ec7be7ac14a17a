"""Shows text from outside so that nothing in it can hide or act.

Control characters (terminal escapes among them), bidirectional controls, zero-width and tag
characters are written out as `<U+202E>`; line breaks and tabs are kept.
"""

import unicodedata

__all__ = ["visible"]

_KEPT = frozenset("\n\t")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str) -> str:
    """The text with every invisible or acting character written out."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        f"<U+{ord(one):04X}>" if one not in _KEPT and unicodedata.category(one) in _HIDDEN else one
        for one in text
    )
