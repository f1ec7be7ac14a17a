"""The demo model: a small deterministic, openly scripted model that plays a provider.

Owns what it says (`script.reply`, pure) and how three provider APIs say it (`upstream`,
`server`). Shares nothing with the gateway's codecs but the neutral model's types.
Refuses to be clever: it does what lines in its context tell it to.

Lines (a line begins with the word; blanks before it do not matter):

==================== ==========================================================
`CALL <tool> <json>` in user, system or tool text (also inside strings of JSON tool
                     results): call the tool, if offered. All lines not yet acted on are
                     called in one reply. A line is acted on once a later call repeats it
                     (or, if somebody rewrote its arguments, names its tool); the same
                     line in a later message is a new one.
`SAY <text>`         answer that text once nothing is left to call
`FAIL <status>`      fail with that HTTP status (400 to 599)
`SLOW <seconds>`     wait before the first byte
`TOKENS <n>`         answer n tokens, each its own delta
`CUT <bytes>`        [fault] end the connection after that many bytes of the answer
`STALL <bytes>`      [fault] send nothing more after that many bytes
`GARBAGE <bytes>`    [fault] a malformed event after that many bytes
`HUGE <MB>`          [fault] one delta of that many MiB
==================== ==========================================================

All but CALL are read from user and tool text since the last finished answer, the last
one of a kind counts; fault lines only with `DemoUpstream(faults=True)` or on the port.
With no line left: the requested JSON schema filled from the text, else `RESULT <tool
result since the last answer>`, else `ECHO <last user text>`. `max_tokens` and stop sequences are
kept. One token is four characters.

Roles. A system prompt whose first line is `kernel.roles.role_line(role)` makes it play that
role, and nothing else does: `pllm` plans (`planner`), `qllm` fills the asked-for schema
from the text (`sources.TextSource`), `policy_llm` writes SQRT (`policies`), the others
judge by template. In roles only `pllm` obeys lines.
"""

from interlock.providers.demo.embeddings import DIMENSIONS, embed
from interlock.providers.demo.faults import BrokenConnectionError
from interlock.providers.demo.model import Call, FaultLine, Script
from interlock.providers.demo.script import count_input, reply
from interlock.providers.demo.upstream import MODELS, DemoReply, DemoUpstream

__all__ = [
    "DIMENSIONS",
    "MODELS",
    "BrokenConnectionError",
    "Call",
    "DemoReply",
    "DemoUpstream",
    "FaultLine",
    "Script",
    "count_input",
    "embed",
    "reply",
]
