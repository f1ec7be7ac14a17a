"""The neutral model: what a request, an answer and a stream are in every wire format.

Every decoder produces these values and every encoder consumes them, so three
formats need three codecs, not nine translators. Pure data, no I/O.

Text is `str` (never split inside a character), tool arguments are the JSON text
the model wrote, token counts are whole tokens with `input` including cached
tokens and `output` including reasoning tokens (gateway.md, section 17).
"""

from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct, field

__all__ = [
    "ArgumentsDelta",
    "Audio",
    "CacheMark",
    "Document",
    "Event",
    "Failure",
    "Fault",
    "Finish",
    "Image",
    "Message",
    "OutputFormat",
    "Part",
    "PartEnd",
    "PartStart",
    "ProviderTool",
    "Reasoning",
    "Refusal",
    "Request",
    "Response",
    "Role",
    "SignatureDelta",
    "Start",
    "StopReason",
    "Text",
    "TextDelta",
    "Thinking",
    "ToolCall",
    "ToolChoice",
    "ToolDef",
    "ToolResult",
    "Usage",
    "UsageSeen",
]

Role = Literal["system", "developer", "user", "assistant", "tool"]


class StopReason(StrEnum):
    """Why the model stopped."""

    END = "end"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    STOP_SEQUENCE = "stop_sequence"
    REFUSAL = "refusal"
    """The provider's content filter, or the model declined."""
    PAUSE = "pause"
    ERROR = "error"


class CacheMark(Struct, frozen=True, kw_only=True):
    """A prompt-cache breakpoint after the part that carries it."""

    ttl: str | None = None


class Text(Struct, frozen=True, kw_only=True, tag="text"):
    """Plain text. `citations` is kept only where both ends know them."""

    text: str
    cache: CacheMark | None = None
    citations: list[dict[str, Any]] | None = None


class Image(Struct, frozen=True, kw_only=True, tag="image"):
    """An image by URL, inline as base64 `data` with its `media_type`, or by provider id."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    file_id: str | None = None
    detail: str | None = None
    cache: CacheMark | None = None


class Audio(Struct, frozen=True, kw_only=True, tag="audio"):
    """Inline audio, base64; `format` as the caller named it (wav, mp3)."""

    data: str
    format: str


class Document(Struct, frozen=True, kw_only=True, tag="document"):
    """A file: inline base64 (`data`, `media_type`), by URL, by provider id, or plain text."""

    data: str | None = None
    media_type: str | None = None
    url: str | None = None
    file_id: str | None = None
    text: str | None = None
    name: str | None = None
    cache: CacheMark | None = None


class Thinking(Struct, frozen=True, kw_only=True, tag="thinking"):
    """Reasoning of the model: readable text and/or an opaque provider blob."""

    text: str = ""
    signature: str | None = None
    """Proof of origin the provider wants back unchanged."""
    encrypted: str | None = None
    """Redacted or encrypted reasoning, opaque."""
    id: str | None = None
    origin: Literal["chat", "messages", "responses"] | None = None
    """Format of the upstream that made `signature` or `encrypted`; only it reads them."""
    format: str | None = None
    """What that upstream calls the kind of its proof, where it says (Chat Completions)."""


class Refusal(Struct, frozen=True, kw_only=True, tag="refusal"):
    """The model's own refusal text."""

    text: str


class ToolCall(Struct, frozen=True, kw_only=True, tag="tool_call"):
    """A call the model asks for. `arguments` is JSON text of an object."""

    id: str
    name: str
    arguments: str
    namespace: str | None = None
    item_id: str | None = None
    """Id of the output item that held it (Responses), if any."""
    cache: CacheMark | None = None

    @property
    def qualified(self) -> str:
        """The name a policy sees: `<namespace>.<name>`, or the bare name."""
        return f"{self.namespace}.{self.name}" if self.namespace else self.name


class ToolResult(Struct, frozen=True, kw_only=True, tag="tool_result"):
    """What a tool gave back for call `call_id`."""

    call_id: str
    content: list[Text | Image | Document]
    is_error: bool = False
    cache: CacheMark | None = None


Part = Text | Image | Audio | Document | Thinking | Refusal | ToolCall | ToolResult


class Message(Struct, frozen=True, kw_only=True):
    """One message. Role `tool` holds only `ToolResult` parts."""

    role: Role
    parts: list[Part]
    name: str | None = None


class ToolDef(Struct, frozen=True, kw_only=True):
    """A tool the caller offers. `schema` is the JSON schema of its arguments."""

    name: str
    description: str | None = None
    schema: dict[str, Any] = field(default_factory=dict)
    output_schema: dict[str, Any] | None = None
    strict: bool | None = None
    namespace: str | None = None
    namespace_description: str | None = None
    cache: CacheMark | None = None

    @property
    def qualified(self) -> str:
        """The name a policy sees."""
        return f"{self.namespace}.{self.name}" if self.namespace else self.name


