"""The relational store: engine, migrations, and the batch writer of the hot path."""
