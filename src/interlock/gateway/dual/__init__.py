"""Dual-llm execution at the door: drives turns of `interlock.dual` with real models and policies.

Owns what the pure turn machine must not do: asking models, deciding calls, keeping
turns in sessions, and saying answers in the client's wire format. Knows nothing of
planning or of the program language.
"""
