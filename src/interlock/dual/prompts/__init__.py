"""The system prompts of the roles a turn asks, as versioned files: `<role>/<flavor>/<version>.md`.

A published version never changes; a better text is a new version and becomes `latest`.
Templates know three forms: `{{name}}` is replaced, `{{#name}}...{{/name}}` stands only when
`name` has a value, `{{^name}}...{{/name}}` only when it has none; a tag that opens a section at
the end of a line takes its line along. Inserted text is not looked at again.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from interlock.kernel.roles import ModelRole, role_line

__all__ = ["FLAVORS", "LATEST", "VERSIONS", "fill", "system_prompt", "template"]

FLAVORS: Final[Mapping[ModelRole, tuple[str, ...]]] = {
    "pllm": ("universal", "code"),
    "rllm": ("universal",),
    "grllm": ("universal",),
    "qllm": ("universal",),
    "tllm": ("universal",),
    "error_detector_llm": ("universal",),
    "selector": ("universal",),
}
"""Flavours there are, by role; each has every version."""

VERSIONS: Final = ("v1",)
"""Oldest first."""

LATEST: Final = "latest"

_SECTION = re.compile(r"\{\{([#^])(\w+)\}\}(\n?)(.*?)\{\{/\2\}\}(\n?)", re.DOTALL)
_PLACE = re.compile(r"\{\{(\w+)\}\}")


def system_prompt(
    role: ModelRole, *, flavor: str, version: str, values: Mapping[str, str] | None = None
) -> str:
    """A role's system prompt, its role line first.

    Raises LookupError when there is no such template.
    """
    return role_line(role) + fill(template(role, flavor, version), values or {})


@cache
def template(role: ModelRole, flavor: str, version: str) -> str:
    """The text of a template. Raises LookupError when there is no such one."""
    name = VERSIONS[-1] if version == LATEST else version
    if flavor not in FLAVORS.get(role, ()) or name not in VERSIONS:
        raise LookupError(f"no prompt `{flavor}` `{version}` for `{role}`")
    return files(__package__).joinpath(role, flavor, f"{name}.md").read_text(encoding="utf-8")


def fill(text: str, values: Mapping[str, str]) -> str:
    """A template with its values; a place without a value is empty."""

    def section(match: re.Match[str]) -> str:
        sign, name, opened, body, closed = match.groups()
        # Tags on lines of their own take these lines along; tags within a line do not.
        after = "" if opened else closed
        return f"{body}{after}" if bool(values.get(name)) is (sign == "#") else after

    previous = None
    while previous != text:
        previous, text = text, _SECTION.sub(section, text)
    return _PLACE.sub(lambda match: values.get(match.group(1), ""), text)
