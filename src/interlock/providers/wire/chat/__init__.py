"""Chat Completions, as a codec of the neutral model."""

from interlock.providers.wire.chat.answers import answer_id, decode_response, encode_response
from interlock.providers.wire.chat.request_in import decode_request
from interlock.providers.wire.chat.request_out import continued, encode_request
from interlock.providers.wire.chat.stream_in import ChatStreamDecoder
from interlock.providers.wire.chat.stream_out import ChatStreamEncoder

__all__ = [
    "JOINS_TEXT",
    "answer_id",
    "continued",
    "decode_request",
    "decode_response",
    "encode_request",
    "encode_response",
    "stream_decoder",
    "stream_encoder",
]

JOINS_TEXT = True
stream_decoder = ChatStreamDecoder
stream_encoder = ChatStreamEncoder
