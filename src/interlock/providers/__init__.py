"""Upstreams: who serves a model, how they are reached, and what they speak.

Only `gateway` opens connections through this package; nothing else holds a
provider key. The composition root calls `build.build_upstreams`; everyone else
knows `model` alone.
"""
