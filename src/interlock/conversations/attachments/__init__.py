"""Files of messages: kept as blobs, their text taken out for agents, always untrusted.

What a file says is data to whoever reads it, never an instruction of the person who brought it.
"""
