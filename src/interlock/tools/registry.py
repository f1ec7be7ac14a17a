"""The tools there are, by name."""

from collections.abc import Mapping
from typing import Final

from interlock.tools.builtin import (
    base64_codec,
    date_diff,
    date_shift,
    hash_digest,
    json_query,
    json_validate,
    list_ops,
    math_evaluate,
    math_statistics,
    table_aggregate,
    text_diff,
    text_regex,
    text_stats,
    text_template,
    timezone_convert,
    unit_convert,
    uuid_v5,
)
from interlock.tools.model import Tool

__all__ = ["TOOLS"]

TOOLS: Final[Mapping[str, Tool]] = {
    tool.name: tool
    for tool in (
        base64_codec.TOOL,
        date_diff.TOOL,
        date_shift.TOOL,
        hash_digest.TOOL,
        json_query.TOOL,
        json_validate.TOOL,
        list_ops.TOOL,
        math_evaluate.TOOL,
        math_statistics.TOOL,
        table_aggregate.TOOL,
        text_diff.TOOL,
        text_regex.TOOL,
        text_stats.TOOL,
        text_template.TOOL,
        timezone_convert.TOOL,
        unit_convert.TOOL,
        uuid_v5.TOOL,
    )
}
"""Sorted by name."""
