"""A rule proposed for a recorded call: a draft whose quoted texts a person must look at."""

import json

from interlock.console.telling import cause_of
from interlock.gateway.records import DecisionRecord

__all__ = ["proposed"]


def proposed(record: DecisionRecord) -> tuple[str, tuple[str, ...]]:
    """A rule for a case like this one, and the literals it quotes from the call."""
    cause = cause_of(record)
    tool = json.dumps(record.tool, ensure_ascii=True)
    quoted = [record.tool]
    if cause.labels:
        labels = ", ".join(json.dumps(one, ensure_ascii=True) for one in cause.labels)
        where = "@session" if cause.carrier == "the session" else cause.carrier
        when = f"{where}.tags overlaps {{{labels}}}"
        quoted += cause.labels
    else:
        name, value = next(
            (
                (n, v)
                for n, v in (record.args or {}).items()
                if isinstance(v, str) and len(v) < 200 and n.isidentifier()
            ),
            ("", ""),
        )
        when = f"{name}.value in {{{json.dumps(value, ensure_ascii=True)}}}" if name else ""
        quoted += [value] if name else []
    rule = f"should deny when {when};" if when else "should deny always;"
    text = (
        f"/// made from decision {record.id}: review every quoted text\n"
        f"tool {tool} {{\n    {rule}\n}}\n"
    )
    return text, tuple(quoted)
