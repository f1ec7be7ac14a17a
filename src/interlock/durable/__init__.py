"""Owns durable work: workflows that survive the death of the process, on DBOS.

Refuses to be an engine: queues, checkpoints and recovery are DBOS's. What it adds is what
a server needs around it: explicit registration, ids as the only inputs, one owner of a
SQLite file, and on PostgreSQL living processes that take over from dead ones.
"""
