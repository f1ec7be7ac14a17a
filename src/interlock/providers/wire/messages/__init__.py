"""Messages, as a codec of the neutral model."""

from interlock.providers.wire.messages.answers import answer_id, decode_response, encode_response
from interlock.providers.wire.messages.request_in import decode_request
from interlock.providers.wire.messages.request_out import continued, encode_request
from interlock.providers.wire.messages.stream_in import MessagesStreamDecoder
from interlock.providers.wire.messages.stream_out import MessagesStreamEncoder

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

JOINS_TEXT = False
stream_decoder = MessagesStreamDecoder
stream_encoder = MessagesStreamEncoder
