"""Where a call's arguments come from, by looking for their values in the conversation.

In single-llm a model writes the arguments, so nothing says where a value came from. What
can be checked is whether it *occurs*: in the user's own words, or as a field of a tool's
result. An argument the user never said, such as an address that stood in a web page, then
lacks the label a rule asks for. Labels are only ever evidence for a value, never against
it, so whatever cannot be found, parsed or afforded leaves an argument unlabelled and a
rule that asks for evidence denies.

Owns the reserved tags that carry this evidence. Refuses to decide anything: policies do.
Pure: the conversation is passed in.
"""

from interlock.policy.provenance.labels import (
    DATE_FROM_USER,
    FROM_FIELD,
    FROM_TRUSTED,
    FROM_USER,
    REFERENCES_FROM_TRUSTED,
    REFERENCES_FROM_USER,
    TRUSTED,
    Evidence,
    GivenResult,
    speaks_of_provenance,
    without_evidence,
)
from interlock.policy.provenance.spans import Passage, traced

__all__ = [
    "DATE_FROM_USER",
    "FROM_FIELD",
    "FROM_TRUSTED",
    "FROM_USER",
    "REFERENCES_FROM_TRUSTED",
    "REFERENCES_FROM_USER",
    "TRUSTED",
    "Evidence",
    "GivenResult",
    "Passage",
    "speaks_of_provenance",
    "traced",
    "without_evidence",
]
