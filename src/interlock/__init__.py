"""Interlock: one self-hosted server that decides every model and tool call of a team.

This package root holds nothing but the version; see the sub-packages.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
