"""Policies from plain words: what a model is asked, and which of its answers may be used.

Owns the prompts, reading code out of an answer, and the checks an answer must pass. It
asks nobody: `Generation` says what to ask and is told what was answered. It never hands
out a text that does not compile, and every rule of what it hands out quotes the part of
the description it implements.

Source: gateway.md sections 14 and 5 (`auto_gen`).
"""

from interlock.policy.generation.machine import Ask, Done, Failed, Generation, Step, Wanted
from interlock.policy.generation.signatures import (
    INTERNAL_SIGNATURES,
    Parameter,
    ToolSignature,
    signature,
)

__all__ = [
    "INTERNAL_SIGNATURES",
    "Ask",
    "Done",
    "Failed",
    "Generation",
    "Parameter",
    "Step",
    "ToolSignature",
    "Wanted",
    "signature",
]
