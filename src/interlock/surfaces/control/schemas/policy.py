"""X-Policy: mode, policy code, presets.

Source: gateway.md sections 5 and 11.2 (`x_enforcement`).
"""

from typing import Literal

from pydantic import ConfigDict, field_validator

from interlock.surfaces.control.schemas.base import HeaderModel

__all__ = ["BranchingItem", "CodesItem", "PolicyHeader", "PresetsItem"]


class BranchingItem(HeaderModel):
    """`presets.branching_meta_policy`; the one object that lets unknown keys pass."""

    model_config = ConfigDict(extra="ignore")

    mode: Literal["deny", "allow"] | None = None
    producers: list[str] | None = None
    tags: list[str] | None = None
    consumers: list[str] | None = None


class PresetsItem(HeaderModel):
    """`presets`."""

    default_allow: bool | None = None
    default_allow_enforcement_level: Literal["hard", "soft"] | None = None
    enable_non_executable_memory: bool | None = None
    enable_llm_blocked_tag: bool | None = None
    llm_blocked_tag_enforcement_level: Literal["hard", "soft"] | None = None
    branching_meta_policy: BranchingItem | None = None


class CodesItem(HeaderModel):
    """`codes`: the user's policy as one text. `sqrt-lite` is what old clients call sqrt."""

    code: str | None = None
    language: Literal["sqrt", "cedar", "sqrt-lite"] | None = None


class PolicyHeader(HeaderModel):
    """The X-Policy header."""

    mode: Literal["standard", "strict", "custom"] | None = None
    codes: CodesItem | None = None
    auto_gen: bool | None = None
    fail_fast: bool | None = None
    presets: PresetsItem | None = None
    x_enforcement: Literal["enforce", "watch"] | None = None

    @field_validator("codes", mode="before")
    @classmethod
    def _plain_code(cls, value: object) -> object:
        """A plain string, or a list of strings joined by newlines, stands for its object."""
        if isinstance(value, str):
            return {"code": value}
        if isinstance(value, list):
            if not all(isinstance(line, str) for line in value):
                raise ValueError("Input should be a string, a list of strings or an object")
            return {"code": "\n".join(value)}
        return value
