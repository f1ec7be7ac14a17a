"""The library of the interpreter: natives, and what modules and built-ins are bound to."""
