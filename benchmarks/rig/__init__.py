"""The bench: one fast local upstream, one gateway at a time, one load generator.

Everything listens on loopback. `benchmarks/run.py` is the way in; the modules
here are its parts, from the machine (`machine`, `process`) through what is
sent (`upstream`, `workloads`, `load`, `streams`) and who is measured
(`gateways`) to what is said about it (`ratios`, `goals`, `report`).
"""
