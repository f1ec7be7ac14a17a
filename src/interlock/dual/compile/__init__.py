"""From a program's text to bytecode: guard, scopes, then one small emitter per syntax node."""

from interlock.dual.compile.compiler import compile_program

__all__ = ["compile_program"]
