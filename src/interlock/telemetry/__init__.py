"""Logs, metrics and traces; never a secret, never prompt text."""
