"""Functions of the library written in the language itself; the files here are data, not modules.

They run on the machine like any code of a program, so they suspend and resume with it, and what
they return carries the marks of all arguments and of every decision they made.
"""
