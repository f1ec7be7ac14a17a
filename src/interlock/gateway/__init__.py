"""The one door: every model call and every tool call passes here, and only here.

Owns sessions, the decision of tool calls, the ledger and the decision log.
Refuses to know HTTP: surfaces translate.
"""
