"""Embeddings of the demo model: a hashed bag of words, the same in every process.

Equal words land in equal dimensions, so texts that share words are near each other.
"""

import re
from hashlib import blake2b
from math import sqrt

__all__ = ["DIMENSIONS", "embed"]

DIMENSIONS = 384
_WORD = re.compile(r"[^\W_]+")


def embed(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """A unit vector of `dimensions` numbers."""
    counts: dict[str, int] = {}
    for word in _WORD.findall(text.lower()) or [""]:
        counts[word] = counts.get(word, 0) + 1
    vector = [0.0] * dimensions
    for word, count in counts.items():
        digest = int.from_bytes(blake2b(word.encode(errors="replace"), digest_size=8).digest())
        vector[(digest >> 1) % dimensions] += sqrt(count) * (1.0 if digest & 1 else -1.0)
    length = sqrt(sum(number * number for number in vector))
    if length == 0.0:
        # Two words of opposite sign met in one dimension and there was nothing else.
        vector[0] = length = 1.0
    return [number / length for number in vector]
