"""Live streams of conversations: what a reader sees first, what it sees then, when it ends."""
