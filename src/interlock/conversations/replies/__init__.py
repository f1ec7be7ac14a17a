"""Replies of agents: durable work that asks models and runs tools through the gateway.

Owns what a reply was asked with, how far it has come and its trail. Refuses to write messages
itself (`replying.ReplyWriter` does) and to call a model or a tool any other way than by the door.
"""
