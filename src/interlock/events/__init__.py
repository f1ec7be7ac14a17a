"""Owns the append-only log of events: written with the change, read by id, fanned out."""
