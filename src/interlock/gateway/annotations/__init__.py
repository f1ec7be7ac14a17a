"""Annotations of sessions: what somebody found out about a conversation afterwards.

Test runs and people attach outcomes to sessions: whether the task succeeded, a reward, an
error category. Owns keeping them and who may see them; never reads or changes the
session itself, and nothing in the gateway acts on them.

Source: gateway.md section 15.2.
"""
