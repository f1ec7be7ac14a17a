"""Owns the append-only log of events: written with the change, read by id, fanned out.

Refuses to know what events mean, and to send anything that is not committed.
"""
