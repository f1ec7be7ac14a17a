"""SQRT: the policy language and its engine; Cedar through its own engine; content guards.

Owns the decision on a tool call and the labels it leaves behind. Refuses to do
any I/O: text, values, clock and caller are passed in.
"""
