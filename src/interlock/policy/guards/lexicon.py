"""Scoring a text by the distinct terms of a lexicon that stand near each other.

Terms carry weights; the score of a stretch of about 1,000 characters is the noisy-or
of the weights of the *distinct* terms in it, and the score of a text that of its
worst stretch: a single mention in a long report stays a mention. Linear time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import re2

__all__ = ["Lexicon"]

_STRETCH = 1_000


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Compiled terms: one pattern per weight."""

    patterns: tuple[tuple[float, Any], ...]

    @classmethod
    def of(cls, terms: Mapping[float, Iterable[str]]) -> "Lexicon":
        """From weight -> term patterns (RE2 syntax, matched as whole words, any case)."""
        return cls(
            tuple(
                (weight, re2.compile(r"(?i)\b(?:" + "|".join(patterns) + r")\b"))
                for weight, patterns in terms.items()
            )
        )

    def score(self, text: str) -> float:
        """0..1, rounded to three digits."""
        stretches: dict[tuple[int, int], dict[str, float]] = {}
        for weight, pattern in self.patterns:
            for match in pattern.finditer(text):
                at = match.start()
                term = match.group().lower()
                # Two tilings, half a stretch apart: no pair of neighbours is always cut.
                for tiling in (0, _STRETCH // 2):
                    found = stretches.setdefault((tiling, (at + tiling) // _STRETCH), {})
                    found[term] = max(weight, found.get(term, 0.0))
        return round(max(map(_noisy_or, stretches.values()), default=0.0), 3)


def _noisy_or(found: Mapping[str, float]) -> float:
    rest = 1.0
    for weight in found.values():
        rest *= 1.0 - weight
    return 1.0 - rest
