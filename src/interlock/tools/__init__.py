"""Deterministic tools: pure functions that models, people and agents may call.

Owns their schemas and the rules they run under (sizes, time, caching). Refuses to decide who
may call them: that is the gateway's, and only the gateway imports `builtin`.
"""
