"""Operations on values: comparing, iterating, arithmetic, subscripts, attributes, classes.

Everything here works on values of `dual.values` and an `Env`; nothing calls a program function.
"""
