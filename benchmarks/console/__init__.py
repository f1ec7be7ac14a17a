"""`make bench-console`: what the console costs, in a real browser and for the server.

Everything on loopback against a server process of its own; goals are those of the
console's budget. Writes benchmarks/CONSOLE.md.
"""
