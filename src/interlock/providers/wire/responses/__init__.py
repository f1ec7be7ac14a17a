"""Responses, as a codec of the neutral model."""

from interlock.providers.wire.responses.answers import answer_id, decode_response, encode_response
from interlock.providers.wire.responses.request_in import decode_request
from interlock.providers.wire.responses.request_out import continued, encode_request
from interlock.providers.wire.responses.stream_in import ResponsesStreamDecoder
from interlock.providers.wire.responses.stream_out import ResponsesStreamEncoder

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
stream_decoder = ResponsesStreamDecoder
stream_encoder = ResponsesStreamEncoder
