"""The policy store: policies people keep in the server, and what is re-decided with them.

Owns versions, bindings, stored tests, activation and replay. Refuses to decide: the
texts go to the policy engine through `gateway.rules`.
"""
