"""Owns conversations of people and agents: threads, messages, members, who reads and who answers.

Every change is one transaction together with the events that report it. Refuses to know HTTP,
to call a model, and to decide how a reply is made: that is behind the `Replies` protocol.
"""
