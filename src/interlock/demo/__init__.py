"""The demonstration: an assistant, a poisoned inbox, and a policy; over real HTTP.

Owns the story and its tools. Starts a server of its own and talks to it with the
published SDKs only, so what it shows is what any client would get.
"""
