"""The security benchmark: AgentDojo's tasks and attacks against a model that always obeys."""
