"""Wire formats: Chat Completions, Responses and Messages, through one neutral model.

Pure: bytes and values in, bytes and values out. No sockets, no clock.
"""