class ProviderTool(Struct, frozen=True, kw_only=True):
    """A tool the provider runs itself, or of a kind only its format knows: carried as it is."""

    format: Literal["chat", "messages", "responses"]
    type: str
    name: str
    """Its own name, else its type."""
    raw: dict[str, Any]


class ToolChoice(Struct, frozen=True, kw_only=True):
    """Which tools the model may or must use."""

    mode: Literal["auto", "none", "required", "tool"] = "auto"
    name: str | None = None


class OutputFormat(Struct, frozen=True, kw_only=True):
    """Structured output. `schema` None with kind `json_object`: any object."""

    kind: Literal["json_object", "json_schema"]
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class Reasoning(Struct, frozen=True, kw_only=True):
    """How much the model may think. Any of the fields may be unset."""

    enabled: bool = True
    effort: str | None = None
    budget_tokens: int | None = None
    adaptive: bool = False
    summary: str | None = None


class Request(Struct, frozen=True, kw_only=True):
    """A model call. None means: the caller did not say."""

    model: str
    messages: list[Message]
    tools: list[ToolDef] = field(default_factory=list)
    provider_tools: list[ProviderTool] = field(default_factory=list)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = field(default_factory=list)
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    n: int | None = None
    reasoning: Reasoning | None = None
    output_format: OutputFormat | None = None
    stream: bool = False
    include_usage: bool = False
    """Whether the caller asked for usage in the stream (chat format)."""
    user: str | None = None
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    """As Chat Completions and Responses call it; `default` is `standard_only` of Messages."""
    verbosity: str | None = None
    store: bool | None = None
    openai: dict[str, Any] = field(default_factory=dict)
    """Members Chat Completions and Responses spell and mean alike (`prompt_cache_key`, ...)."""
    dropped: list[str] = field(default_factory=list)
    """Paths of members no neutral field holds; reported in the trace when translated."""


class Usage(Struct, frozen=True, kw_only=True, gc=False):
    """Tokens of one model call. `estimated`: counted by us, the upstream gave none."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    estimated: bool = False


class Failure(Struct, frozen=True, kw_only=True):
    """Why an answer of ours that did come has stop reason `error` (gateway.md, 10.7)."""

    code: str
    message: str


class Response(Struct, frozen=True, kw_only=True):
    """A whole answer. `parts` in order: thinking, text, refusals, tool calls."""

    id: str
    model: str
    created: int
    parts: list[Part]
    stop: StopReason
    stop_sequence: str | None = None
    usage: Usage | None = None
    failure: Failure | None = None
    """With stop `error`; only Responses has a member for it."""


class Start(Struct, frozen=True, kw_only=True, tag="start"):
    """First event of a stream, exactly once."""

    id: str
    model: str
    created: int
    usage: Usage | None = None
    """Input counts, when the format tells them first (Messages)."""


class PartStart(Struct, frozen=True, kw_only=True, tag="part_start"):
    """A part opens. `part` carries what is known at once (ids, names), text empty."""

    index: int
    part: Part


class TextDelta(Struct, frozen=True, kw_only=True, tag="text_delta"):
    """More text of part `index`: text, thinking or refusal, as the part is."""

    index: int
    text: str


class SignatureDelta(Struct, frozen=True, kw_only=True, tag="signature_delta"):
    """The proof of thinking part `index`, at most once: everything of it but its text."""

    index: int
    proof: Thinking


class ArgumentsDelta(Struct, frozen=True, kw_only=True, tag="arguments_delta"):
    """More JSON text of the arguments of tool call `index`."""

    index: int
    text: str


class PartEnd(Struct, frozen=True, kw_only=True, tag="part_end"):
    """Part `index` is complete."""

    index: int


class UsageSeen(Struct, frozen=True, kw_only=True, tag="usage"):
    """Counts as known so far; later ones replace earlier ones."""

    usage: Usage


class Finish(Struct, frozen=True, kw_only=True, tag="finish"):
    """Last event of a good stream, exactly once, after every part has ended."""

    stop: StopReason
    stop_sequence: str | None = None
    usage: Usage | None = None


class Fault(Struct, frozen=True, kw_only=True, tag="fault"):
    """Last event of a failed stream: upstream error, malformed event, or an early end."""

    code: Literal["upstream_error", "upstream_malformed", "upstream_truncated", "upstream_timeout"]
    message: str
    status: int | None = None
    """What the upstream called it, when it said."""


Event = (
    Start
    | PartStart
    | TextDelta
    | SignatureDelta
    | ArgumentsDelta
    | PartEnd
    | UsageSeen
    | Finish
    | Fault
)
