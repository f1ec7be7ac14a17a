"""Does a thing once, however often it is asked for with the same key.

Owns the keys clients send and the first answers to them. Refuses to know what is done: the
caller does it in the transaction it is given.
"""
