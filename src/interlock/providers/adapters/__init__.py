"""Upstreams: how each behaviour makes paths and opens connections.

Most providers are `standard`. A file is added here only where behaviour differs, and
gets its line in `providers.registry`.
"""
