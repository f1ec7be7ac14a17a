"""Schema revisions, oldest first. Each is explicit DDL and imports nothing of ours."""
