"""Dual-llm execution: the plan compiler and the labelled interpreter.

A planner's program is compiled to bytecode of our own (`dual.compile`) and run by a pure,
resumable machine (`dual.machine`) that carries labels on every value. The package does no
input or output and knows no clock: tool calls leave as requests and results are given back;
the driver that performs them lives in the gateway.

It never runs host code for a program: no `exec`, no `eval`, and no object of the host is
reachable from a program except plain scalars.
"""
