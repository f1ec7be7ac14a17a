"""What the server adds to every policy, written as policy (11.12)."""

from interlock.policy.model import Presets

__all__ = ["NON_EXECUTABLE", "PRESET_SOURCE", "preset_policy"]

PRESET_SOURCE = "preset"
NON_EXECUTABLE = "__non_executable"
"""Tag of every external tool's result, where the presets say so."""

_RESULTS = """\
tool "parse_with_ai" -> @tags |= {"__tool/parse_with_ai"};
tool "verify_hypothesis" -> @tags |= {"__tool/verify_hypothesis"};
"""
_BLOCKED = """\
tool r"parse_with_ai|verify_hypothesis" {
    /// a quarantined model must not see what is tagged `__llm_blocked`
    LEVEL deny when @args.tags overlaps {"__llm_blocked"};
}
"""


def preset_policy(presets: Presets) -> str:
    """The preset policies' text."""
    if not presets.enable_llm_blocked_tag:
        return _RESULTS
    return _RESULTS + _BLOCKED.replace("LEVEL", presets.llm_blocked_tag_enforcement_level)
